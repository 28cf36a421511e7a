"""The section `diffusion_classifier` of params.yaml."""

import itertools
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from counterpoise.core.settings import Section


class DiffusionClassifier(Section):
    """How clips are scored by the denoisers, and how losses become probabilities."""

    # base: one network that is told the class; classes: each class's own; auto: the base, if any; none: nobody
    denoisers: Literal["auto", "base", "classes", "none"]
    sigmas: Annotated[list[PositiveFloat], Field(min_length=1)]  # noise levels, on normalised latents, rising
    draws: PositiveInt  # of noise at each level, the same for every class
    seconds: PositiveFloat | None  # of each clip, from its middle; null: all of it
    batch_size: PositiveInt  # clips
    seed: int  # of the noise
    calibration: Literal["likelihood", "standard", "fitted"]  # see `posterior.calibrate`
    feature_sigma: (
        PositiveFloat | None
    )  # noise level at which `features` are read, on normalised latents; null: not read

    @field_validator("sigmas")
    @classmethod
    def _rising(cls, sigmas: list[float]) -> list[float]:
        if any(after <= before for before, after in itertools.pairwise(sigmas)):
            raise ValueError(f"noise levels are {sigmas}; expected each above the one before, e.g. [0.3, 1.0, 3.0]")
        return sigmas
