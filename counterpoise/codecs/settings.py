"""The section `codec` of params.yaml."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from counterpoise.codecs import CODECS
from counterpoise.core.settings import Section

NEAR = 0.9  # frequencies that differ by less than this factor count as equal: filters end before half the rate


class MelSettings(Section):
    """Log-mel latents; the usual values keep 97 % of an AudioSet YAMNet embedding at 16 kHz."""

    bands: PositiveInt
    f_min: Annotated[float, Field(ge=0)]  # Hz
    f_max: PositiveFloat  # Hz
    n_fft: PositiveInt
    window: PositiveInt  # samples
    hop: PositiveInt  # samples
    sample_rate: PositiveInt  # Hz
    nnls_steps: PositiveInt
    griffin_lim_steps: PositiveInt


class EncodecSettings(Section):
    """EnCodec's continuous latents, taken before the quantiser."""

    checkpoint: str | None  # a local .th file; null downloads the official one once, by checksum
    requantise: PositiveFloat | None  # kbit/s; null decodes the latents as they are
    chunk_seconds: PositiveFloat  # longer audio is coded piece by piece; at 48 kHz only its quantiser


class CodecSettings(Section):
    """Audio to latents and back."""

    name: str
    batch_size: PositiveInt
    check_clips: PositiveInt  # clips a class whose round trip is measured
    mel: MelSettings
    encodec: EncodecSettings

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CODECS:
            raise ValueError(f"no codec is called {name!r}; there are {', '.join(CODECS)}")
        return name
