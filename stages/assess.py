"""assess: how good, varied and new the generated sounds of each class are, beside real and cheaply changed ones."""

import json

import pandas as pd

from counterpoise import codecs
from counterpoise.assessment import measures, plots
from counterpoise.assessment.assessor import Assessor
from counterpoise.assessment.sounds import Listener
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.generation.settings import Generate
from counterpoise.metrics.intervals import Evaluation
from counterpoise.splits import split
from counterpoise.splits.split import Split
from stages.base import paths
from stages.base.work import is_empty, nothing, prune, run, tell

AT_MOST = 200  # real clips of a class that are measured, and what is made of them: a codec may take a second for each
PICTURES = paths.GENERATED / "pictures"


class Params(File):
    audio: Audio
    classes: Classes
    codec: CodecSettings
    evaluation: Evaluation
    features: Features
    generate: Generate
    runtime: Runtime
    split: Split


def main() -> None:
    p = Params.read()
    device = runtime.setup(p.runtime)
    folders = {label: paths.SYNTHETIC / label for label in p.classes if not is_empty(paths.SYNTHETIC / label)}
    made = {label: tables.read(folder / "lineage.csv", tables.LINEAGE) for label, folder in folders.items()}
    made = {label: lineage for label, lineage in made.items() if len(lineage)}
    if is_empty(paths.CLASS_FILTER) or not made:
        write([tables.table([], measures.TABLE)], {})
        return nothing(PICTURES, "nothing was generated")
    prune(PICTURES, keep=[])

    # Real clips, spread over their recordings: those that no model has seen, and those that the models learned from
    clips = tables.read(paths.ALL, tables.SPLIT)
    parts = clips.groupby(["label", "partition"])
    real = {key: own[split.clip_turns(own, p.split.seed) < AT_MOST] for key, own in parts}

    # Measure each class's sets
    class_filter, embedder = ClassFilter.load(paths.CLASS_FILTER), ClassFilter.embedder(paths.CLASS_FILTER, device)
    codec = codecs.build(p.codec, device)
    listener = Listener(embedder.embed, MelSpectrogram(p.features, p.audio.sample_rate), p.audio)
    shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in p.classes])
    assessor = Assessor(listener, shelf, codec, p.codec.batch_size, p.generate.seed)
    held_out = {label: listener.measure(real[label, "test"], f"held-out {label}") for label in p.classes}
    found, views, shown = [], {}, {}
    for label, lineage in made.items():
        sets = {measures.HELD_OUT: held_out[label], **assessor.sets(label, real[label, "train"], lineage)}
        others = {name: sounds for name, sounds in held_out.items() if name != label}
        found.append(measures.measure(label, sets, others, class_filter, p.evaluation))
        copies = measures.near_copies(sets[measures.VARIATIONS], label, class_filter)
        views[label] = measures.view(found[-1]) | {"near_copies": copies}
        if (candidates := paths.SYNTHETIC / label / "candidates.csv").exists():
            views[label]["rejected"] = measures.rejections(tables.read(candidates, tables.CANDIDATES))
        shown[p.classes[label].name] = assessor.example(lineage, clips)

    # Outputs
    write(found, {"embedding": embedder.name, **measures.ABOUT, "classes": views})
    names = {slug: info.name for slug, info in p.classes.items()}
    plots.quality(pd.concat(found), names, PICTURES / "quality.png")
    plots.spectrograms(shown, listener.spectrogram, p.audio.sample_rate, PICTURES / "spectrograms.png")
    amount = counted(sum(map(len, made.values())), "variation")
    tell(paths.GENERATED, f"measures of {amount} of {counted(len(made), 'class')}")


def write(found: list[pd.DataFrame], view: dict) -> None:
    paths.GENERATED.mkdir(parents=True, exist_ok=True)
    (paths.GENERATED / "generated.json").write_text(json.dumps(view, indent=1, allow_nan=False) + "\n")
    tables.write(pd.concat(found), paths.GENERATED / "generated.csv")


if __name__ == "__main__":
    run(main)
