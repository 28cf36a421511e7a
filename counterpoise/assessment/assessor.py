"""A class's variations, measured and shown beside real clips and what is made of these without a diffusion model."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.assessment.measures import CLASSIC, ROUND_TRIP, TRAINING, VARIATIONS
from counterpoise.assessment.plots import examples
from counterpoise.assessment.sounds import Listener, Sounds
from counterpoise.augment.clips import write_classic, write_round_trips
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Shelf
from counterpoise.core import audio
from counterpoise.core.runtime import seed_for


@dataclass(frozen=True)
class Assessor:
    """Takes one class after the other.

    What it makes of real clips is deleted once it is measured.
    """

    listener: Listener
    shelf: Shelf  # the latents of all classes' clips
    codec: Codec
    batch_size: int  # clips that are decoded together, at most
    seed: int  # `generate.seed`

    def sets(self, label: str, training: pd.DataFrame, lineage: pd.DataFrame) -> dict[str, Sounds]:
        """The sets of one class that :func:`measures.measure` compares, all but its held-out clips.

        Args:
            training: the catalogue's rows of the training clips to measure and to make something of, 1 or more.
            lineage: `tables.LINEAGE` of the class's variations, 1 or more rows.

        Raises:
            AudioError: a clip or a variation cannot be read.
        """
        with tempfile.TemporaryDirectory() as folder:
            decoded, changed = (derived(training, self.seed, Path(folder) / kind) for kind in ("trip", "classic"))
            write_round_trips(decoded, training, self.shelf, self.codec, self.batch_size)
            write_classic(changed, training, self.listener.form)
            return {
                TRAINING: self.listener.measure(training, f"training {label}"),
                ROUND_TRIP: self.listener.measure(decoded, f"round trips {label}"),
                CLASSIC: self.listener.measure(changed, f"classic {label}"),
                VARIATIONS: self.listener.measure(lineage, f"variations {label}"),
            }

    def example(self, lineage: pd.DataFrame, clips: pd.DataFrame) -> list[tuple[str, np.ndarray]]:
        """A training clip, its round trip and variations, of it if there are some, to look at.

        Args:
            lineage: `tables.LINEAGE` of one class's variations, 1 or more rows.
            clips: the catalogue's rows of all roots.

        Returns:
            Each with a title, `[channels, samples]` in the listener's form: a row of `generated_pictures.spectrograms`.

        Raises:
            AudioError: a clip or a variation cannot be read.
        """
        variations = examples(lineage)
        root = clips[clips.clip_id == variations.root_clip_id.mode()[0]]
        with tempfile.TemporaryDirectory() as folder:
            decoded = derived(root, self.seed, Path(folder))
            write_round_trips(decoded, root, self.shelf, self.codec, self.batch_size)
            paths = [*root.path, *decoded.path, *variations.path]
            waves = [audio.read(path, self.listener.form.sample_rate, self.listener.form.channels) for path in paths]
        others = ["" if own else ", another clip" for own in variations.root_clip_id == root.clip_id.iloc[0]]
        titles = [f"strength {strength:.2g}{other}" for strength, other in zip(variations.strength, others)]
        return list(zip(["training clip", "through the codec", *titles], waves))


def derived(clips: pd.DataFrame, seed: int, folder: Path) -> pd.DataFrame:
    """One sound to be made of each clip, by a function of :mod:`counterpoise.augment.clips`.

    Returns:
        clip_id, source_id, root_clip_id, seed and path, on the rows of `clips`.
    """
    return pd.DataFrame(
        {
            "clip_id": clips.clip_id,
            "source_id": clips.source_id,
            "root_clip_id": clips.clip_id,
            "seed": [seed_for("classic", seed, clip_id, 0) for clip_id in clips.clip_id],
            "path": [(folder / f"{clip_id}.flac").as_posix() for clip_id in clips.clip_id],
        }
    )
