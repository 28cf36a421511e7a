"""The section `generate` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from counterpoise.core.settings import Section

Start = Literal["own", "augmented", "blend", "cross", "noise"]


class Generate(Section):
    """How a variation is sampled."""

    start: Start  # what the noise is put on
    # sigma of the noise put on the normalised source latent; of a range, every clip draws its own
    strength: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)]
    solver: Literal["euler", "heun", "dpmpp_2m"]
    steps: Annotated[int, Field(ge=2)]
    # 1: none; above, the sampler is pushed away from what the model was before it was tuned, or early in its training
    guidance: Annotated[float, Field(ge=1, le=5)]
    finish: Literal["none", "classic"]  # classic: what was made goes through classical augmentation
    keep: Literal["all", "best"]  # best: the class filter rejects what it does not recognise, copies and silence
    candidates: Annotated[float, Field(ge=1, le=20)]  # keep: best, made for each variation that is wanted
    batch_size: PositiveInt
    seed: int

    @field_validator("start", mode="before")
    @classmethod
    def _present_name(cls, start: object) -> object:
        if start == "altered":
            raise ValueError("altered is now called augmented")
        return start

    @field_validator("strength")
    @classmethod
    def _from_low_to_high(cls, strength: float | list[float]) -> float | list[float]:
        if isinstance(strength, list) and strength[0] > strength[1]:
            raise ValueError("a range goes from the lower strength to the higher")
        return strength
