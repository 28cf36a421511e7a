"""The sections `features` and `yamnet` of params.yaml."""

from typing import ClassVar

from pydantic import Field, PositiveFloat, PositiveInt

from counterpoise.core.settings import Section


class Features(Section):
    """The CNN's mel spectrogram."""

    renamed: ClassVar[dict[str, str]] = {
        name: f"classifier.{name}" for name in ("time_shift", "mask_fraction", "masks")
    }

    n_mels: PositiveInt
    n_fft: PositiveInt
    hop: PositiveInt  # samples
    top_db: PositiveFloat


class Yamnet(Section):
    """The YAMNet that Google trained on AudioSet, for `classifier.init` and `class_filter.embedding`."""

    # an address for tensorflow-hub, a SavedModel folder, a .tflite file, or a .safetensors file converted before
    source: str = Field(min_length=1)
