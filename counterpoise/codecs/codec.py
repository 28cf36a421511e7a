"""What a codec is."""

from typing import ClassVar, Protocol

from torch import Tensor

from counterpoise.core import CounterpoiseError


class CodecError(CounterpoiseError):
    """Settings, weights or audio that a codec cannot use; the message says which and why."""


class Codec(Protocol):
    """What every codec offers. Its class is built from `(name, settings: CodecSettings, device)`.

    Attributes:
        picture: the latents' channels are ordered like the bands of a spectrogram, so that a 2-D network suits them.
        name: as in params.yaml.
        sample_rate: of the audio that it reads and gives, Hz.
        channels: of that audio.
        highest: frequency that it keeps, Hz.
        latent_channels: C.
        hop: samples in a latent frame; the latent rate is `sample_rate / hop` frames a second.
    """

    picture: ClassVar[bool]
    name: str
    sample_rate: int
    channels: int
    highest: float
    latent_channels: int
    hop: int

    def encode(self, wave: Tensor) -> Tensor:
        """`[B, channels, samples]` to float32 `[B, C, ceil(samples / hop)]`, on the codec's device."""

    def decode(self, latents: Tensor) -> Tensor:
        """`[B, C, T]` to float32 `[B, channels, T * hop]`, on the codec's device."""


def check_shape(what: str, tensor: Tensor, channels: int) -> None:
    """Raise CodecError unless `tensor` is `[B, channels, n]` with n > 0."""
    if tensor.ndim != 3 or tensor.shape[1] != channels or tensor.shape[2] == 0:
        raise CodecError(f"{what} has the shape {list(tensor.shape)}; this codec takes [batch, {channels}, 1 or more]")
