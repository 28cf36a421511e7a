"""The typed form of params.yaml: every value with its range and meaning. `python -m counterpoise.preflight` checks it.

A stage calls :func:`load` once. The whole file is checked, so that a typing error in the last
section stops the first stage rather than the last one.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, StringConstraints, ValidationError
from pydantic import field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from counterpoise import CounterpoiseError

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Arm = Literal[
    "none", "class_weights", "oversample", "undersample", "mixup",
    "classic", "roundtrip", "diffusion", "diffusion_classic",
]  # fmt: skip
Model = Literal["cnn", "yamnet"]
CodecName = Literal["mel", "encodec_24khz", "encodec_48khz"]


class ParamsError(CounterpoiseError):
    """params.yaml holds a value that counterpoise cannot use; the message names it."""


class Section(BaseModel):
    """One section of params.yaml: unknown keys are errors, values never change after parsing."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Scarce(Section):
    """Classes made rare on purpose, all by one number, so that `dvc exp run --queue` can sweep it."""

    classes: list[Slug] = []
    limit: PositiveInt | None = None  # training units of each of them, in `data.limit_unit`; null leaves them whole


class Data(Section):
    """Which sounds."""

    dataset: Literal["dogs", "urbansound8k", "esc50", "own"]
    path: str = Field(min_length=1)  # where an existing collection lies; read in place
    download: bool = False  # urbansound8k and esc50: fetch the collection instead of reading `path`
    scale: PositiveFloat = 1.0  # dogs only: share of the default number of recordings
    seed: int = 0  # of the dogs, and of folds that are assigned
    labels: Literal["folder", "pattern", "table"] = "folder"  # own only: where a clip's label comes from
    pattern: str | None = None  # own: regular expression with (?P<label>...) and perhaps (?P<source>...)
    table: str | None = None  # own: CSV, TSV or JSON, from `path`
    columns: dict[Literal["file", "label", "source", "fold"], str] = {}  # own: the table's names for these
    min_seconds: PositiveFloat = 0.05  # shorter files are rejected
    max_seconds: Annotated[float, Field(gt=0, le=600)] = 30.0  # longer files are cut
    clip_seconds: PositiveFloat = 4.0  # into clips of this length, which keep their source
    max_rejected: Fraction = 0.5  # a larger share of rejected files stops the run
    duplicates: bool = True  # find equal and nearly equal sounds, and keep them on one side of every split
    folds: Annotated[int, Field(ge=2)] = 5  # for collections without official folds
    min_recordings: Annotated[int, Field(ge=1)] = 2  # fewer training recordings of a class than this is an error
    limit: dict[Slug, PositiveInt] = {}  # at most so many *training* units of a class
    limit_unit: Literal["recordings", "clips"] = "recordings"
    scarce: Scarce = Scarce()  # goes before `limit`

    def limits(self) -> dict[str, int]:
        """At most so many training units of a class, from `limit` and `scarce`."""
        scarce = {} if self.scarce.limit is None else dict.fromkeys(self.scarce.classes, self.scarce.limit)
        return {**self.limit, **scarce}


class ClassInfo(Section):
    """A class: its slug is the key in params.yaml; `name` is what people read."""

    name: str = Field(min_length=1)


class Audio(Section):
    """The one form in which a clip reaches a classifier."""

    sample_rate: Annotated[int, Field(ge=8000, le=192000)]  # Hz
    channels: Literal[1, 2]
    seconds: Annotated[float, Field(ge=0.05, le=60)]  # shorter clips are padded, longer ones cut


class Split(Section):
    """Which recordings are held out."""

    test_fold: int
    val_fold: int | None = None
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.0  # used where val_fold is null
    seed: int = 0


class MelCodec(Section):
    """Log-mel latents; the defaults keep 97 % of an AudioSet YAMNet embedding at 16 kHz."""

    bands: PositiveInt = 96
    f_min: Annotated[float, Field(ge=0)] = 20.0  # Hz
    f_max: PositiveFloat = 8000.0  # Hz
    n_fft: PositiveInt = 512
    window: PositiveInt = 400  # samples
    hop: PositiveInt = 160  # samples
    sample_rate: PositiveInt = 16000  # Hz
    nnls_steps: PositiveInt = 30
    griffin_lim_steps: PositiveInt = 32


class EncodecCodec(Section):
    """EnCodec's continuous latents, taken before the quantiser."""

    checkpoint: str | None = None  # a local .th file; null downloads the official one once, by checksum
    requantise: PositiveFloat | None = None  # kbit/s; null decodes the latents as they are
    chunk_seconds: PositiveFloat = 5.0  # longer audio is coded piece by piece; at 48 kHz only its quantiser


class Codec(Section):
    """Audio to latents and back."""

    name: CodecName
    batch_size: PositiveInt = 16
    check_clips: PositiveInt = 8  # clips a class whose round trip is measured
    mel: MelCodec = MelCodec()
    encodec: EncodecCodec = EncodecCodec()


class Diffusion(Section):
    """EDM denoisers (Karras et al. 2022): one per class, or one for all to compare with."""

    mode: Literal["per_class", "conditional"] = "per_class"  # conditional: one class-conditioned model for all
    init: Literal["scratch", "shared"] = "scratch"  # shared: every class fine-tunes a base of all training clips
    base_steps: PositiveInt = 1000  # of the base, or of the conditional model
    steps: PositiveInt  # of each class, at most
    steps_per_clip: PositiveFloat | None = None  # training steps for each training clip, up to `steps`; null: `steps`
    min_steps: PositiveInt = 1  # and no fewer than these
    check_every: Annotated[int, Field(ge=0)] = 0  # steps between rehearsals with the sampler that generates; 0: none
    check_clips: Annotated[int, Field(ge=4)] = 12  # variations in a rehearsal
    patience: PositiveInt = 2  # rehearsals without a better one that end a class's training
    altered: Annotated[int, Field(ge=0, le=16)] = 0  # classical variations of each clip that are learned beside it
    batch_size: PositiveInt
    crop_frames: PositiveInt  # latent frames in a training crop
    widths: Annotated[list[PositiveInt], Field(min_length=2, max_length=5)]  # channels at each resolution
    layers: PositiveInt = 1  # residual blocks at each resolution
    attention: bool = True  # self-attention at the lowest resolution
    optimiser: Literal["muon", "adamw"] = "muon"  # muon: of the hidden weights; the others are AdamW's
    learning_rate: PositiveFloat = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 30
    ema_decay: Annotated[float, Field(gt=0, lt=1)] = 0.995
    noise_mean: float = -0.4  # P_mean and P_std: ln(sigma) of training noise is normal (EDM, Table 1)
    noise_std: PositiveFloat = 1.2
    checkpoint_every: PositiveInt = 200  # steps between resumable checkpoints
    seed: int = 0

    def budget(self, clips: int) -> int:
        """Training steps of a class with so many clips: time to memorise grows with their number."""
        wanted = self.steps if self.steps_per_clip is None else round(self.steps_per_clip * clips)
        return min(self.steps, max(self.min_steps, wanted))


class Generate(Section):
    """How a variation is sampled."""

    start: Literal["own", "altered", "blend", "cross", "noise"] = "own"  # what the noise is put on
    # sigma of the noise put on the normalised source latent; of a range, every clip draws its own
    strength: PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=2, max_length=2)] = 1.0
    solver: Literal["euler", "heun", "dpmpp_2m"] = "euler"
    steps: Annotated[int, Field(ge=2)] = 12
    # 1: none; above, the sampler is pushed away from what the model was before it was tuned, or early in its training
    guidance: Annotated[float, Field(ge=1, le=5)] = 1.0
    finish: Literal["none", "classic"] = "none"  # classic: what was made goes through classical augmentation
    keep: Literal["all", "best"] = "best"  # best: the judge rejects what it does not recognise, copies and silence
    candidates: Annotated[float, Field(ge=1, le=20)] = 1.5  # keep: best, made for each variation that is wanted
    batch_size: PositiveInt = 16
    seed: int = 0

    @field_validator("strength")
    @classmethod
    def _from_low_to_high(cls, strength: float | list[float]) -> float | list[float]:
        if isinstance(strength, list) and strength[0] > strength[1]:
            raise ValueError("a range goes from the lower strength to the higher")
        return strength


class Aug(Section):
    """How many variations."""

    factor: Annotated[float, Field(ge=0)]  # synthetic clips per original, at most
    per_class: dict[Slug, Annotated[float, Field(ge=0)]] = {}
    warn_above: PositiveFloat = 5.0  # a class with more variations of each real clip than this brings a warning
    # share of the real clips, of every class, that go through the codec in arms with decoded variations: then the
    # codec's traces tell nothing of the class
    real_through_codec: Fraction = 0.0


class Features(Section):
    """The CNN's mel spectrogram and its augmentation."""

    n_mels: PositiveInt = 64
    n_fft: PositiveInt = 1024
    hop: PositiveInt = 512  # samples
    top_db: PositiveFloat = 80.0
    time_shift: Fraction = 0.4  # largest shift, as a share of the clip
    mask_fraction: Fraction = 0.1  # widest mask, as a share of the axis
    masks: Annotated[int, Field(ge=0)] = 2  # masks on each axis


class Classifier(Section):
    """Training of the classifiers, the same number of steps for every arm."""

    seeds: Annotated[list[int], Field(min_length=1)]
    steps: PositiveInt
    batch_size: PositiveInt
    learning_rate: PositiveFloat = 1e-3  # peak of the one-cycle schedule
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    checkpoint_every: PositiveInt = 200
    init: Literal["scratch", "audioset"] = "scratch"  # of the yamnet
    body: Literal["finetune", "frozen"] = "finetune"  # with init: audioset, whether YAMNet's body learns, too
    body_rate: Annotated[float, Field(gt=0, le=1)] = 0.1  # its learning rate, as a share of the head's
    mixup_alpha: PositiveFloat = 0.2  # of the arm `mixup`: shares are drawn from Beta(alpha, alpha)
    # made clips count for less, in every arm that adds some: soft labels, and training that ends on real clips alone
    made_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0  # label smoothing of made clips
    real_last: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of the steps, the last ones, that see no made clip
    yamnet_patches: PositiveInt = 1  # 0.96 s patches drawn from each clip in a training step; scoring uses all


class Yamnet(Section):
    """The YAMNet that Google trained on AudioSet, for `classifier.init` and `judge.embedding`."""

    # an address for tensorflow-hub, a SavedModel folder, a .tflite file, or a .safetensors file converted before
    source: str = Field("https://tfhub.dev/google/yamnet/1", min_length=1)


class Judge(Section):
    """Who recognises a variation: logistic regression on embeddings, which learns from training clips alone."""

    embedding: Literal["own", "audioset"] = "own"  # of a CNN trained on the training clips, or of AudioSet's YAMNet
    steps: PositiveInt = 600  # of that CNN
    batch_size: PositiveInt = 16
    learning_rate: PositiveFloat = 2e-3
    seed: int = 0


class Evaluation(Section):
    """How sure the answer is: a bootstrap over test recordings and seeds."""

    resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95  # of the intervals
    seed: int = 0


class Runtime(Section):
    """Where and how the numbers are computed."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"  # auto: bf16 where it was measured to be faster
    compile: Literal["auto", "on", "off"] = "auto"  # auto: denoisers on CUDA; compiling takes a minute or two
    threads: PositiveInt = 2
    workers: Annotated[int, Field(ge=0)] = 1  # processes that read audio


class Params(Section):
    """All of params.yaml."""

    data: Data
    classes: Annotated[dict[Slug, ClassInfo], Field(min_length=2)]
    audio: Audio
    split: Split
    codec: Codec
    diffusion: Diffusion
    generate: Generate
    aug: Aug
    arms: Annotated[list[Arm], Field(min_length=1)]
    models: Annotated[list[Model], Field(min_length=1)]
    features: Features
    classifier: Classifier
    yamnet: Yamnet = Yamnet()
    judge: Judge = Judge()
    evaluation: Evaluation = Evaluation()
    runtime: Runtime

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Params":
        for where, values in (("arms", self.arms), ("models", self.models), ("seeds", self.classifier.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{where} names something twice: {values}")
        return self

    @model_validator(mode="after")
    def _only_known_classes(self) -> "Params":
        for where, keys in (
            ("data.limit", self.data.limit),
            ("data.scarce.classes", self.data.scarce.classes),
            ("aug.per_class", self.aug.per_class),
        ):
            for key in keys:
                if key not in self.classes:
                    raise ValueError(f"{where} names the class {key!r}; the classes are {', '.join(self.classes)}")
        return self


def load(path: str | Path = "params.yaml") -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: the file is missing, is no YAML, or holds an unknown key or a value out of range;
            the message has one line for each mistake, with the key, the value, and what is allowed.
    """
    try:
        raw = YAML(typ="safe").load(Path(path).read_text(encoding="utf-8"))
        return Params.model_validate(raw)
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing: run from the repository's root, or `git checkout {path}`") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML: {error}") from None
    except ValidationError as error:
        raise ParamsError(_explain(path, error)) from None


def _explain(path: str | Path, error: ValidationError) -> str:
    lines = [f"{path} has {error.error_count()} value(s) that cannot be used:"]
    for item in error.errors():
        key = ".".join(str(part) for part in item["loc"] if part != "[key]") or "(whole file)"
        given = "" if isinstance(item["input"], (dict, BaseModel)) else f" (given: {item['input']!r})"
        message = "unknown key" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        lines.append(f"  {key}: {message}{given}")
    lines.append("Mend the line and run `dvc repro` again; finished stages are kept.")
    return "\n".join(lines)
