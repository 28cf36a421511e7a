"""assess: how good, varied and new the generated sounds of each class are, beside real and cheaply changed ones."""

import json

import pandas as pd

from counterpoise import catalog, codecs, generated, params, runtime, splits
from counterpoise import generated_pictures as pictures
from counterpoise.assessment import Assessor
from counterpoise.classifiers.embedder import Embedder
from counterpoise.features import MelSpectrogram
from counterpoise.judging import Judge
from counterpoise.latents import Packed, Shelf
from counterpoise.listening import Ear
from stages import CLIPS, JUDGE, LATENTS, METRICS, PLOTS, SYNTHETIC, is_empty, nothing, prune, run

AT_MOST = 200  # real clips of a class that are measured, and what is made of them: a codec may take a second for each
PICTURES = PLOTS / "generated"


def main() -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    folders = {label: SYNTHETIC / label for label in p.classes if not is_empty(SYNTHETIC / label)}
    made = {label: catalog.read(folder / "lineage.csv", catalog.LINEAGE) for label, folder in folders.items()}
    made = {label: lineage for label, lineage in made.items() if len(lineage)}
    if is_empty(JUDGE) or not made:
        write([catalog.table([], generated.TABLE)], {})
        return nothing(PICTURES, "nothing was generated")
    prune(PICTURES, keep=[])

    # Real clips, spread over their recordings: those that no model has heard, and those that the models learned from
    clips = catalog.read(CLIPS, catalog.CLIPS)
    parts = clips.groupby(["label", splits.partition(clips, p.split, p.data)])
    real = {key: own[splits.clip_turns(own, p.split.seed) < AT_MOST] for key, own in parts}

    # Hear each class's sets, and measure them
    judge, embedder, codec = Judge.load(JUDGE), Embedder.of_judge(JUDGE, device), codecs.build(p.codec, device)
    ear = Ear(embedder.embed, MelSpectrogram(p.features, p.audio.sample_rate), p.audio)
    shelf = Shelf([Packed(LATENTS / f"{label}.safetensors") for label in p.classes])
    assessor = Assessor(ear, shelf, codec, p.codec.batch_size, p.generate.seed)
    held_out = {label: ear.hear(real[label, "test"], f"held-out {label}") for label in p.classes}
    tables, views, shown = [], {}, {}
    for label, lineage in made.items():
        sets = {generated.HELD_OUT: held_out[label], **assessor.hear(label, real[label, "train"], lineage)}
        others = {name: sounds for name, sounds in held_out.items() if name != label}
        tables.append(generated.measure(label, sets, others, judge, p.evaluation))
        copies = generated.near_copies(sets[generated.VARIATIONS], label, judge)
        views[label] = generated.view(tables[-1]) | {"near_copies": copies}
        if (candidates := SYNTHETIC / label / "candidates.csv").exists():
            views[label]["rejected"] = generated.rejections(catalog.read(candidates, catalog.CANDIDATES))
        shown[p.classes[label].name] = assessor.example(lineage, clips)

    # Outputs
    write(tables, {"embedding": embedder.name, **generated.ABOUT, "classes": views})
    names = {slug: info.name for slug, info in p.classes.items()}
    pictures.quality(pd.concat(tables), names, PICTURES / "quality.png")
    pictures.spectrograms(shown, ear.spectrogram, p.audio.sample_rate, PICTURES / "spectrograms.png")


def write(tables: list[pd.DataFrame], view: dict) -> None:
    METRICS.mkdir(exist_ok=True)
    (METRICS / "generated.json").write_text(json.dumps(view, indent=1, allow_nan=False) + "\n")
    catalog.write(pd.concat(tables), PLOTS / "generated.csv")


if __name__ == "__main__":
    run(main)
