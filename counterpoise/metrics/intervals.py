"""How sure a number is: the section `evaluation` of params.yaml."""

from typing import Annotated

from pydantic import Field

from counterpoise.core.settings import Section


class Evaluation(Section):
    """Intervals: a bootstrap over test recordings and seeds, or over recordings of a set of sounds."""

    resamples: Annotated[int, Field(ge=100, le=100_000)]
    level: Annotated[float, Field(gt=0.5, lt=1)]  # of the intervals
    seed: int
