"""A small convolutional network on mel spectrograms: four blocks, 25,000 weights."""

import torch
from torch import Tensor, nn

from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.embeddings.spectrogram import MelSpectrogram

WIDTHS = (8, 16, 32, 64)  # channels after each block


class CNN(nn.Module):
    """See :class:`counterpoise.classifiers.networks.network.Network`.

    Four strided convolutions, the mean over bands and frames, one linear layer. It always starts from scratch.

    Args:
        classes: how many.
        audio: the form of the waves.
        features: the mel spectrogram.
    """

    takes = "spectrogram"
    pretrained = frozen = False

    def __init__(self, classes: int, audio: Audio, features: Features, pretrained: bool, frozen: bool) -> None:
        super().__init__()
        self.spectrogram = MelSpectrogram(features, audio.sample_rate)
        widths = (audio.channels, *WIDTHS)
        kernels = (5, 3, 3, 3)
        self.maps = nn.Sequential(*(_block(*shape) for shape in zip(widths[:-1], widths[1:], kernels, strict=True)))
        self.head = nn.Linear(WIDTHS[-1], classes)
        self.to(memory_format=torch.channels_last)  # measured faster on CPUs

    def frontend(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to spectrograms `[B, channels, bands, frames]`."""
        return self.spectrogram(wave)

    def embed(self, spectrogram: Tensor) -> Tensor:
        """Spectrograms `[B, channels, bands, frames]` to embeddings `[B, 64]`.

        Where a block puts out a single frame, all of it is float32: on some CPUs oneDNN's strided convolutions leave
        memory unwritten in bfloat16 then, see :mod:`counterpoise.diffusion.networks`.
        """
        images, kind = spectrogram.contiguous(memory_format=torch.channels_last), spectrogram.device.type
        if torch.is_autocast_enabled(kind) and spectrogram.shape[-1] <= 2 ** len(WIDTHS):
            with torch.autocast(kind, enabled=False):
                return self.maps(images.float()).mean(dim=(2, 3))
        return self.maps(images).mean(dim=(2, 3))

    def embed_waves(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to embeddings `[B, 1, 64]`: a clip is one patch."""
        return self.embed(self.frontend(wave))[:, None]

    def classify(self, inputs: Tensor) -> Tensor:
        """Spectrograms `[B, channels, bands, frames]` to log-probabilities `[B, classes]`."""
        return self.head(self.embed(inputs)).float().log_softmax(dim=-1)

    def read_out(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, 1, 64]` to log-probabilities `[B, classes]`."""
        return self.head(embeddings[:, 0]).float().log_softmax(dim=-1)

    def forward(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`."""
        return self.classify(self.frontend(wave))


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, a=0.1)
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm2d(outputs))
