"""The section `classifier` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from counterpoise.core.settings import Fraction, Section


class Classifier(Section):
    """Training of the classifiers; an arm may have a multiple of the steps."""

    seeds: Annotated[list[int], Field(min_length=1)]
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat  # peak of the one-cycle schedule
    weight_decay: Annotated[float, Field(ge=0)]
    checkpoint_every: PositiveInt
    time_shift: Fraction  # largest shift in training, as a share of the clip
    mask_fraction: Fraction  # of the cnn: widest SpecAugment mask, as a share of the axis
    masks: Annotated[int, Field(ge=0)]  # of the cnn: masks on each axis
    yamnet_patches: PositiveInt  # 0.96 s patches drawn from each clip in a training step; scoring uses all
    init: Literal["scratch", "audioset"]  # of the yamnet
    body: Literal["finetune", "frozen"]  # with init: audioset, whether YAMNet's body learns, too
    body_rate: Annotated[float, Field(gt=0, le=1)]  # its learning rate, as a share of the head's
    mixup_alpha: PositiveFloat  # of the arm `mixup`: shares are drawn from Beta(alpha, alpha)
    # made clips count for less, in every arm that adds some: soft labels, and training that ends on real clips alone
    made_smoothing: Annotated[float, Field(ge=0, lt=1)]  # label smoothing of made clips
    real_last: Annotated[float, Field(ge=0, lt=1)]  # share of the steps, the last ones, that see no made clip
