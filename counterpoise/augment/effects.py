"""Classical augmentation, the cheap alternative that generated variations must beat: stretch, pitch, noise, gain.

The effects are those of audiomentations 0.43.1 (https://github.com/iver56/audiomentations) with its default ranges;
stretch and pitch go through Signalsmith Stretch. They hold the ranges of Salamon & Bello, "Deep Convolutional Neural
Networks and Data Augmentation for Environmental Sound Classification", 2017 (stretch 0.81 to 1.23, pitch -3.5 to 3.5).
"""

import math
import random
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from audiomentations import Compose

FASTEST = 1.25  # of the time stretch
PEAK = 0.999  # |sample|, at most


@cache
def chain() -> "Compose":
    """The effects, one after another."""
    from audiomentations import AddGaussianSNR, Compose, Gain, PitchShift, TimeStretch  # half a second that few need

    return Compose(
        [
            TimeStretch(min_rate=0.8, max_rate=FASTEST, p=0.5),
            PitchShift(min_semitones=-4, max_semitones=4, p=0.5),
            AddGaussianSNR(min_snr_db=5, max_snr_db=40, p=0.5),
            Gain(min_gain_db=-12, max_gain_db=12, p=1.0),  # always, so that nothing comes back as it was
        ]
    )


def augment(wave: np.ndarray, sample_rate: int, seed: int) -> np.ndarray:
    """One variation of a sound; the same seed gives the same one.

    What a faster sound lacks at its end is filled with the sound itself, played backwards: silence there would tell
    variations from originals. A variation louder than full scale is turned down.

    Args:
        wave: float32 `[1 or 2, samples]`.
        sample_rate: Hz.
        seed: any int, 0 or more.

    Returns:
        float32 of the same shape.

    Raises:
        ValueError: the wave has another shape.
    """
    if wave.ndim != 2 or wave.shape[0] not in (1, 2) or wave.shape[1] == 0:
        raise ValueError(f"wave has the shape {list(wave.shape)}; expected [1 or 2, 1 or more]")
    samples = wave.shape[1]
    longer = np.pad(wave, ((0, 0), (0, math.ceil((FASTEST - 1) * samples) + 1)), mode="reflect")
    vary = chain()
    # audiomentations draws from the global generators of both modules.
    states = random.getstate(), np.random.get_state()
    try:
        random.seed(seed)
        np.random.seed(np.random.SeedSequence(seed).generate_state(4))
        varied = vary(np.ascontiguousarray(longer, np.float32), sample_rate)[:, :samples]
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
    return varied * np.float32(min(1.0, PEAK / max(float(np.abs(varied).max()), PEAK)))


def over_background(wave: np.ndarray, background: np.ndarray, ratio: float, seed: int) -> np.ndarray:
    """A sound with a stretch of another one beneath it: the augmentation BG of Salamon & Bello 2017, section II-B.

    There a share of the sum is drawn; here the signal-to-noise ratio is given, so that the level of the files does not
    matter. The stretch begins at a random place. A background that is shorter than the sound is repeated. A stretch of
    silence adds nothing.

    Args:
        wave: float32 `[channels, samples]`.
        background: float32 `[channels, 1 or more]`.
        ratio: of the mean power of the sound to that of the stretch as it is added, dB.
        seed: of the place, any int, 0 or more.

    Returns:
        float32 of the shape of `wave`; it may be louder than full scale.
    """
    samples = wave.shape[1]
    places = max(1, background.shape[1] - samples + 1)
    start = np.random.default_rng(seed).integers(places)
    stretch = background.take(np.arange(start, start + samples), axis=1, mode="wrap")
    power, beneath = (float(np.square(sound, dtype=np.float64).mean()) for sound in (wave, stretch))
    gain = math.sqrt(power / beneath / 10 ** (ratio / 10)) if beneath > 0 else 0.0
    return wave + np.float32(gain) * stretch
