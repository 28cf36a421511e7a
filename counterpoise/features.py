"""What the classifiers see and what augments it: mel spectrograms, YAMNet patches, time shift, SpecAugment masks.

Every random draw comes from a `torch.Generator` on the CPU, so that a seed means the same on every device.
"""

import functools
import math

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from counterpoise.params import Features

YAMNET_SAMPLE_RATE = 16000  # Hz
_WINDOW, _HOP, _N_FFT = 400, 160, 512  # samples: 25 ms, 10 ms, the next power of two
_BANDS, _F_MIN, _F_MAX = 64, 125.0, 7500.0  # Hz
_PATCH_FRAMES, _PATCH_HOP = 96, 48  # spectrogram frames: 0.96 s, 0.48 s
_FIRST_PATCH = _WINDOW + (_PATCH_FRAMES - 1) * _HOP  # samples under one patch: 15600


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


def time_shift(wave: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Roll each clip forward in time, round its end, by its own random share of its length.

    Args:
        wave: `[B, channels, samples]`.
        fraction: largest shift as a share of the length; shifts are uniform between 0 and this.
        generator: on the CPU.

    Returns:
        The same shape; every clip keeps all of its samples.
    """
    shifts = torch.rand(len(wave), generator=generator) * fraction * wave.shape[-1]
    return torch.stack([clip.roll(int(shift), dims=-1) for clip, shift in zip(wave, shifts, strict=True)])


def mask(spectrogram: Tensor, fraction: float, count: int, generator: torch.Generator) -> Tensor:
    """Hide random bands and spans of each clip under the clip's mean (SpecAugment: Park et al. 2019, section 2).

    Args:
        spectrogram: `[B, channels, bands, frames]`; the channels of a clip share their masks.
        fraction: widest mask as a share of the axis; widths are uniform between 0 and this.
        count: masks on each of the two axes; they may overlap.
        generator: on the CPU.

    Returns:
        The same shape.
    """
    clips = spectrogram.shape[0]
    mean = spectrogram.mean(dim=(1, 2, 3), keepdim=True)
    for axis in (2, 3):
        size = spectrogram.shape[axis]
        width = (torch.rand(clips, count, 1, generator=generator) * (int(fraction * size) + 1)).floor()
        start = (torch.rand(clips, count, 1, generator=generator) * (size - width + 1)).floor()
        position = torch.arange(size)
        hidden = ((position >= start) & (position < start + width)).any(dim=1)  # [B, size]
        shape = [clips, 1, 1, 1]
        shape[axis] = size
        spectrogram = torch.where(hidden.view(shape).to(spectrogram.device), mean, spectrogram)
    return spectrogram


def yamnet_patches(wave: Tensor) -> Tensor:
    """The input of AudioSet YAMNet: log-mel patches of 0.96 s, one every 0.48 s.

    As in tensorflow/models, research/audioset/yamnet/features.py: magnitudes of a 25 ms periodic Hann window every
    10 ms, 64 bands between 125 and 7500 Hz, log(mel + 0.001). The end is padded with silence until there is one
    patch, or the last hop is whole.

    Args:
        wave: `[B, samples]` at 16 kHz.

    Returns:
        `[B, patches, 96 frames, 64 bands]`, patches = 1 + ceil(max(0, samples - 15600) / 7680).
    """
    hops = math.ceil(max(0, wave.shape[-1] - _FIRST_PATCH) / (_PATCH_HOP * _HOP))
    padded = F.pad(wave.float(), (0, _FIRST_PATCH + hops * _PATCH_HOP * _HOP - wave.shape[-1]))
    with torch.autocast(wave.device.type, enabled=False):  # sums of magnitudes need float32
        frames = padded.unfold(-1, _WINDOW, _HOP) * torch.hann_window(_WINDOW, device=wave.device)
        mel = torch.fft.rfft(frames, _N_FFT).abs() @ _yamnet_mel_weights().to(wave.device)
    spectrogram = torch.log(mel + 0.001)  # [B, frames, 64]
    return spectrogram.unfold(1, _PATCH_FRAMES, _PATCH_HOP).transpose(2, 3)


@functools.cache
def _yamnet_mel_weights() -> Tensor:
    """Triangles `[257 bins, 64 bands]`, straight in mel (not in hertz), as tf.signal.linear_to_mel_weight_matrix."""

    def mel(hertz: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(hertz / 700.0)

    bins = mel(torch.linspace(0, YAMNET_SAMPLE_RATE / 2, _N_FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = mel(torch.tensor([_F_MIN, _F_MAX], dtype=torch.float64))
    edges = torch.linspace(low, high, _BANDS + 2, dtype=torch.float64)
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    weights = torch.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)).clamp(min=0)
    weights[0] = 0  # the constant part never counts
    return weights.float()
