"""assess: how good, varied and new the generated sounds of each class are, beside real and cheaply changed ones."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise import audio, augmentation, catalog, codecs, generated, params, runtime, splits
from counterpoise import generated_pictures as pictures
from counterpoise.classifiers.embedder import Embedder
from counterpoise.codecs import Codec
from counterpoise.features import MelSpectrogram
from counterpoise.judging import Judge
from counterpoise.latents import Packed, Shelf
from counterpoise.listening import Ear, derived
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
    held_out = {label: ear.hear(real[label, "test"], f"held-out {label}") for label in p.classes}
    tables, views, shown = [], {}, {}
    for label, lineage in made.items():
        training = real[label, "train"]
        with tempfile.TemporaryDirectory() as folder:
            decoded, changed = (derived(training, p.generate.seed, Path(folder) / kind) for kind in ("trip", "classic"))
            augmentation.write_round_trips(decoded, training, shelf, codec, p.codec.batch_size)
            augmentation.write_classic(changed, training, p.audio)
            sets = {
                generated.HELD_OUT: held_out[label],
                generated.TRAINING: ear.hear(training, f"training {label}"),
                generated.ROUND_TRIP: ear.hear(decoded, f"round trips {label}"),
                generated.CLASSIC: ear.hear(changed, f"classic {label}"),
                generated.VARIATIONS: ear.hear(lineage, f"variations {label}"),
            }
        others = {name: sounds for name, sounds in held_out.items() if name != label}
        tables.append(generated.measure(label, sets, others, judge, p.evaluation))
        views[label] = generated.view(tables[-1])
        views[label]["near_copies"] = generated.near_copies(sets[generated.VARIATIONS], label, judge)
        if (candidates := SYNTHETIC / label / "candidates.csv").exists():
            views[label]["rejected"] = generated.rejections(catalog.read(candidates, catalog.CANDIDATES))
        shown[p.classes[label].name] = example(lineage, clips, shelf, codec, p)

    # Outputs
    write(tables, {"embedding": embedder.name, **generated.ABOUT, "classes": views})
    names = {slug: info.name for slug, info in p.classes.items()}
    pictures.quality(pd.concat(tables), names, PICTURES / "quality.png")
    pictures.spectrograms(shown, ear.spectrogram, p.audio.sample_rate, PICTURES / "spectrograms.png")


def example(
    lineage: pd.DataFrame, clips: pd.DataFrame, shelf: Shelf, codec: Codec, p: params.Params
) -> list[tuple[str, np.ndarray]]:
    """A clip, its round trip and variations, of it if there are some, each with a title."""
    variations = pictures.examples(lineage)
    root = clips[clips.clip_id == variations.root_clip_id.mode()[0]]
    with tempfile.TemporaryDirectory() as folder:
        decoded = derived(root, p.generate.seed, Path(folder))
        augmentation.write_round_trips(decoded, root, shelf, codec, 1)
        paths = [*root.path, *decoded.path, *variations.path]
        waves = [audio.read(path, p.audio.sample_rate, p.audio.channels) for path in paths]
    others = ["" if own else ", another clip" for own in variations.root_clip_id == root.clip_id.iloc[0]]
    titles = [f"strength {strength:.2g}{other}" for strength, other in zip(variations.strength, others)]
    return list(zip(["training clip", "through the codec", *titles], waves))


def write(tables: list[pd.DataFrame], view: dict) -> None:
    METRICS.mkdir(exist_ok=True)
    (METRICS / "generated.json").write_text(json.dumps(view, indent=1, allow_nan=False) + "\n")
    catalog.write(pd.concat(tables), PLOTS / "generated.csv")


if __name__ == "__main__":
    run(main)
