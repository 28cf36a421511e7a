"""Can made clips count in another way? Three trials, each beside the same without diffusion.

    python -m benchmarks.made_clips [--work DIR] [--set classifier.steps=2400 …]

Run it where the pipeline has run with the arms none, classic, roundtrip and diffusion, and per-class models.

head anew   a network learns real and made clips, then its head starts again and learns real ones alone, as many of one
            class as of another (the arm `crt`).
doubt       three times as many variations are made; kept are those that the class filter gives its class .4 to .8
            (nearest to .6 where there are too few), or those it is surest of, or the first ones.
cross       variations start from clips of other classes, with noise of sigma 2 to 20; their labels are what the class
            filter says of them, as probabilities, and they are a tenth of each batch.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import inputs
from benchmarks.trials import Trial
from counterpoise import codecs
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.core import audio, tables
from counterpoise.diffusion.model import Model
from counterpoise.filtering import class_filter
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.generation import planning, sdedit
from counterpoise.splits import split
from stages.base import paths
from stages.base.work import run

DOUBT = (0.4, 0.8)  # what the filter gives the class
SHARE = 0.1  # of made clips in a batch, with cross starts


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-made-clips"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    options = parser.parse_args(given)
    p = inputs.parameters(options.changes)
    trial = Trial(p, options.work / f"{p.classifier.steps}")
    real = trial.table("none")

    # The head again
    for arm in ("none", "classic", "roundtrip", "diffusion"):
        trial.again(arm)
        trial.learn(f"{arm}, head anew", trial.table(arm), arm="crt")

    # Candidates of which the filter is in doubt
    made, said = variations(trial, options.work / "own", {"keep": "best", "candidates": 3.0})
    plan = tables.read(paths.PLAN, tables.BALANCE).set_index("label").synthetic
    own = pd.Series([said.loc[c, tables.PROBABILITY + label] for c, label in zip(made.clip_id, made.label)], made.index)
    ways = {
        "first": pd.Series(np.arange(len(made)), made.index),
        "doubtful": (own - np.mean(DOUBT)).abs(),
        "surest": -own,
    }
    inside = own.between(*DOUBT).groupby(made.label).mean()
    print("share of candidates in doubt:", ", ".join(f"{label} {share:.2f}" for label, share in inside.items()))
    for way, key in ways.items():
        kept = pd.concat(
            [made.loc[key[g.index].nsmallest(int(plan[label])).index] for label, g in made.groupby("label")]
        )
        examples = split.examples(_real(real), kept, tables.sha256)
        counts = examples.label.value_counts()
        trial.learn(way, examples, prior=[counts[label] / len(examples) for label in trial.labels])

    # Cross starts, soft labels
    made, said = variations(trial, options.work / "cross", {"start": "cross", "strength": [2.0, 20.0]})
    hard = pd.DataFrame(np.eye(len(trial.labels)), index=trial.labels, columns=said.columns)
    times = round((1 - SHARE) / SHARE * len(made) / len(real))
    repeated = pd.concat([real] * times, ignore_index=True)
    examples = pd.concat([repeated, split.examples(_real(real), made, tables.sha256).query("synthetic")])
    taught = np.concatenate([hard.loc[repeated.label], said.loc[examples.clip_id[len(repeated) :]]])
    trial.learn("cross, a tenth", examples.reset_index(drop=True), prior=taught.mean(axis=0), taught=taught)

    trial.of_the_run("none_denoisers")
    trial.report(
        ("diffusion, head anew", "none, head anew"),
        ("diffusion, head anew", "roundtrip, head anew"),
        ("doubtful", "first"),
        ("surest", "first"),
        ("cross, a tenth", "none"),
    )


def _real(real: pd.DataFrame) -> pd.DataFrame:
    """The catalogue's rows of the real training clips."""
    clips = tables.read(paths.ALL, tables.SPLIT)
    return clips[clips.clip_id.isin(set(real.clip_id))].drop(columns="partition")


def variations(trial: Trial, folder: Path, changes: dict) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Variations of all rare classes, rows of `tables.LINEAGE`; and what the filter says of each, `[N, K]` by clip."""
    p = trial.p
    generate = p.generate.model_copy(update=changes)
    clips = tables.read(paths.ALL, tables.SPLIT)
    training = clips[clips.partition == "train"].drop(columns="partition")
    shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in trial.labels])
    codec = codecs.build(p.codec, trial.device)
    learned = ClassFilter.load(paths.CLASS_FILTER)
    embedder = ClassFilter.embedder(paths.CLASS_FILTER, trial.device)
    lineages, said = [], []
    for row in tables.read(paths.PLAN, tables.BALANCE).itertuples():
        if not row.synthetic:
            continue
        model, out = paths.DIFFUSION / row.label, folder / row.label
        out.mkdir(parents=True, exist_ok=True)
        lineage = planning.plan(training, row.label, row.synthetic, generate, out, model)[list(tables.LINEAGE)]
        files = dict(zip(lineage.clip_id, map(Path, lineage.path), strict=True))
        made = sdedit.make(
            Model.load(model, trial.device),
            lineage,
            shelf,
            codec,
            generate,
            p.runtime,
            trial.device,
            lambda clip_ids, files=files: all(files[clip_id].exists() for clip_id in clip_ids),
        )
        for clip_id, wave in made:
            root = lineage.root_clip_id[lineage.clip_id == clip_id].iloc[0]
            wave = audio.fit(wave, round(shelf.seconds(root) * codec.sample_rate))
            audio.write_flac(files[clip_id], wave, codec.sample_rate)
        sounds = (audio.read(path, p.audio.sample_rate, p.audio.channels) for path in lineage.path)
        verdicts, embeddings = class_filter.examine_all(
            learned, row.label, sounds, lambda wave: embedder.embed(wave, p.audio.sample_rate)
        )
        columns = [tables.PROBABILITY + label for label in learned.labels]
        said.append(pd.DataFrame(learned.probabilities(embeddings), index=lineage.clip_id, columns=columns))
        # Silent ones, clipped ones and copies are left out whatever the filter says of their class
        usable = verdicts.reason.isin(["", class_filter.OTHER_CLASS]).to_numpy()
        lineages.append(lineage[usable])
    order = [tables.PROBABILITY + label for label in trial.labels]
    return pd.concat(lineages, ignore_index=True), pd.concat(said)[order]


if __name__ == "__main__":
    run(main)
