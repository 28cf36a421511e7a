"""The leak, measured: by how many points careless splits flatter the same classifier on the same clips.

    python -m benchmarks.leak [--seeds 0 1 2] [--threads N] [--work DIR] [--by-clip-only]

Run it where `make run` has finished with the arms `none` and `diffusion`; it writes into DIR alone. Three ways:

    (a) by file   clips are drawn at random into train, val and test, with as many of each class in each as (c) has:
                  recordings lie on both sides, and the training clips come from more recordings
    (b) heard     the split of (c), but the diffusion models learned from the test clips, too, so from more clips;
                  variations start from training clips, and with `keep: all` as many with the same seeds and strengths
    (c) the rule  what the pipeline made

(a) and (b) run the pipeline's own stages in folders of DIR with a doctored catalogue. In (a) every file passes for a
recording; in (b) the latents of test clips lie among the training clips under other names. Diffusion models, with the
same parameters (rehearsals may stop each at another step), are trained anew, so `none` of (b) is that of (c).
Classifiers of (c) are those of the pipeline where it trained that seed with the present parameters.

Intervals are those of `counterpoise.statistics`, by recording and seed, each for itself. (b) and (c) have the same test
clips: their difference is paired. (a) has others: the interval of (a) - (c) is made of those of both scores (MOVER: Zou
and Donner, Statistics in Medicine 27, 2008), which takes them to be independent. It knows of one random split.
`--by-clip-only` trains no diffusion model: (a) and (c), arm `none`. What was made is kept in DIR and used again with
the same parameters and data, even if the code has changed since.
"""

import argparse
import contextlib
import hashlib
import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from counterpoise.arms.arm import Arms
from counterpoise.classifiers import networks, training
from counterpoise.classifiers.networks import io
from counterpoise.cli import params
from counterpoise.codecs.latents import Packed, Shelf, Writer
from counterpoise.core import CounterpoiseError, checkpoint, runtime, tables
from counterpoise.datasets import settings
from counterpoise.evaluation import scores
from counterpoise.evaluation.bootstrap import Bootstrap, bootstrap
from counterpoise.splits import balance, split
from stages import (
    AUGMENTED,
    BASE,
    CLASSIFIER,
    CLIPS,
    DIFFUSION,
    JUDGE,
    LATENTS,
    PRETRAINED,
    SPLITS,
    SYNTHETIC,
    augment,
    generate,
    run,
    train_base,
    train_diffusion,
    train_judge,
)

MODEL = "cnn"
BY_FILE, HEARD, RULE = "by_file", "heard", "rule"
NAMES = {BY_FILE: "(a) by file", HEARD: "(b) heard", RULE: "(c) the rule"}
FOLDS = {"train": 1, "val": 2, "test": 3}  # of the doctored catalogues


class Bench:
    """The pipeline's clips and parameters, and a folder in which every piece is made once."""

    def __init__(self, p: params.Params, arms: list[str], work: Path) -> None:
        if missing := set(arms) - set(p.arms):
            raise CounterpoiseError(f"`arms` lacks {', '.join(sorted(missing))}: add to params.yaml, then `make run`")
        self.p, self.arms, self.labels, self.device = p, arms, list(p.classes), runtime.setup(p.runtime)
        clips = tables.read(CLIPS, tables.CLIPS)
        clips["partition"] = split.partition(clips, p.split, p.data)
        clips["path"] = [str(Path(path).absolute()) for path in clips.path]
        self.clips = clips[clips.partition != "unused"].reset_index(drop=True)
        counts = self.clips.label[self.clips.partition == "train"].value_counts().reindex(self.labels, fill_value=0)
        self.plan = balance.plan(counts.to_dict(), p.aug)  # of (a), too: it has as many training clips of each class
        self.rare = scores.rare_classes(counts.to_dict(), p.data.scarce.classes)
        self.test = tables.read(SPLITS / "test.csv", tables.EXAMPLES)
        self.train = {arm: tables.read(SPLITS / f"train_{arm}.csv", tables.EXAMPLES) for arm in arms}
        tables.check_contents(pd.concat([self.test, *self.train.values()]))

        # A folder for these parameters and data
        left_out = {"arms": True, "models": True, "evaluation": True, "classifier": {"seeds"}}
        tables = [SPLITS / f"{name}.csv" for name in ("test", "train_none", "train_diffusion")]
        files = [CLIPS, *sorted(LATENTS.glob("*.safetensors")), *filter(Path.exists, tables)]
        told = [p.model_dump(mode="json", exclude=left_out), str(Path.cwd()), *map(tables.sha256, files)]
        self.work = work.absolute() / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    def by_file(self, seeds: list[int]) -> pd.DataFrame:
        """Train and test in way (a); the predictions of all seeds."""
        clips = drawn(self.clips, runtime.seed_for("by file", self.p.split.seed))
        part = {name: clips[clips.partition == name] for name in FOLDS}
        for title, labels in [("all classes", self.labels), *([("the rare ones", self.rare)] if self.rare else [])]:
            train, test = (part[name][part[name].label.isin(labels)] for name in ("train", "test"))
            own = self.clips[(self.clips.partition == "train") & self.clips.label.isin(labels)]
            print(
                f"(a), {title}: {test.source_id.isin(train.source_id).mean():.0%} of the test clips have a training "
                f"clip of their recording; {len(train)} training clips of {train.source_id.nunique()} recordings, in "
                f"(c) of {own.source_id.nunique()}"
            )
        made = tables.table([], tables.LINEAGE)
        if "diffusion" in self.arms:
            made = self.made(BY_FILE, clips.assign(source_id=clips.clip_id), part["test"].head(0))
        train = self.tables(part["train"], made, self.arms)
        test = split.examples(part["test"], None, tables.sha256)
        return pd.concat([self.tested(BY_FILE, arm, seed, train[arm], test) for arm in self.arms for seed in seeds])

    def heard(self, seeds: list[int]) -> pd.DataFrame:
        """Train and test in way (b), the arm `diffusion` alone; the predictions of all seeds."""
        part = {name: self.clips[self.clips.partition == name] for name in FOLDS}
        made = self.made(HEARD, self.clips, part["test"])
        train = self.tables(part["train"], made, ["diffusion"])["diffusion"]
        return pd.concat([self.tested(HEARD, "diffusion", seed, train, self.test) for seed in seeds])

    def rule(self, seeds: list[int]) -> pd.DataFrame:
        """Test what the pipeline trained, or train it on its tables; the predictions of all seeds."""
        return pd.concat(
            [self.tested(RULE, arm, seed, self.train[arm], self.test) for arm in self.arms for seed in seeds]
        )

    def made(self, way: str, clips: pd.DataFrame, overheard: pd.DataFrame) -> pd.DataFrame:
        """Let the stages train diffusion models and vary training clips.

        Args:
            way: names the folder.
            clips: the catalogue and `partition`, as the stages are to believe them.
            overheard: more clips that the models learn from.

        Returns:
            Rows of `tables.LINEAGE` with absolute paths, of all clips that were made.
        """
        folder = self.work / way
        if not (folder / CLIPS).exists():
            self.doctor(folder, clips.assign(fold=clips.partition.map(FOLDS)), overheard.assign(fold=FOLDS["train"]))
        amounts = self.plan[self.plan.synthetic > 0]
        with contextlib.chdir(folder):
            if not (BASE / "seen.json").exists():
                train_base.main()
            if self.p.generate.keep == "best" and not (JUDGE / "judge.json").exists():
                train_judge.main()
            for label, real in zip(amounts.label, amounts.real):
                self.write_params(folder, clips, self.p.diffusion.budget(real))
                if not (DIFFUSION / label / "seen.json").exists():
                    train_diffusion.main(label)
                if not (SYNTHETIC / label / "lineage.csv").exists():
                    generate.main(label)
            if self.p.aug.real_through_codec and not (AUGMENTED / "lineage.csv").exists():
                augment.main()
        folders = [folder / place for place in (*(SYNTHETIC / label for label in amounts.label), AUGMENTED)]
        files = [place / "lineage.csv" for place in folders]
        tables = [tables.read(file, tables.LINEAGE) for file in files if file.exists()]
        made = pd.concat([tables.table([], tables.LINEAGE), *tables], ignore_index=True)
        return made.assign(path=[str(folder / path) for path in made.path])

    def doctor(self, folder: Path, clips: pd.DataFrame, overheard: pd.DataFrame) -> None:
        """Write what the stages read: parameters, latents and, when all else is there, the catalogue."""
        (folder / PRETRAINED.parent).parent.mkdir(parents=True, exist_ok=True)
        if PRETRAINED.exists() and not (folder / PRETRAINED.parent).exists():
            (folder / PRETRAINED.parent).symlink_to(PRETRAINED.parent.absolute())
        if not (folder / ".dvc").exists():  # the stages keep unfinished work in its cache
            subprocess.run(["dvc", "init", "--no-scm", "--quiet"], cwd=folder, check=True)
        self.write_params(folder, clips, self.p.diffusion.steps)
        packed = {label: Packed(LATENTS / f"{label}.safetensors") for label in self.labels}
        shelf = Shelf(list(packed.values()))
        overheard = overheard.assign(original=overheard.clip_id, clip_id=overheard.clip_id + "-heard")
        everything = pd.concat([clips.assign(original=clips.clip_id), overheard])
        for label, own in everything.groupby("label"):
            own = own.assign(frames=own.original.map(shelf.frames))
            writer = Writer(folder / LATENTS / f"{label}.safetensors", own, packed[label].channels)
            for row, original in enumerate(own.original):
                writer.put(row, shelf[original])
            writer.close()
        tables.write(clips[list(tables.CLIPS)], folder / CLIPS)

    def write_params(self, folder: Path, clips: pd.DataFrame, steps: int) -> None:
        """The pipeline's params.yaml for the doctored catalogue and a class that is trained for so many steps."""
        val_fold = FOLDS["val"] if (clips.partition == "val").any() else None
        p = self.p.model_copy(
            update={
                "data": self.p.data.model_copy(update={"limit": {}, "scarce": settings.Scarce()}),  # cut already
                "split": split.Split(test_fold=FOLDS["test"], val_fold=val_fold, seed=self.p.split.seed),
                "diffusion": self.p.diffusion.model_copy(update={"steps": steps, "steps_per_clip": None}),
                "arms": self.arms,
            }
        )
        (folder / "params.yaml").write_text(yaml.safe_dump(p.model_dump(mode="json"), sort_keys=False))

    def tables(self, clips: pd.DataFrame, made: pd.DataFrame, arms: list[str]) -> dict[str, pd.DataFrame]:
        """What these arms train on, as group_split writes it, but without its proof, which would fail."""
        found = Arms(clips, self.plan, self.p.aug.real_through_codec, self.p.generate.seed)
        return {arm: found.table(arm, made, tables.sha256) for arm in arms}

    def tested(self, way: str, arm: str, seed: int, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
        """Predictions of one classifier, which is trained if neither the pipeline nor an earlier run did."""
        p, name = self.p, f"{way}-{arm}-seed{seed}"
        file, made = self.work / "predictions" / f"{name}.csv", CLASSIFIER / f"{arm}-{MODEL}" / f"seed{seed}"
        if file.exists():
            return tables.read(file, scores.PREDICTIONS)
        card = io.Card(model=MODEL, labels=self.labels, audio=p.audio, features=p.features, classifier=p.classifier)
        network, own = io.load(made, self.device) if way == RULE and made.exists() else (None, None)
        if own != card:
            print(f"training {name} on {len(train)} clips")
            network = networks.build(MODEL, len(self.labels), p.audio, p.features, p.classifier, seed)
            training.train(
                network,
                train,
                self.labels,
                p.audio,
                p.classifier,
                p.runtime,
                self.device,
                seed,
                None,
                checkpoint.Checkpoint(self.work / "classifiers" / f"{name}.pt"),
                lambda step, measured: None,
                None,
            )
        probabilities = training.predict(network, test, p.audio, p.runtime, self.device, p.classifier.batch_size)
        column = HEARD if way == HEARD else arm
        table = scores.predictions(test, probabilities, self.labels, MODEL, column, seed, p.split.test_fold)
        tables.write(table, file)
        return table


def drawn(clips: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The clips with `partition` shuffled within each class, whatever their recordings."""
    rng, shuffled = np.random.default_rng(seed), clips.copy()
    for _, own in clips.groupby("label"):
        shuffled.loc[own.index, "partition"] = rng.permutation(own.partition.to_numpy())
    return shuffled


def apart(one: Bootstrap, other: Bootstrap, arm: str, metric: str) -> tuple[float, float, float]:
    """How much higher a score is on one test set than on another, with the ends of MOVER's interval."""
    score, against = (found.estimate(MODEL, arm, metric) for found in (one, other))
    (low, high), (other_low, other_high) = (found.interval(MODEL, arm, metric) for found in (one, other))
    difference = score - against
    return (
        difference,
        difference - math.hypot(score - low, other_high - against),
        difference + math.hypot(high - score, against - other_low),
    )


def paired(found: Bootstrap, arm: str, against: str, metric: str) -> tuple[float, float, float]:
    """How much higher an arm's score is than another's on the same clips, with the ends of the interval."""
    difference = found.difference(MODEL, arm, against, metric)
    return difference.mean, difference.low, difference.high


def report(by_file: Bootstrap, grouped: Bootstrap, seeds: list[int]) -> None:
    """Print the scores, by how much (a) and (b) flatter, and what diffusion seems to bring in each way."""
    metrics = {metric: scores.TITLES[metric] for metric in grouped.metrics if metric in scores.TITLES}
    arms = [arm for _, arm in by_file.runs]
    runs = [(BY_FILE, by_file, arm, arm) for arm in arms]
    runs += [(HEARD, grouped, HEARD, "diffusion")] if (MODEL, HEARD) in grouped.runs else []
    runs += [(RULE, grouped, arm, arm) for arm in arms]

    def table(title: str, rows: dict[str, list[tuple[float, float, float]]], form: str) -> None:
        print(f"\n| {title} |", *(f"{name} |" for name in metrics.values()))
        print("|---|" + "---|" * len(metrics))
        for name, cells in rows.items():
            shown = [[format(100 * number, form) for number in cell] for cell in cells]
            print(f"| {name} |", *(f"{mean} [{low}, {high}] |" for mean, low, high in shown))

    print(f"\n{MODEL}, mean of {len(seeds)} seed(s) [{100 * grouped.level:g} % interval]; %, and points of it")
    scores = {
        f"{NAMES[way]}, {arm}": [(found.estimate(MODEL, key, m), *found.interval(MODEL, key, m)) for m in metrics]
        for way, found, key, arm in runs
    }
    table("score", scores, ".1f")
    flattery = {
        f"{NAMES[BY_FILE]}, {arm}, unpaired": [apart(by_file, grouped, arm, m) for m in metrics] for arm in arms
    }
    if (MODEL, HEARD) in grouped.runs:
        flattery[f"{NAMES[HEARD]}, diffusion, paired"] = [paired(grouped, HEARD, "diffusion", m) for m in metrics]
    table("flatters by", flattery, "+.1f")
    gains = {
        NAMES[way]: [paired(found, key, "none", m) for m in metrics]
        for way, found, key, arm in runs
        if arm == "diffusion"
    }
    if gains:
        table("diffusion against none, paired", gains, "+.1f")
    if len(seeds) == 1:
        print("\nOne seed: the luck of training is not in these intervals.")


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, help="of the classifiers (default: classifier.seeds)")
    parser.add_argument("--threads", type=int, help="default: runtime.threads")
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-leak"))
    parser.add_argument("--by-clip-only", action="store_true", help="(a) and (c) without diffusion")
    arguments = parser.parse_args(given)

    p = params.load()
    machine = p.runtime.model_copy(update={"threads": arguments.threads or p.runtime.threads})
    bench = Bench(
        p.model_copy(update={"runtime": machine}),
        ["none"] if arguments.by_clip_only else ["none", "diffusion"],
        arguments.work,
    )
    seeds = arguments.seeds or p.classifier.seeds
    print(f"work is kept in {bench.work}")
    grouped = [bench.rule(seeds), *([] if arguments.by_clip_only else [bench.heard(seeds)])]
    tables = [bench.by_file(seeds), pd.concat(grouped)]
    report(*(bootstrap(table, bench.labels, bench.rare, p.evaluation) for table in tables), seeds)


if __name__ == "__main__":
    run(main)
