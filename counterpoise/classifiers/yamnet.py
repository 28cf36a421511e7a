"""YAMNet's network (MobileNet v1: Howard et al. 2017, Table 1) on YAMNet's patches, with weights of its own.

The layers are those of tensorflow/models, research/audioset/yamnet/yamnet.py. The weights start at random: nothing
here has heard AudioSet.
"""

import math

import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from counterpoise.features import YAMNET_SAMPLE_RATE, time_shift, yamnet_patches
from counterpoise.params import Audio, Classifier, Features

LAYERS = (  # channels and stride of the 13 depthwise-separable layers
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)


class YAMNet(nn.Module):
    """Fourteen convolutional layers, a 1024-number embedding of each patch, one linear layer.

    Args:
        classes: how many.
        audio: the form of the waves; stereo is mixed down, other rates are resampled to 16 kHz.
        features: only `time_shift` is used; the patches have YAMNet's own form.
        classifier: `yamnet_patches`, how many patches of each clip an augmented pass looks at.
    """

    def __init__(self, classes: int, audio: Audio, features: Features, classifier: Classifier) -> None:
        super().__init__()
        self.sample_rate = audio.sample_rate
        self.shift = features.time_shift
        self.patches = classifier.yamnet_patches
        layers = _convolution(1, 32, kernel=3, stride=2)
        inputs = 32
        for outputs, stride in LAYERS:
            layers += _convolution(inputs, inputs, kernel=3, stride=stride, groups=inputs)
            layers += _convolution(inputs, outputs, kernel=1)
            inputs = outputs
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)
        self.to(memory_format=torch.channels_last)  # measured faster on CPUs

    def embed(self, patches: Tensor) -> Tensor:
        """Patches `[B, P, 96, 64]` to embeddings `[B, P, 1024]`."""
        images = patches.flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
        return self.maps(images).mean(dim=(2, 3)).unflatten(0, patches.shape[:2])

    def forward(self, wave: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`: the mean of the patches' probabilities.

        With a CPU generator each clip is shifted in time and `yamnet_patches` of its patches are drawn; without one
        every patch counts.
        """
        if generator is not None:
            wave = time_shift(wave, self.shift, generator)
        wave = torchaudio.functional.resample(wave.mean(dim=1), self.sample_rate, YAMNET_SAMPLE_RATE)
        patches = yamnet_patches(wave)
        if generator is not None:
            patches = _draw(patches, self.patches, generator)
        log_probabilities = self.head(self.embed(patches)).float().log_softmax(dim=-1)  # [B, P, classes]
        return log_probabilities.logsumexp(dim=1) - math.log(log_probabilities.shape[1])


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's SAME padding: ceil(size / stride) outputs, the odd pixel at the end."""

    def forward(self, images: Tensor) -> Tensor:
        top, bottom = same_padding(images.shape[2], self.kernel_size[0], self.stride[0])
        left, right = same_padding(images.shape[3], self.kernel_size[1], self.stride[1])
        if (top, left) == (bottom, right):  # the convolution pads faster than F.pad
            return F.conv2d(images, self.weight, self.bias, self.stride, (top, left), self.dilation, self.groups)
        return super().forward(F.pad(images, (left, right, top, bottom)))


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that SAME padding puts before and after an axis of `size` pixels."""
    total = max(0, (math.ceil(size / stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    normalisation = nn.BatchNorm2d(outputs, eps=1e-4)
    normalisation.weight.requires_grad_(False)  # the reference centres without scaling: the weight stays 1
    convolution = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # keeps variances near 1, where the norms start
    return [convolution, normalisation, nn.ReLU(inplace=True)]


def _draw(patches: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """At most `count` different patches of each clip: `[B, P, 96, 64]` to `[B, min(count, P), 96, 64]`."""
    clips, available = patches.shape[:2]
    drawn = torch.rand(clips, available, generator=generator).argsort(dim=1)[:, :count].to(patches.device)
    return patches[torch.arange(clips, device=patches.device)[:, None], drawn]
