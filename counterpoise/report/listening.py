"""The listening room: training clips beside their round trips and everything that was made of them, to hear and to see.

Each sound is kept in the form in which a classifier reads it, so that what is heard is what was learned. What the class
filter says of a sound is said here of every sound, whether or not `generate.keep` asked it.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import image
from torch import Tensor

from counterpoise.assessment.assessor import derived
from counterpoise.assessment.plots import SHOWN_DB, levels
from counterpoise.augment.clips import write_round_trips
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Shelf
from counterpoise.core import audio, tables
from counterpoise.core.audio import Audio
from counterpoise.core.naming import printable
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.filtering import class_filter
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.metrics import kad
from counterpoise.splits.split import clip_turns

REAL, ROUND_TRIP, DIFFUSION = "real", "roundtrip", "diffusion"
KINDS = (REAL, ROUND_TRIP, "classic", "background", DIFFUSION)  # in the order in which they stand beside each other
CHEAP_OF_ROOT = 2  # clips of one cheap kind that are shown of one training clip
KEPT, DOUBTFUL, REJECTED = "kept", "doubtful", "rejected"
COLOURS = "cividis"  # reads alike with and without colour vision (Nuñez, Anderton & Renslow, PLOS ONE 2018)
NO_SOFTWARE: Any = {"Software": None}  # whose name and version would change the bytes
DIGITS = 4


@dataclass(frozen=True)
class Ear:
    """What the class filter hears with; a collection for which nothing was made has none."""

    class_filter: ClassFilter
    embed: Callable[[Tensor, int], Tensor]  # `Embedder.embed`


@dataclass(frozen=True)
class Room:
    """Writes the sounds of one class after the other; one class's shown sounds are in memory at a time.

    Attributes:
        form: in which sounds are kept and heard.
        spectrogram: of which pictures are drawn.
        codec, shelf, batch_size: make round trips of the latents of all classes' clips.
        ear: None where there is no class filter: then nothing is said of a sound.
        at_most: training clips of each class that are shown.
        seed: `split.seed`, which spreads them over recordings.
    """

    form: Audio
    spectrogram: MelSpectrogram
    codec: Codec
    shelf: Shelf
    batch_size: int
    ear: Ear | None
    at_most: int
    seed: int

    def write(
        self, label: str, training: pd.DataFrame, made: pd.DataFrame, rejected: set[str], folder: Path
    ) -> dict[str, int]:
        """Write `sounds/<label>/` and `listen/<label>.js` of one class.

        Args:
            label: the class's slug.
            training: the catalogue's rows of its training clips, 1 or more.
            made: `tables.LINEAGE` of what was made for the class, by diffusion and without.
            rejected: clip ids in it that no arm trains on.
            folder: of the whole page.

        Returns:
            How many sounds of each kind there are to hear.

        Raises:
            AudioError: a sound cannot be read.
        """
        roots = shown(training, made, self.at_most, self.seed)
        with tempfile.TemporaryDirectory() as trips:
            decoded = derived(roots, self.seed, Path(trips)).assign(start=ROUND_TRIP)
            write_round_trips(decoded, roots, self.shelf, self.codec, self.batch_size)
            sounds = in_order(roots, pd.concat([decoded, made], ignore_index=True))
            waves = [audio.read(path, self.form.sample_rate, self.form.channels) for path in sounds.path]
        sounds = pd.concat([sounds, self._heard(label, sounds, waves)], axis=1)
        places = self._keep(label, waves, folder)
        families = [
            {
                "root": printable(str(root.path)),
                "recording": printable(str(root.source_id)),
                "sounds": [
                    describe(sound, seconds=waves[i].shape[1] / self.form.sample_rate, place=places[i])
                    | {"verdict": verdict(sound.kind, sound.reason, sound.clip_id in rejected)}
                    for i, sound in zip(own.index, own.itertuples())
                ],
            }
            for root, (_, own) in zip(roots.itertuples(), sounds.groupby("root_clip_id", sort=False))
        ]
        script = f"listeningRoom.add({json.dumps(label)}, {json.dumps(families, separators=(',', ':'))});\n"
        (folder / "listen").mkdir(parents=True, exist_ok=True)
        (folder / "listen" / f"{label}.js").write_text(script, encoding="utf-8")
        return sounds.kind.value_counts(sort=False).to_dict()

    def _heard(self, label: str, sounds: pd.DataFrame, waves: list[np.ndarray]) -> pd.DataFrame:
        """What the class filter says of each sound, and its likeness to its root; empty where there is no filter."""
        if self.ear is None:
            unknown = {"recognised": "", "probability": np.nan, "nearest": "", "reason": "", "cosine": np.nan}
            return pd.DataFrame(unknown, index=sounds.index)
        embed = self.ear.embed
        verdicts, embeddings = class_filter.examine_all(
            self.ear.class_filter, label, waves, lambda wave: embed(wave, self.form.sample_rate)
        )
        real = (sounds.kind == REAL).to_numpy()
        row_of = {clip_id: i for i, clip_id in enumerate(sounds.clip_id[real])}
        roots = [row_of[clip_id] for clip_id in sounds.root_clip_id]
        return verdicts.assign(cosine=kad.novelty(embeddings, embeddings[real], roots).root_cosine)

    def _keep(self, label: str, waves: list[np.ndarray], folder: Path) -> list[str]:
        """Write each sound and its picture; their paths below the folder, without endings."""
        (folder / "sounds" / label).mkdir(parents=True, exist_ok=True)
        places = [f"sounds/{label}/{i:04d}" for i in range(len(waves))]
        for wave, place in zip(waves, places):
            audio.write_flac(folder / f"{place}.flac", wave, self.form.sample_rate)
            picture = levels(wave, self.spectrogram)[::-1]
            image.imsave(folder / f"{place}.png", picture, vmin=-SHOWN_DB, vmax=0, cmap=COLOURS, metadata=NO_SOFTWARE)
        return places


def shown(training: pd.DataFrame, made: pd.DataFrame, at_most: int, seed: int) -> pd.DataFrame:
    """The training clips to show: those first of which diffusion made something, spread over recordings.

    Args:
        training: the catalogue's rows of one class's training clips.
        made: `tables.LINEAGE` of what was made for the class.
        at_most: how many.
        seed: of the spread.
    """
    varied = training.clip_id.isin(made.root_clip_id[~made.start.isin(tables.CHEAP)])
    order = np.lexsort((clip_turns(training, seed), ~varied))
    return training.iloc[order[:at_most]]


def in_order(roots: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Each root and what was made of it: roots in their order, then kinds, then rising strength.

    Args:
        roots: the catalogue's rows of the clips that are shown.
        made: rows like `tables.LINEAGE`; of a cheap kind the first few of a root are shown, and one round trip.

    Returns:
        The columns of `made` and `kind`, one of KINDS.
    """
    real = roots.assign(root_clip_id=roots.clip_id, start=REAL)[
        ["clip_id", "path", "source_id", "root_clip_id", "start"]
    ]
    made = made[made.root_clip_id.isin(roots.clip_id)]
    made = made.assign(seed=made.seed.astype(str))  # it has more digits than numbers have in JavaScript, or beside NaN
    both = pd.concat([real, made], ignore_index=True)
    both["kind"] = both.start.where(both.start.isin(KINDS), DIFFUSION)
    both["turn"] = both.groupby(["root_clip_id", "kind"]).cumcount()
    few = both.kind.map({REAL: 1, ROUND_TRIP: 1, DIFFUSION: len(both)}).fillna(CHEAP_OF_ROOT)
    both = both[both.turn < few]
    place = {clip_id: i for i, clip_id in enumerate(roots.clip_id)}
    order = np.lexsort(
        (both.turn, both.get("strength", both.turn), both.kind.map(KINDS.index), both.root_clip_id.map(place))
    )
    return both.iloc[order].drop(columns="turn").reset_index(drop=True)


def verdict(kind: str, reason: str, rejected: bool) -> str:
    """KEPT, DOUBTFUL (an arm trains on it, though the filter would not), REJECTED; "" of what no filter is for."""
    if kind != DIFFUSION:
        return ""
    return REJECTED if rejected else DOUBTFUL if reason else KEPT


def describe(sound, seconds: float, place: str) -> dict:  # type: ignore[no-untyped-def]
    """One sound for the page's script; what is not known is left out.

    Args:
        sound: a row of :func:`in_order`, with what the class filter said.
        seconds: its length.
        place: of its files below the page's folder, without endings.
    """
    made = sound.kind not in (REAL, ROUND_TRIP)
    known = {
        "kind": sound.kind,
        "clip": printable(str(sound.clip_id)),
        "place": place,
        "seconds": round(seconds, 2),
        "strength": _number(getattr(sound, "strength", np.nan)) if made and sound.kind != "classic" else None,
        "start": sound.start if sound.kind == DIFFUSION else None,
        "other": _text(getattr(sound, "other_clip_id", "")),
        "seed": sound.seed if made else None,
        "model": _text(getattr(sound, "model", "")),
        "heard": _text(sound.recognised),
        "probability": _number(sound.probability),
        "cosine": None if sound.kind == REAL else _number(sound.cosine),
        "nearest": None if sound.kind == REAL else _text(sound.nearest),
        "reason": _text(sound.reason) if sound.kind == DIFFUSION else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _number(value: float) -> float | None:
    return None if pd.isna(value) else round(float(value), DIGITS)


def _text(value: object) -> str | None:
    return printable(str(value)) if isinstance(value, str) and value else None
