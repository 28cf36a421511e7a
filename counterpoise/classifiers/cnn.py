"""A small convolutional network on mel spectrograms: four blocks, 25,000 weights."""

import torch
from torch import Tensor, nn

from counterpoise.features import MelSpectrogram, mask, time_shift
from counterpoise.params import Audio, Classifier, Features

WIDTHS = (8, 16, 32, 64)  # channels after each block


class CNN(nn.Module):
    """Four strided convolutions, the mean over bands and frames, one linear layer.

    Args:
        classes: how many.
        audio: the form of the waves.
        features: the mel spectrogram and its augmentation.
        classifier: unused; every classifier is built from the same arguments.
    """

    pretrained = frozen = False  # always from scratch

    def __init__(self, classes: int, audio: Audio, features: Features, classifier: Classifier) -> None:
        super().__init__()
        self.features = features
        self.spectrogram = MelSpectrogram(features, audio.sample_rate)
        widths = (audio.channels, *WIDTHS)
        kernels = (5, 3, 3, 3)
        self.maps = nn.Sequential(*(_block(*shape) for shape in zip(widths[:-1], widths[1:], kernels, strict=True)))
        self.head = nn.Linear(WIDTHS[-1], classes)
        self.to(memory_format=torch.channels_last)  # measured faster on CPUs

    def embed(self, spectrogram: Tensor) -> Tensor:
        """Spectrograms `[B, channels, bands, frames]` to embeddings `[B, 64]`."""
        return self.maps(spectrogram.contiguous(memory_format=torch.channels_last)).mean(dim=(2, 3))

    def embed_waves(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to embeddings `[B, 1, 64]`: a clip is one patch."""
        return self.embed(self.spectrogram(wave))[:, None]

    def forward(self, wave: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`; a CPU generator asks for augmentation."""
        if generator is not None:
            wave = time_shift(wave, self.features.time_shift, generator)
        spectrogram = self.spectrogram(wave)
        if generator is not None:
            spectrogram = mask(spectrogram, self.features.mask_fraction, self.features.masks, generator)
        return self.head(self.embed(spectrogram)).float().log_softmax(dim=-1)


def _block(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride=2, padding=kernel // 2)
    nn.init.kaiming_normal_(convolution.weight, a=0.1)
    nn.init.zeros_(convolution.bias)
    return nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm2d(outputs))
