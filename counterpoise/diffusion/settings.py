"""The section `diffusion` of params.yaml."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from counterpoise.core.settings import Section

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0  # noise that cannot be heard; noise that drowns everything (EDM, Table 1)


class Diffusion(Section):
    """EDM denoisers (Karras et al. 2022): one per class, or one for all to compare with."""

    renamed: ClassVar[dict[str, str]] = {
        "altered": "diffusion.augmented",
        "check_every": "diffusion.validate_every",
        "check_clips": "diffusion.validation_samples",
    }

    mode: Literal["per_class", "conditional"]  # conditional: one class-conditioned model for all
    init: Literal["scratch", "shared"]  # shared: every class fine-tunes a base of all training clips
    base_steps: PositiveInt  # of the base, or of the conditional model
    steps: PositiveInt  # of each class, at most
    steps_per_clip: PositiveFloat | None  # training steps for each training clip, up to `steps`; null: `steps`
    min_steps: PositiveInt  # and no fewer than these
    validate_every: Annotated[int, Field(ge=0)]  # steps between validations with the sampler that generates; 0: none
    validation_samples: Annotated[int, Field(ge=4)]  # variations that a validation samples
    patience: PositiveInt  # validations without a better one that end a class's training
    augmented: Annotated[int, Field(ge=0, le=16)]  # classical variations of each clip that are learned beside it
    unlabelled_share: Annotated[float, Field(ge=0, lt=1)]  # of each base training batch, if there are such clips
    batch_size: PositiveInt
    crop_frames: PositiveInt  # latent frames in a training crop
    widths: Annotated[list[PositiveInt], Field(min_length=2, max_length=5)]  # channels at each resolution
    layers: PositiveInt  # residual blocks at each resolution
    attention: bool  # self-attention at the lowest resolution
    optimiser: Literal["muon", "adamw"]  # muon: of the hidden weights; the others are AdamW's
    learning_rate: PositiveFloat
    warmup_steps: Annotated[int, Field(ge=0)]
    ema_decay: Annotated[float, Field(gt=0, lt=1)]
    noise_mean: float  # P_mean and P_std: ln(sigma) of training noise is normal (EDM, Table 1)
    noise_std: PositiveFloat
    checkpoint_every: PositiveInt  # steps between resumable checkpoints
    seed: int

    def budget(self, clips: int) -> int:
        """Training steps of a class with so many clips: time to memorise grows with their number."""
        wanted = self.steps if self.steps_per_clip is None else round(self.steps_per_clip * clips)
        return min(self.steps, max(self.min_steps, wanted))
