"""The section `class_filter` of params.yaml."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from counterpoise.core.settings import Section


class ClassFilterSettings(Section):
    """Who recognises a variation: logistic regression on embeddings, which learns from training clips alone."""

    embedding: Literal["own", "audioset"]  # of a CNN trained on the training clips, or of AudioSet's YAMNet
    steps: PositiveInt  # of that CNN
    batch_size: PositiveInt
    learning_rate: PositiveFloat
    seed: int
