"""YAMNet's network (MobileNet v1: Howard et al. 2017, Table 1) on YAMNet's patches.

The layers are those of tensorflow/models, research/audioset/yamnet/yamnet.py. The weights start at random, or the body
starts from what Google trained on AudioSet; see :mod:`counterpoise.classifiers.audioset`.
"""

import json
import math
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
import torchaudio
from torch import Tensor, nn

from counterpoise import CounterpoiseError
from counterpoise.features import YAMNET_SAMPLE_RATE, time_shift, yamnet_patches
from counterpoise.params import Audio, Classifier, Features

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

    A body that starts from AudioSet keeps AudioSet's batch statistics while it is fine-tuned, and learns the kernels
    and offsets round them. Small batches of single patches would estimate them badly, the arms' class proportions
    would get into them, and converted .tflite weights, whose statistics are folded into the kernels, need them as they
    are.

    Args:
        classes: how many.
        audio: the form of the waves; stereo is mixed down, other rates are resampled to 16 kHz.
        features: only `time_shift` is used; the patches have YAMNet's own form.
        classifier: `yamnet_patches`, how many patches of each clip an augmented pass looks at; `init` and `body`.

    Attributes:
        pretrained: the body starts from AudioSet.
        frozen: and stays as it is; only the head learns.
    """

    def __init__(self, classes: int, audio: Audio, features: Features, classifier: Classifier) -> None:
        super().__init__()
        self.sample_rate = audio.sample_rate
        self.shift = features.time_shift
        self.patches = classifier.yamnet_patches
        self.pretrained = classifier.init == "audioset"
        self.frozen = self.pretrained and classifier.body == "frozen"
        layers = _convolution(1, 32, kernel=3, stride=2)
        inputs = 32
        for outputs, stride in LAYERS:
            layers += _convolution(inputs, inputs, kernel=3, stride=stride, groups=inputs)
            layers += _convolution(inputs, outputs, kernel=1)
            inputs = outputs
        self.maps = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)
        self.to(memory_format=torch.channels_last)  # measured faster on CPUs
        if self.frozen:
            self.maps.requires_grad_(False)

    def train(self, mode: bool = True) -> "YAMNet":
        """As of any module, but AudioSet's batch statistics stay as they are."""
        super().train(mode)
        if self.pretrained:
            self.maps.eval()
        return self

    def embed(self, patches: Tensor) -> Tensor:
        """Patches `[B, P, 96, 64]` to embeddings `[B, P, 1024]`."""
        images = patches.flatten(0, 1)[:, None].contiguous(memory_format=torch.channels_last)
        return self.maps(images).mean(dim=(2, 3)).unflatten(0, patches.shape[:2])

    def embed_waves(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to the embeddings of all their patches `[B, P, 1024]`."""
        return self.embed(self._patches(wave))

    def classify(self, embeddings: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Embeddings `[B, P, 1024]` to log-probabilities `[B, classes]`: the mean of the patches' probabilities.

        A CPU generator draws `yamnet_patches` of each clip's patches; without one every patch counts.
        """
        if generator is not None:
            embeddings = _draw(embeddings, self.patches, generator)
        log_probabilities = self.head(embeddings).float().log_softmax(dim=-1)  # [B, P, classes]
        return log_probabilities.logsumexp(dim=1) - math.log(log_probabilities.shape[1])

    def forward(self, wave: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`, as `classify`.

        With a CPU generator each clip is shifted in time and `yamnet_patches` of its patches are drawn; without one
        every patch counts.
        """
        if generator is not None:
            wave = time_shift(wave, self.shift, generator)
        patches = self._patches(wave)
        if generator is not None:
            patches = _draw(patches, self.patches, generator)
        return self.classify(self.embed(patches))

    def _patches(self, wave: Tensor) -> Tensor:
        return yamnet_patches(torchaudio.functional.resample(wave.mean(dim=1), self.sample_rate, YAMNET_SAMPLE_RATE))


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


def _draw(patches: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """At most `count` different patches of each clip: `[B, P, ...]` to `[B, min(count, P), ...]`."""
    clips, available = patches.shape[:2]
    drawn = torch.rand(clips, available, generator=generator).argsort(dim=1)[:, :count].to(patches.device)
    return patches[torch.arange(clips, device=patches.device)[:, None], drawn]


def load_audioset(path: Path) -> YAMNet:
    """The whole network as Google trained it, from a file that `audioset.convert` wrote: 521 outputs, 16 kHz mono.

    `head(embed_waves(wave)).sigmoid()` are the scores that the published model gives each patch: AudioSet's classes do
    not exclude each other, so :meth:`YAMNet.classify` is not what its head was trained for.

    Raises:
        AudioSetError: the file is missing or damaged, or holds something else.
    """
    if not path.is_file():
        raise AudioSetError(f"{path} is missing: run `dvc repro pretrained`, or `dvc pull` if a remote holds it")
    try:
        with safetensors.safe_open(path, "pt") as file:
            origin = json.loads((file.metadata() or {}).get("origin", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise AudioSetError(f"{path} is damaged ({error}): convert the AudioSet weights again") from None
    if not isinstance(origin, dict) or origin.get("format") != AUDIOSET_FORMAT:
        raise AudioSetError(
            f"{path} holds no AudioSet weights that counterpoise converted (format {AUDIOSET_FORMAT}): set "
            "yamnet.source to the published model, and run `dvc repro pretrained`"
        )
    with torch.random.fork_rng(devices=[]):
        network = YAMNet(
            AUDIOSET_CLASSES, Audio(sample_rate=YAMNET_SAMPLE_RATE, channels=1, seconds=1), Features(),
            Classifier(seeds=[0], steps=1, batch_size=1, init="audioset", body="frozen"),
        )
    wanted = network.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in wanted]
    problems += [
        f"{name} is {_form(tensors[name])} instead of {_form(wanted[name])}"
        for name in wanted if name in tensors and _form(tensors[name]) != _form(wanted[name])
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
