"""YAMNet's network (MobileNet v1: Howard et al. 2017, Table 1) on YAMNet's patches.

The layers are those of tensorflow/models, research/audioset/yamnet/yamnet.py. The weights start at random, or are those
that Google trained on AudioSet; see :mod:`counterpoise.embeddings.audioset`.
"""

import functools
import json
import math
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from counterpoise.core import CounterpoiseError

YAMNET_SAMPLE_RATE = 16000  # Hz
_WINDOW, _HOP, _N_FFT = 400, 160, 512  # samples: 25 ms, 10 ms, the next power of two
_BANDS, _F_MIN, _F_MAX = 64, 125.0, 7500.0  # Hz
_PATCH_FRAMES, _PATCH_HOP = 96, 48  # spectrogram frames: 0.96 s, 0.48 s
_FIRST_PATCH = _WINDOW + (_PATCH_FRAMES - 1) * _HOP  # samples under one patch: 15600
LAYERS = (  # channels and stride of the 13 depthwise-separable layers
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    *((1024, 2), (1024, 1)),
)
NORMALISATION_EPSILON = 1e-4
AUDIOSET_CLASSES = 521
AUDIOSET_FORMAT = 1  # of the files that `audioset.convert` writes


class AudioSetError(CounterpoiseError):
    """AudioSet weights that cannot be had or used; the message names their source, what was found, what is allowed."""


class YAMNet(nn.Module):
    """Fourteen convolutional layers, a 1024-number embedding of each patch, one linear layer.

    Args:
        classes: outputs of the last layer.
        sample_rate: of the waves, Hz; stereo is mixed down, other rates are resampled to 16 kHz.
    """

    def __init__(self, classes: int, sample_rate: int) -> None:
        super().__init__()
        self.sample_rate = sample_rate
        layers = _convolution(1, 32, kernel=3, stride=2)
        inputs = 32
        for outputs, stride in LAYERS:
            layers += _convolution(inputs, inputs, kernel=3, stride=stride, groups=inputs)
            layers += _convolution(inputs, outputs, kernel=1)
            inputs = outputs
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)
        self.to(memory_format=torch.channels_last)  # measured faster on CPUs

    def frontend(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to patches `[B, P, 96, 64]`."""
        return yamnet_patches(torchaudio.functional.resample(wave.mean(dim=1), self.sample_rate, YAMNET_SAMPLE_RATE))

    def embed(self, patches: Tensor) -> Tensor:
        """Patches `[B, P, 96, 64]` to embeddings `[B, P, 1024]`."""
        images = patches.flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
        return self.maps(images).mean(dim=(2, 3)).unflatten(0, patches.shape[:2])

    def embed_waves(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to the embeddings of all their patches `[B, P, 1024]`."""
        return self.embed(self.frontend(wave))


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
    normalisation = nn.BatchNorm2d(outputs, eps=NORMALISATION_EPSILON)
    normalisation.weight.requires_grad_(False)  # the reference centres without scaling: the weight stays 1
    convolution = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")  # keeps variances near 1, where the norms start
    return [convolution, normalisation, nn.ReLU(inplace=True)]


def load_audioset(path: Path) -> YAMNet:
    """The whole network as Google trained it, from a file that `audioset.convert` wrote: 521 outputs, 16 kHz mono.

    `head(embed_waves(wave)).sigmoid()` are the scores that the published model gives each patch: AudioSet's classes do
    not exclude each other.

    Raises:
        AudioSetError: the file is missing or damaged, or holds something else.
    """
    if not path.is_file():
        raise AudioSetError(f"{path} is missing: run `dvc repro pretrained`, or `dvc pull` if a remote holds it")
    try:
        with safetensors.safe_open(path, "pt") as file:
            origin = json.loads((file.metadata() or {}).get("origin", "{}"))
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise AudioSetError(f"{path} is damaged ({error}): convert the AudioSet weights again") from None
    if not isinstance(origin, dict) or origin.get("format") != AUDIOSET_FORMAT:
        raise AudioSetError(
            f"{path} holds no AudioSet weights that counterpoise converted (format {AUDIOSET_FORMAT}): set "
            "yamnet.source to the published model, and run `dvc repro pretrained`"
        )
    with torch.random.fork_rng(devices=[]):
        network = YAMNet(AUDIOSET_CLASSES, YAMNET_SAMPLE_RATE)
    wanted = network.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in wanted]
    problems += [
        f"{name} is {_form(tensors[name])} instead of {_form(wanted[name])}"
        for name in wanted
        if name in tensors and _form(tensors[name]) != _form(wanted[name])
    ]
    problems += [
        f"{name} holds numbers that are not finite" for name, value in tensors.items() if not value.isfinite().all()
    ]
    if problems:
        raise AudioSetError(f"{path} holds weights of another network: {'; '.join(problems[:5])}")
    network.load_state_dict(tensors)
    return network.eval()


def _form(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
