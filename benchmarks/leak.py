"""The leak, measured: by how many points careless splits flatter the same classifier on the same clips.

    python -m benchmarks.leak [--seeds 0 1 2] [--threads N] [--work DIR] [--by-clip-only]

Run it where `make run` has finished with the arms `none` and `diffusion`; it writes into DIR alone. Three ways:

    (a) by file   clips are drawn at random into train, val and test, with as many of each class in each as (c) has:
                  recordings lie on both sides, and the training clips come from more recordings
    (b) seen      the split of (c), but the diffusion models learned from the test clips, too, so from more clips;
                  variations start from training clips, and with `keep: all` as many with the same seeds and strengths
    (c) the rule  what the pipeline made

(a) and (b) run the pipeline's own stages in folders of DIR, on doctored tables. In (a) every file passes for a
recording; in (b) the latents of test clips lie among the training clips under other names. Diffusion models, with the
same parameters (validation may stop each at another step), are trained anew, so `none` of (b) is that of (c).
Classifiers of (c) are those of the pipeline where it trained that seed with the present parameters.

Intervals are those of `counterpoise.evaluation.bootstrap`, by recording and seed, each for itself. (b) and (c) have the
same test clips: their difference is paired. (a) has others: the interval of (a) - (c) is made of those of both scores
(MOVER: Zou and Donner, Statistics in Medicine 27, 2008), which takes them to be independent. It knows of one random
split. `--by-clip-only` trains no diffusion model: (a) and (c), arm `none`. What was made is kept in DIR and used again
with the same parameters and data, even if the code has changed since.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from benchmarks.trials import MODEL, learned
from counterpoise.arms import arm as arms
from counterpoise.classifiers import training
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.networks.network import Network
from counterpoise.cli.params import Params
from counterpoise.codecs.latents import Packed, Shelf, Writer
from counterpoise.core import CounterpoiseError, runtime, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.evaluation import metrics, scores
from counterpoise.evaluation.bootstrap import Bootstrap, bootstrap
from counterpoise.splits import split
from counterpoise.splits.training_tables import Material
from stages.base import paths
from stages.base.work import NOTHING, is_empty, run

BY_FILE, SEEN, RULE = "by_file", "seen", "rule"
NAMES = {BY_FILE: "(a) by file", SEEN: "(b) seen", RULE: "(c) the rule"}
PARTITIONS = ("train", "val", "test")
SOUNDS = "data/sounds"  # data.path of doctored folders, which hold no sounds
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # dvc.yaml says `python`
    "DVC_NO_ANALYTICS": "1",
}


class Bench:
    """The pipeline's clips and parameters, and a folder in which every piece is made once."""

    def __init__(self, p: Params, arms: list[str], work: Path) -> None:
        if missing := set(arms) - set(p.arms):
            raise CounterpoiseError(f"`arms` lacks {', '.join(sorted(missing))}: add to params.yaml, then `make run`")
        self.p, self.arms, self.labels, self.device = p, arms, list(p.classes), runtime.setup(p.runtime)
        clips = tables.read(paths.ALL, tables.SPLIT)
        clips["path"] = [str(Path(path).absolute()) for path in clips.path]
        self.clips = clips[clips.partition.isin(PARTITIONS)].reset_index(drop=True)
        self.plan = tables.read(paths.PLAN, tables.BALANCE)  # of (a), too: it has as many training clips of each class
        self.rare = self.plan.label[self.plan.rare].tolist()
        self.test = tables.read(paths.SPLITS / "test.csv", tables.EXAMPLES)
        self.train = {arm: tables.read(paths.SPLITS / f"train_{arm}.csv", tables.EXAMPLES) for arm in arms}
        tables.check_contents(pd.concat([self.test, *self.train.values()]))

        # A folder for these parameters and data
        left_out = {"arms": True, "models": True, "evaluation": True, "classifier": {"seeds"}}
        written = [paths.SPLITS / f"{name}.csv" for name in ("test", "train_none", "train_diffusion")]
        files = [paths.ALL, *sorted(paths.LATENTS.glob("*.safetensors")), *filter(Path.exists, written)]
        told = [p.model_dump(mode="json", exclude=left_out), str(Path.cwd()), *map(tables.sha256, files)]
        self.work = work.absolute() / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    def by_file(self, seeds: list[int]) -> pd.DataFrame:
        """Train and test in way (a); the predictions of all seeds."""
        clips = drawn(self.clips, runtime.seed_for("by file", self.p.split.seed))
        part = {name: clips[clips.partition == name] for name in PARTITIONS}
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
            made = self.made_by_file(clips.assign(source_id=clips.clip_id))
        train = self.tables(part["train"], made, self.arms)
        test = split.examples(part["test"], None, tables.sha256)
        return pd.concat([self.tested(BY_FILE, arm, seed, train[arm], test) for arm in self.arms for seed in seeds])

    def seen(self, seeds: list[int]) -> pd.DataFrame:
        """Train and test in way (b), the arm `diffusion` alone; the predictions of all seeds."""
        train = self.clips[self.clips.partition == "train"]
        table = self.tables(train, self.made_seen(), ["diffusion"])["diffusion"]
        return pd.concat([self.tested(SEEN, "diffusion", seed, table, self.test) for seed in seeds])

    def rule(self, seeds: list[int]) -> pd.DataFrame:
        """Test what the pipeline trained, or train it on its tables; the predictions of all seeds."""
        return pd.concat(
            [self.tested(RULE, arm, seed, self.train[arm], self.test) for arm in self.arms for seed in seeds]
        )

    def made_by_file(self, clips: pd.DataFrame) -> pd.DataFrame:
        """What the stages make of clips with another `partition`: rows of `tables.LINEAGE` with absolute paths."""
        folder = self.work / BY_FILE
        if not (folder / "params.yaml").exists():
            self.doctor(folder, clips, clips.assign(original=clips.clip_id))
        reproduce(folder, "balance", "train_class_filter", "augment")
        return pd.concat([self.varied(folder), lineage(folder, paths.AUGMENTED)])

    def made_seen(self) -> pd.DataFrame:
        """The same for models that learned the test clips, too. What to make of which clips is as in the pipeline."""
        folder = self.work / SEEN
        if not (folder / "params.yaml").exists():
            for place in (paths.BALANCE, paths.CLASS_FILTER):
                shutil.copytree(place, folder / place, dirs_exist_ok=True)
            test = self.clips[self.clips.partition == "test"]
            others = test.assign(original=test.clip_id, clip_id=test.clip_id + "-seen", partition="train")
            everything = pd.concat([self.clips.assign(original=self.clips.clip_id), others])
            self.doctor(folder, everything[list(tables.SPLIT)], everything)
        return pd.concat([self.varied(folder), lineage(Path.cwd(), paths.AUGMENTED)])

    def varied(self, folder: Path) -> pd.DataFrame:
        """Let the stages train diffusion models and vary training clips: rows of `tables.LINEAGE`, absolute paths."""
        reproduce(folder, "train_base")
        amounts, found = self.plan[self.plan.synthetic > 0], [tables.table([], tables.LINEAGE)]
        for label, real in zip(amounts.label, amounts.real):
            self.write_params(folder, self.p.diffusion.budget(real))
            reproduce(folder, f"train_diffusion@{label}", f"generate@{label}")
            found.append(lineage(folder, paths.SYNTHETIC / label))
        return pd.concat(found)

    def doctor(self, folder: Path, clips: pd.DataFrame, latents: pd.DataFrame) -> None:
        """Write all that the stages read, the parameters last.

        Args:
            clips: columns `tables.SPLIT`, as the stages are to believe them.
            latents: the same clips, with the `original` whose latent each has.
        """
        for place in ("counterpoise", "stages", paths.PRETRAINED.parent):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(place, folder / place, ignore=ignored, dirs_exist_ok=True)
        for place in (paths.RAW, SOUNDS):
            (folder / place).mkdir(parents=True, exist_ok=True)
            (folder / place / NOTHING).write_text("sounds lie elsewhere; tables hold absolute paths\n")
        shutil.copy("dvc.yaml", folder)
        if not (folder / ".dvc").exists():
            dvc(folder, "init", "--no-scm", "--quiet")

        shutil.copytree(paths.SPLIT, folder / paths.SPLIT, dirs_exist_ok=True)  # for its unlabelled clips
        if paths.UNLABELLED_LATENTS.exists():
            (folder / paths.LATENTS).mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.UNLABELLED_LATENTS, folder / paths.LATENTS)
        tables.write(clips, folder / paths.ALL)
        shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in self.labels])
        for label, own in latents.groupby("label"):
            tables.write(own[list(tables.SPLIT)], folder / paths.SPLIT / f"{label}.csv")
            own = own.assign(frames=own.original.map(shelf.frames))
            channels = len(shelf[own.original.iloc[0]])
            writer = Writer(folder / paths.LATENTS / f"{label}.safetensors", own, channels)
            for row, original in enumerate(own.original):
                writer.put(row, shelf[original])
            writer.close()
        self.write_params(folder, self.p.diffusion.steps)

    def write_params(self, folder: Path, steps: int) -> None:
        """The pipeline's params.yaml, for a class that is trained for so many steps, whatever else it sees."""
        changes = {
            "data": self.p.data.model_copy(update={"path": SOUNDS}),
            "diffusion": self.p.diffusion.model_copy(update={"steps": steps, "steps_per_clip": None}),
            "arms": self.arms,
        }
        text = self.p.model_copy(update=changes).model_dump_json(indent=1)  # which is YAML, too
        (folder / "params.yaml").write_text(text, encoding="utf-8")

    def tables(self, clips: pd.DataFrame, made: pd.DataFrame, names: list[str]) -> dict[str, pd.DataFrame]:
        """What these arms train on, as group_split writes it, but without its proof, which would fail."""
        training = clips.drop(columns="partition")
        material = Material(training, self.plan, self.p.aug.real_through_codec, self.p.generate.seed)
        return {name: material.table(arms.load(name), made, tables.sha256) for name in names}

    def tested(self, way: str, arm: str, seed: int, train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
        """Predictions of one classifier, which is trained if neither the pipeline nor an earlier run did."""
        p, name = self.p, f"{way}-{arm}-seed{seed}"
        file = self.work / "predictions" / f"{name}.csv"
        if file.exists():
            return tables.read(file, scores.columns(self.labels))
        network = self.trained(arm, seed) if way == RULE else None
        if network is None:
            print(f"training {name} on {len(train)} clips")
            checkpoint = Checkpoint(self.work / "classifiers" / f"{name}.pt")
            network = learned(p, self.labels, train, seed, self.device, checkpoint)
        probabilities = training.predict(network, test, p.audio, p.runtime, self.device, p.classifier.batch_size)
        column = SEEN if way == SEEN else arm
        table = scores.predictions(test, probabilities, self.labels, MODEL, column, seed, p.split.test_fold)
        tables.write(table, file, exact=True)
        return table

    def trained(self, arm: str, seed: int) -> Network | None:
        """The pipeline's classifier, or None where it trained this seed with other parameters, or not at all."""
        name, lock = f"{arm}-{MODEL}", Path("dvc.lock")
        folder = paths.CLASSIFIER / name / f"seed{seed}"
        stages = YAML(typ="safe").load(lock.read_text(encoding="utf-8"))["stages"] if lock.exists() else {}
        stage = stages.get(f"train_classifier@{name}")
        if stage is None or not folder.exists():
            return None
        network, card = io.load(folder, self.device)
        then, now = stage["params"]["params.yaml"]["classifier"], self.p.classifier.model_dump(mode="json")
        same = {**then, "seeds": []} == {**now, "seeds": []}
        same &= (card.labels, card.audio, card.features) == (self.labels, self.p.audio, self.p.features)
        return network if same else None


def dvc(folder: Path, *command: str) -> None:
    """Run DVC in a doctored folder."""
    subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, env=ENVIRONMENT, check=True)


def reproduce(folder: Path, *stages: str) -> None:
    """Let DVC run these stages and no others, where they have not run yet."""
    dvc(folder, "repro", "--single-item", *stages)


def lineage(root: Path, folder: Path) -> pd.DataFrame:
    """Rows of `tables.LINEAGE` of what a stage made in a folder below `root`, with absolute paths."""
    if is_empty(root / folder):
        return tables.table([], tables.LINEAGE)
    made = tables.read(root / folder / "lineage.csv", tables.LINEAGE)
    return made.assign(path=[str(root / path) for path in made.path])


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
    shown = [name for name in grouped.metrics if name in metrics.METRICS]
    arms = [arm for _, arm in by_file.runs]
    runs = [(BY_FILE, by_file, arm, arm) for arm in arms]
    runs += [(SEEN, grouped, SEEN, "diffusion")] if (MODEL, SEEN) in grouped.runs else []
    runs += [(RULE, grouped, arm, arm) for arm in arms]

    def table(title: str, rows: dict[str, list[tuple[float, float, float]]], form: str) -> None:
        print(f"\n| {title} |", *(f"{metrics.title(name)} |" for name in shown))
        print("|---|" + "---|" * len(shown))
        for name, cells in rows.items():
            numbers = [[format(100 * number, form) for number in cell] for cell in cells]
            print(f"| {name} |", *(f"{mean} [{low}, {high}] |" for mean, low, high in numbers))

    print(f"\n{MODEL}, mean of {len(seeds)} seed(s) [{100 * grouped.level:g} % interval]; %, and points of it")
    estimates = {
        f"{NAMES[way]}, {arm}": [(found.estimate(MODEL, key, m), *found.interval(MODEL, key, m)) for m in shown]
        for way, found, key, arm in runs
    }
    table("score", estimates, ".1f")
    flattery = {f"{NAMES[BY_FILE]}, {arm}, unpaired": [apart(by_file, grouped, arm, m) for m in shown] for arm in arms}
    if (MODEL, SEEN) in grouped.runs:
        flattery[f"{NAMES[SEEN]}, diffusion, paired"] = [paired(grouped, SEEN, "diffusion", m) for m in shown]
    table("flatters by", flattery, "+.1f")
    gains = {
        NAMES[way]: [paired(found, key, "none", m) for m in shown]
        for way, found, key, arm in runs
        if arm == "diffusion"
    }
    if gains:
        table("diffusion against none, paired", gains, "+.1f")
    if len(seeds) == 1:
        print("\nOne seed: the variance of training is not in these intervals.")


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, help="of the classifiers (default: classifier.seeds)")
    parser.add_argument("--threads", type=int, help="default: runtime.threads")
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-leak"))
    parser.add_argument("--by-clip-only", action="store_true", help="(a) and (c) without diffusion")
    arguments = parser.parse_args(given)

    p = Params.read()
    machine = p.runtime.model_copy(update={"threads": arguments.threads or p.runtime.threads})
    bench = Bench(
        p.model_copy(update={"runtime": machine}),
        ["none"] if arguments.by_clip_only else ["none", "diffusion"],
        arguments.work,
    )
    seeds = arguments.seeds or p.classifier.seeds
    print(f"work is kept in {bench.work}")
    grouped = [bench.rule(seeds), *([] if arguments.by_clip_only else [bench.seen(seeds)])]
    tables = [bench.by_file(seeds), pd.concat(grouped)]
    report(*(bootstrap(table, bench.labels, bench.rare, p.evaluation) for table in tables), seeds)


if __name__ == "__main__":
    run(main)
