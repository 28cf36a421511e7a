"""Read, resample, shape and write waveforms: float32 arrays `[channels, samples]` in -1..1."""

import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import soundfile
import soxr
from pydantic import Field

from counterpoise.core import CounterpoiseError
from counterpoise.core.settings import Section

QUALITY = "HQ"  # of soxr
MOST_SAMPLES = 2**27  # of all channels of a sound that is held in memory at once: half a gigabyte, 23 minutes in stereo


class AudioError(CounterpoiseError):
    """A file that cannot be used as audio; the message says which and why."""


class Audio(Section):
    """The one form in which a clip reaches a classifier: the section `audio` of params.yaml."""

    sample_rate: Annotated[int, Field(ge=8000, le=192000)]  # Hz
    channels: Literal[1, 2]
    seconds: Annotated[float, Field(ge=0.05, le=60)]  # shorter clips are padded; see core/windows.py for longer ones


def read(path: str | Path, sample_rate: int, channels: int) -> np.ndarray:
    """Read a sound file and bring it to the asked form.

    Args:
        path: any file that libsndfile reads.
        sample_rate: Hz; another rate is resampled with soxr at high quality.
        channels: 1 mixes down by the mean; 2 repeats a mono sound and keeps the first two channels of more.

    Returns:
        float32 `[channels, samples]`.

    Raises:
        AudioError: the file is missing, empty, unreadable, or holds NaN or infinite samples.
    """
    wave, native_rate = _decode(path)
    return resample(mix(wave, channels), native_rate, sample_rate)


def mix(wave: np.ndarray, channels: int) -> np.ndarray:
    """Bring `[any, samples]` to `[channels, samples]`, as :func:`read` says; each sample by itself."""
    if wave.shape[0] > 1 and channels == 1:
        wave = wave.mean(axis=0, keepdims=True)
    elif wave.shape[0] < channels:
        wave = np.repeat(wave, channels, axis=0)
    return wave[:channels]


def _decode(path: str | Path) -> tuple[np.ndarray, int]:
    try:
        with soundfile.SoundFile(str(path)) as sound:
            if sound.frames * sound.channels > MOST_SAMPLES:
                raise AudioError(
                    f"{path}: {sound.frames} samples in {sound.channels} channel(s) are more than memory is meant to "
                    f"hold ({MOST_SAMPLES} in all): cut the file"
                )
            wave, sample_rate = sound.read(dtype="float32", always_2d=True), sound.samplerate
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: the name ends in .raw
        raise AudioError(f"{path}: not readable as audio ({error})") from None
    if wave.shape[0] == 0:
        raise AudioError(f"{path}: holds no samples")
    if not np.isfinite(wave).all():
        raise AudioError(f"{path}: holds NaN or infinite samples")
    return wave.T, sample_rate


def resample(wave: np.ndarray, source_rate: int, target_rate: int) -> np.ndarray:
    """Resample `[channels, samples]` from one rate to another, both in Hz."""
    if source_rate != target_rate:
        wave = soxr.resample(wave.T, source_rate, target_rate, quality=QUALITY).T
    return np.ascontiguousarray(wave, dtype=np.float32)


class Resampler:
    """:func:`resample` for a wave that comes in blocks: what it gives, end to end, has the same samples.

    Args:
        source_rate, target_rate: Hz.
        channels: of every block.
    """

    def __init__(self, source_rate: int, target_rate: int, channels: int) -> None:
        self._empty = np.empty((channels, 0), np.float32)
        self._stream = None
        if source_rate != target_rate:
            self._stream = soxr.ResampleStream(source_rate, target_rate, channels, dtype="float32", quality=QUALITY)

    def block(self, wave: np.ndarray) -> np.ndarray:
        """What can be given after the next block `[channels, n]`: float32 `[channels, any]`."""
        return self._give(wave, last=False)

    def rest(self) -> np.ndarray:
        """What is left after the last block: float32 `[channels, any]`."""
        return self._give(self._empty, last=True)

    def _give(self, wave: np.ndarray, last: bool) -> np.ndarray:
        if self._stream is None:
            return np.ascontiguousarray(wave, dtype=np.float32)
        return self._stream.resample_chunk(np.ascontiguousarray(wave.T, dtype=np.float32), last).T


def fit(wave: np.ndarray, samples: int) -> np.ndarray:
    """Cut or zero-pad the end of `[channels, n]` so that it is `[channels, samples]`."""
    wave = wave[:, :samples]
    return np.pad(wave, ((0, 0), (0, samples - wave.shape[1])))


def write_flac(path: str | Path, wave: np.ndarray, sample_rate: int) -> None:
    """Write `[channels, samples]` as 16-bit FLAC; a sound louder than full scale is turned down, never clipped.

    The file appears under its name only when it is complete, so a run that was killed leaves no half of one, and a
    failed write leaves nothing.

    Raises:
        AudioError: the wave holds NaN or infinite samples.
        OSError: it cannot be written, for example because the disk is full.
    """
    peak = float(np.abs(wave).max(initial=0.0))
    if not np.isfinite(peak):
        raise AudioError(f"{path}: not written, the sound holds NaN or infinite samples")
    if peak > 0.999:
        wave = wave * (0.999 / peak)
    partial = f"{path}.partial"
    try:
        soundfile.write(partial, wave.T, sample_rate, format="FLAC", subtype="PCM_16")
        os.replace(partial, path)
    except soundfile.LibsndfileError as error:  # which says "System error", whatever it was
        raise _why_not(partial, error) from None
    finally:
        Path(partial).unlink(missing_ok=True)


def _why_not(path: str, error: soundfile.LibsndfileError) -> OSError:
    """What the system says where libsndfile could not write."""
    try:
        with open(path, "ab") as file:
            file.write(bytes(2**20))
            file.flush()
    except OSError as reason:
        return OSError(reason.errno, reason.strerror, path)
    return OSError(None, f"{path} cannot be written: {error.error_string}")
