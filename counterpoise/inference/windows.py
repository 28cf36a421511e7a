"""Sound files of any length as windows of a classifier's length, read a block at a time."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from counterpoise.core import audio as forms
from counterpoise.core.audio import Audio, AudioError
from counterpoise.core.windows import Windows
from counterpoise.datasets import foreign, intake

LONGEST = 999_999  # s that ffmpeg decodes of a file, at most
BLOCK = 2**18  # samples of all channels together that are read at once, at most, where a channel has one


class Window(NamedTuple):
    """A stretch of a sound."""

    start: float  # s
    end: float  # s; of a sound that was padded, the sound's own end
    wave: np.ndarray  # float32 [channels, samples], in the classifier's form


class Recording:
    """A sound file that is read once, from its beginning to its end. At most a block and two windows are in memory.

    Args:
        path: any file that libsndfile reads, or ffmpeg where there is one; what it decodes lies in a temporary file.
        audio: the classifier's form; a window has `audio.seconds`.
        hop: seconds from a window's start to the next one's, above 0, at most `audio.seconds`.

    Attributes:
        sample_rate: the file's own, Hz.
        seconds: how much was read so far; all of it when :meth:`windows` has ended.
        broken: what is wrong with the file's end, or None; known when :meth:`windows` has ended.

    Raises:
        AudioError: it is no file that can be read; the message is the reason, without the path.
        ValueError: `hop` is not allowed.
    """

    def __init__(self, path: str, audio: Audio, hop: float) -> None:
        if not 0 < hop <= audio.seconds:
            raise ValueError(f"a hop of {hop:g} s; above 0 and at most {audio.seconds:g} s is allowed")
        self._path, self._audio = path, audio
        self._sound, complaint = _opened(path)
        self._form = Windows.of(audio.seconds, audio.sample_rate, hop)
        self.sample_rate: int = self._sound.samplerate
        self.seconds = 0.0
        self.broken: str | None = complaint or None

    def windows(self) -> Iterator[Window]:
        """The windows, in order, as :class:`counterpoise.core.windows.Windows` has them.

        A sound that is shorter than a window is padded with silence at its end, as training pads clips.

        Raises:
            AudioError: the file holds no samples, or some that are NaN or infinite; the message has no path.
        """
        size, hop = self._form.size, self._form.hop
        held, first, start = np.empty((self._audio.channels, 0), np.float32), 0, 0  # `first`: the number of held[:, 0]
        for wave in self._waves():
            held = np.concatenate([held, wave], axis=1)
            while first + held.shape[1] >= start + size:
                yield self._window(start, held[:, start - first :])
                start += hop
            keep = max(first, min(start, first + held.shape[1] - size))
            held, first = held[:, keep - first :], keep
        total = first + held.shape[1]
        for late in self._form.starts(total)[start // hop :]:  # what is known at the end alone
            if total < size:
                yield Window(0.0, self.seconds, forms.fit(held, size))
            else:
                yield self._window(late, held[:, late - first :])

    def _window(self, start: int, wave: np.ndarray) -> Window:
        rate, size = self._audio.sample_rate, self._form.size
        return Window(start / rate, (start + size) / rate, wave[:, :size].copy())

    def _waves(self) -> Iterator[np.ndarray]:
        """The sound in the classifier's form, `[channels, any]`."""
        audio, frames = self._audio, 0
        resampler = forms.Resampler(self.sample_rate, audio.sample_rate, audio.channels)
        with self._sound as sound:
            promised = sound.frames
            for block in intake.blocks(sound, self._path, max(1, BLOCK // sound.channels)):
                if not np.isfinite(block).all():
                    raise AudioError("holds NaN or infinite samples")
                frames += block.shape[1]
                self.seconds = frames / self.sample_rate
                yield resampler.block(forms.mix(block, audio.channels))
        if not frames:
            raise AudioError("holds no samples")
        yield resampler.rest()
        if frames < 0.99 * promised <= intake.UNKNOWN_FRAMES:
            self.broken = f"breaks off: {self.seconds:.3g} s of {promised / self.sample_rate:.3g} s decode"


def _opened(path: str) -> tuple[soundfile.SoundFile, str]:
    """A sound file, by way of ffmpeg where it has to be, and what ffmpeg complained of.

    Raises:
        AudioError: as :class:`Recording`.
    """
    try:
        return intake.open_sound(path), ""
    except AudioError:
        what = foreign.kind(path) if os.path.isfile(path) and os.path.getsize(path) else None
        if what is None or (what in foreign.LIBSNDFILE and not foreign.has_ffmpeg()):
            raise
    if not foreign.has_ffmpeg():
        raise AudioError(foreign.advice(path, what))
    with tempfile.TemporaryDirectory(prefix="counterpoise-") as folder:
        target = Path(folder) / "decoded.wav"
        try:
            complaint = foreign.decode(path, target, LONGEST)
        except foreign.ForeignError as error:
            raise AudioError(str(error)) from None
        return intake.open_sound(str(target)), complaint  # an open file outlives its name
