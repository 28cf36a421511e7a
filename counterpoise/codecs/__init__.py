"""Codecs: audio to a short sequence of latent frames, and back."""

from typing import Protocol

import torch
from torch import Tensor

from counterpoise import CounterpoiseError, params


class CodecError(CounterpoiseError):
    """Settings, weights or audio that a codec cannot use; the message says which and why."""


class Codec(Protocol):
    """What every codec offers.

    Attributes:
        name: as in params.yaml.
        sample_rate: of the audio that it reads and gives, Hz.
        channels: of that audio.
        latent_channels: C.
        hop: samples in a latent frame; the latent rate is `sample_rate / hop` frames a second.
        silence: `[C]`, the latent frame of digital silence.
    """

    name: str
    sample_rate: int
    channels: int
    latent_channels: int
    hop: int
    silence: Tensor

    def encode(self, wave: Tensor) -> Tensor:
        """`[B, channels, samples]` to float32 `[B, C, ceil(samples / hop)]`, on the codec's device."""

    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, T]` to float32 `[B, channels, T * hop]`, on the codec's device."""


def build(settings: params.Codec, device: torch.device) -> Codec:
    """The codec that params.yaml names.

    Raises:
        CodecError: its settings contradict each other, or its weights cannot be had.
    """
    if settings.name == "mel":
        from counterpoise.codecs.mel import MelCodec

        return MelCodec(settings.mel, device)
    from counterpoise.codecs.encodec import EncodecCodec

    return EncodecCodec(settings.name, settings.encodec, device)


def check_shape(what: str, tensor: Tensor, channels: int) -> None:
    """Raise CodecError unless `tensor` is `[B, channels, n]` with n > 0."""
    if tensor.ndim != 3 or tensor.shape[1] != channels or tensor.shape[2] == 0:
        raise CodecError(f"{what} has the shape {list(tensor.shape)}; this codec takes [batch, {channels}, 1 or more]")
