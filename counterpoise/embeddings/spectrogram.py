"""The mel spectrogram of a clip, as a CNN sees it and as statistics are taken of it."""

import torch
import torchaudio
from torch import Tensor, nn

from counterpoise.embeddings.settings import Features


class MelSpectrogram(nn.Module):
    """Log-mel spectrogram in units of 20 dB around the clip's mean.

    Taking the mean away drops the clip's loudness, which in a collection tells more about the recording than about
    the sound. The fixed scale keeps the clip's dynamics, and suits the network's first weights.

    Args:
        features: `n_mels`, `n_fft`, `hop` (samples), and `top_db`, the range kept below the clip's loudest point.
        sample_rate: of the waves, Hz.
    """

    def __init__(self, features: Features, sample_rate: int) -> None:
        super().__init__()
        self.n_fft, self.hop = features.n_fft, features.hop
        self.spectrum = torchaudio.transforms.Spectrogram(features.n_fft, hop_length=features.hop, power=None)
        self.mel = torchaudio.transforms.MelScale(features.n_mels, sample_rate, n_stft=features.n_fft // 2 + 1)
        self.decibels = torchaudio.transforms.AmplitudeToDB("power", top_db=features.top_db)

    def forward(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to `[B, channels, n_mels, samples // hop]`.

        Raises:
            ValueError: the waves are shorter than half a window or than one hop.
        """
        samples = wave.shape[-1]
        if samples <= self.n_fft // 2 or samples < self.hop:
            raise ValueError(
                f"clips of {samples} samples are too short for features.n_fft {self.n_fft} and "
                f"features.hop {self.hop}: lower these, or raise audio.seconds"
            )
        with torch.autocast(wave.device.type, enabled=False):  # sums of powers need float32
            spectrum = self.spectrum(wave.float())
            power = spectrum.real.square() + spectrum.imag.square()  # |z|^2 by way of |z| takes four times as long
            spectrogram = self.decibels(self.mel(power))
        spectrogram = spectrogram[..., : samples // self.hop]  # a frame a hop: the last one is half padding
        return (spectrogram - spectrogram.mean(dim=(1, 2, 3), keepdim=True)) / 20
