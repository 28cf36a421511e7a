"""Codecs: audio to a short sequence of latent frames, and back. A new one is a file here and an entry in CODECS."""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # names are checked where nothing is encoded, and torch would take seconds
    import torch

    from counterpoise.codecs.codec import Codec
    from counterpoise.codecs.settings import CodecSettings

CODECS = {  # by `codec.name`: the class, see :class:`counterpoise.codecs.codec.Codec`
    "mel": "counterpoise.codecs.mel:MelCodec",
    "encodec_24khz": "counterpoise.codecs.encodec:EncodecCodec",
    "encodec_48khz": "counterpoise.codecs.encodec:EncodecCodec",
}


def kind(name: str) -> Any:
    """The class of a codec, by its name."""
    return pkgutil.resolve_name(CODECS[name])


def build(settings: "CodecSettings", device: "torch.device") -> "Codec":
    """The codec that params.yaml names.

    Raises:
        CodecError: its settings contradict each other, or its weights cannot be had.
    """
    return kind(settings.name)(settings.name, settings, device)
