"""Sets of sounds, measured one by one in the form in which a classifier reads them, and what is kept of each."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from counterpoise.core import audio
from counterpoise.core.audio import Audio
from counterpoise.core.progress import progress
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.metrics import c2st, signal


@dataclass(frozen=True)
class Sounds:
    """A set of n sounds, as measured one by one by :class:`Listener`."""

    clips: pd.DataFrame  # clip_id, source_id; what was made of training clips: root_clip_id; variations: strength
    embeddings: np.ndarray  # [n, D]
    statistics: np.ndarray  # [n, S], of `c2st.band_statistics`
    silent: np.ndarray  # [n], bool
    clipped: np.ndarray  # [n], bool

    def of(self, chosen: np.ndarray) -> "Sounds":
        """Some of them: bool `[n]`."""
        arrays = (self.embeddings, self.statistics, self.silent, self.clipped)
        return Sounds(self.clips[chosen].reset_index(drop=True), *(array[chosen] for array in arrays))


@dataclass(frozen=True)
class Listener:
    """Measures sounds one at a time, and keeps some thousand numbers of each."""

    embed: Callable[[Tensor, int], Tensor]  # `Embedder.embed`
    spectrogram: MelSpectrogram
    form: Audio  # in which it reads them

    def measure(self, clips: pd.DataFrame, name: str) -> Sounds:
        """Measure a set.

        Args:
            clips: one row a sound, 1 or more, with the `path` of its file.
            name: for the progress bar.

        Raises:
            AudioError: a file cannot be read.
        """
        embeddings, statistics, silent, clipped = [], [], [], []
        for path in progress(clips.path, desc=name, unit="clip"):
            wave = audio.read(path, self.form.sample_rate, self.form.channels)
            sound = torch.from_numpy(wave)[None]
            embeddings.append(self.embed(sound, self.form.sample_rate)[0].numpy())
            statistics.append(c2st.band_statistics(wave, self.spectrogram))
            silent.append(signal.is_silent(sound)[0])
            clipped.append(signal.is_clipped(sound)[0])
        arrays = (np.stack(embeddings), np.stack(statistics), np.array(silent), np.array(clipped))
        return Sounds(clips.reset_index(drop=True), *arrays)
