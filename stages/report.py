"""report: a page with the answer, tables, charts, and a room to listen in."""

import json
from pathlib import Path

import pandas as pd

from counterpoise import codecs
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.evaluation import report as results
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.release import folder as release
from counterpoise.report import listening, page
from counterpoise.report.settings import Report
from counterpoise.splits.split import Split
from stages.base import paths
from stages.base.work import is_empty, prune, run, tell, why_empty


class Params(File):
    audio: Audio
    classes: Classes
    codec: CodecSettings
    data: Data
    features: Features
    report: Report
    runtime: Runtime
    split: Split


def main() -> None:
    p = Params.read()
    device = runtime.setup(p.runtime)
    prune(paths.REPORT, keep=[])

    # Listening room
    clips = tables.read(paths.ALL, tables.SPLIT)
    training = clips[clips.partition == "train"]
    cheap = lineage_of(paths.AUGMENTED)
    ear = None
    if not is_empty(paths.CLASS_FILTER):
        embedder = ClassFilter.embedder(paths.CLASS_FILTER, device)
        ear = listening.Ear(ClassFilter.load(paths.CLASS_FILTER), embedder.embed)
    room = listening.Room(
        form=p.audio,
        spectrogram=MelSpectrogram(p.features, p.audio.sample_rate),
        codec=codecs.build(p.codec, device),
        shelf=Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in p.classes]),
        batch_size=p.codec.batch_size,
        ear=ear,
        at_most=p.report.clips,
        seed=p.split.seed,
    )
    sounds = {}
    for label in p.classes:
        made, rejected = (lineage_of(paths.SYNTHETIC / label / below) for below in ("", paths.REJECTED_BELOW))
        everything = pd.concat([cheap[cheap.label == label], made, rejected], ignore_index=True)
        own = training[training.label == label]
        sounds[label] = room.write(label, own, everything, set(rejected.clip_id), paths.REPORT)

    # Page
    metrics = results.read(paths.METRICS)
    for name in ("generated", "data"):
        metrics[name] = json.loads((paths.METRICS / f"{name}.json").read_text())
    about = release.read(paths.RELEASE)
    page.write(
        page.Run(
            dataset=p.data.dataset,
            metrics=metrics,
            names={slug: info.name for slug, info in p.classes.items()},
            sounds=sounds,
            embedding=embedder.name if ear else None,
            silence=why_empty(paths.CLASS_FILTER) if ear is None else "",
            release=(about, paths.RELEASE.as_posix()) if about else None,
        ),
        paths.REPORT,
    )
    heard = sum(sum(own.values()) for own in sounds.values())
    tell(paths.REPORT / "index.html", f"the answer, charts, and {heard:,} sounds of {len(sounds)} classes to listen to")


def lineage_of(folder: Path) -> pd.DataFrame:
    """What was made there; nothing where nothing was."""
    if not (folder / "lineage.csv").exists():
        return tables.table([], tables.LINEAGE)
    return tables.read(folder / "lineage.csv", tables.LINEAGE)


if __name__ == "__main__":
    run(main)
