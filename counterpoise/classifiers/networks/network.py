"""What a classifier's network must offer."""

from collections.abc import Mapping
from typing import Literal, Protocol, Self

import torch
from torch import Tensor, nn


class Network(Protocol):
    """A module that is built from `(classes, audio: Audio, features: Features, pretrained: bool, frozen: bool)`.

    Attributes:
        takes: what its frontend gives: `spectrogram` `[B, channels, bands, frames]`, which SpecAugment may mask, or
            `patches` `[B, P, ...]`, of which training draws some.
        maps: all layers but the last, which may have a learning rate of their own.
        head: the last layer.
        pretrained: `maps` start from AudioSet's weights.
        frozen: and stay as they are; only the head learns, from embeddings that are kept on disk.
    """

    takes: Literal["spectrogram", "patches"]
    maps: nn.Module
    head: nn.Linear
    pretrained: bool
    frozen: bool
    training: bool

    def frontend(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to what the layers look at."""

    def classify(self, inputs: Tensor) -> Tensor:
        """What the frontend gives to log-probabilities `[B, classes]`."""

    def embed_waves(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to embeddings `[B, P, D]`, the last layer's inputs."""

    def read_out(self, embeddings: Tensor) -> Tensor:
        """Embeddings `[B, P, D]` to log-probabilities `[B, classes]`."""

    # As of any torch module

    def to(self, device: torch.device) -> Self: ...

    def train(self, mode: bool = True) -> Self: ...

    def eval(self) -> Self: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> object: ...

    def __call__(self, wave: Tensor) -> Tensor:
        """Waves `[B, channels, samples]` to log-probabilities `[B, classes]`."""
