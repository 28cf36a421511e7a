"""What classical classifiers hear of a clip: a few numbers, however long it is."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
import torchaudio

from counterpoise.core import audio as sound
from counterpoise.core.progress import progress
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram

MFCC = "MFCC statistics"  # for tables, beside an embedder's name

Listener = Callable[[np.ndarray], np.ndarray]  # from a wave `[1, samples]` to features `[F]`


class MfccStatistics:
    """Mean and standard deviation over a clip of its MFCCs, and of their deltas.

    MFCCs are the discrete cosine transform of a log-mel spectrum (Davis and Mermelstein, "Comparison of Parametric
    Representations for Monosyllabic Word Recognition in Continuously Spoken Sentences", 1980). The spectrogram is the
    CNN's: it does not know how loud a clip is. Deltas are slopes over five frames.

    Args:
        features: of the spectrogram.
        coefficients: MFCCs of a frame, the first ones; no more than `features.n_mels`.
        sample_rate: of the waves, Hz.
    """

    def __init__(self, features: Features, coefficients: int, sample_rate: int) -> None:
        self._spectrogram = MelSpectrogram(features, sample_rate)
        self._transform = torchaudio.functional.create_dct(coefficients, features.n_mels, "ortho").T
        self._shortest = max(features.n_fft, features.hop)  # samples

    @torch.inference_mode()
    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """Mono waves `[1, samples]` to `[4 * coefficients]`, float32; one shorter than a window is padded to it."""
        padded = sound.fit(wave, max(wave.shape[1], self._shortest))
        coefficients = self._transform @ self._spectrogram(torch.from_numpy(padded)[None])[0, 0]
        both = torch.cat([coefficients, torchaudio.functional.compute_deltas(coefficients)])
        return torch.cat([both.mean(dim=1), both.std(dim=1, correction=0)]).numpy()


def measure(paths: Sequence[str], listeners: Mapping[str, Listener], sample_rate: int) -> dict[str, np.ndarray]:
    """What every listener makes of every clip. Clips are read one by one, and none depends on another.

    A clip is heard whole, however long it is. It is not padded: silence that is not in it would go into its statistics.

    Args:
        paths: of N clips.
        listeners: by name, one or more.
        sample_rate: at which clips are read, Hz; mono.

    Returns:
        Features `[N, F]` by the listeners' names, float32.

    Raises:
        AudioError: a clip cannot be read.
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in listeners}
    for path in progress(paths, desc="features", unit="clip"):
        wave = sound.read(path, sample_rate, channels=1)
        for name, listener in listeners.items():
            found[name].append(listener(wave))
    return {name: np.stack(rows) for name, rows in found.items()}
