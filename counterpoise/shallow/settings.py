"""The section `shallow` of params.yaml."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from counterpoise.core.settings import Section

Name = Literal["mfcc_svm", "lda", "nearest_mean"]
NAMES: tuple[str, ...] = get_args(Name)


class Shallow(Section):
    """Classical classifiers on statistics of MFCCs, or on AudioSet's embeddings where its weights are there."""

    classifiers: list[Name]  # those that are learned; none: the stage leaves nothing
    mfcc: Annotated[int, Field(ge=2)]  # coefficients, no more than features.n_mels
