"""Where the windows of a sound lie, for whoever hears a few seconds at once: one rule for all."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from counterpoise.core import audio

REST = 0.01  # s; a shorter rest at a sound's end is rounding, and gets no window of its own


@dataclass(frozen=True)
class Windows:
    """Stretches of one length, all in samples.

    Attributes:
        size: of a window.
        hop: from a window's start to the next one's.
        rest: at a sound's end, that gets no window of its own.
    """

    size: int
    hop: int
    rest: int

    @classmethod
    def of(cls, seconds: float, sample_rate: int, hop: float | None = None) -> Self:
        """Windows of `seconds` at a rate in Hz, one every `hop` seconds; None: every half window."""
        hop = seconds / 2 if hop is None else hop
        return cls(round(seconds * sample_rate), max(1, round(hop * sample_rate)), math.floor(REST * sample_rate))

    def starts(self, samples: int) -> list[int]:
        """Where the windows of a sound of `samples` start: every hop, and one more that ends with the sound.

        A sound that is no longer than a window has one.
        """
        beyond = max(0, samples - self.size)
        regular = list(range(0, beyond + 1, self.hop))
        return [*regular, beyond] if beyond - regular[-1] > self.rest else regular

    def cut(self, wave: np.ndarray) -> Iterator[np.ndarray]:
        """The windows of `[channels, any]`, each `[channels, size]`; a shorter sound is padded with silence."""
        for start in self.starts(wave.shape[1]):
            yield audio.fit(wave[:, start:], self.size)

    def crop(self, wave: np.ndarray, number: int) -> np.ndarray:
        """A window `[channels, size]` at any place of `[channels, any]`, or all of a sound that is no longer.

        Args:
            number: 0 or more, at random; each place is as likely as another.
        """
        beyond = wave.shape[1] - self.size
        start = number % (beyond + 1) if beyond > self.rest else 0
        return audio.fit(wave[:, start:], self.size)
