"""The section `diffusion_classifier` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from counterpoise.core.settings import Section


class DiffusionClassifier(Section):
    """How clips are scored by the denoisers, and how losses become probabilities."""

    denoisers: Literal["auto", "base", "classes"]  # auto: the base, or each class's own where there is no base
    sigmas: Annotated[list[PositiveFloat], Field(min_length=1)]  # noise levels, on normalised latents, rising
    draws: PositiveInt  # of noise at each level, the same for every class
    seconds: PositiveFloat | None  # of each clip, from its middle; null: all of it
    batch_size: PositiveInt  # clips
    seed: int  # of the noise
    calibration: Literal["likelihood", "standard", "fitted"]  # see `posterior.calibrate`
    feature_sigma: PositiveFloat  # noise level at which `features` are read, on normalised latents
