"""All of params.yaml: every room's sections together, and what must hold between them."""

from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from counterpoise.arms import arm
from counterpoise.classifiers.networks import NETWORKS
from counterpoise.classifiers.settings import Classifier
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.diffusion.settings import Diffusion
from counterpoise.diffusion_classifier.settings import DiffusionClassifier
from counterpoise.embeddings.settings import Features, Yamnet
from counterpoise.ensembles.settings import Ensembles
from counterpoise.filtering.settings import ClassFilterSettings
from counterpoise.generation.settings import Generate
from counterpoise.metrics.intervals import Evaluation
from counterpoise.report.settings import Report
from counterpoise.shallow.settings import Shallow
from counterpoise.splits.balance import Aug
from counterpoise.splits.split import Split

TABLES = {"all", "cheap", "plan"}  # data/split/ and data/balance/ have one file a class beside these


class Params(File):
    """The whole file: an unknown section is an error, too."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[dict[str, str]] = {"judge": "class_filter"}

    data: Data
    classes: Classes
    audio: Audio
    split: Split
    codec: CodecSettings
    diffusion: Diffusion
    generate: Generate
    aug: Aug
    arms: Annotated[list[str], Field(min_length=1)]
    models: Annotated[list[str], Field(min_length=1)]
    features: Features
    classifier: Classifier
    yamnet: Yamnet
    class_filter: ClassFilterSettings
    diffusion_classifier: DiffusionClassifier
    shallow: Shallow
    ensembles: Ensembles
    evaluation: Evaluation
    report: Report
    runtime: Runtime

    @field_validator("arms")
    @classmethod
    def _known_arms(cls, names: list[str]) -> list[str]:
        return _known("arm", names, arm.names())

    @field_validator("models")
    @classmethod
    def _known_models(cls, names: list[str]) -> list[str]:
        return _known("classifier", names, list(NETWORKS))

    @model_validator(mode="after")
    def _nothing_twice(self) -> "Params":
        for where, values in (
            ("arms", self.arms),
            ("models", self.models),
            ("seeds", self.classifier.seeds),
            ("shallow.classifiers", self.shallow.classifiers),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{where} names something twice: {values}")
        return self

    @model_validator(mode="after")
    def _only_known_classes(self) -> "Params":
        for where, keys in (
            ("data.limit", self.data.limit),
            ("data.scarce.classes", self.data.scarce.classes),
            ("aug.per_class", self.aug.per_class),
            ("ensembles.prior", self.ensembles.prior if isinstance(self.ensembles.prior, dict) else {}),
        ):
            for key in keys:
                if key not in self.classes:
                    raise ValueError(f"{where} names the class {key!r}; the classes are {', '.join(self.classes)}")
        return self

    @field_validator("classes")
    @classmethod
    def _no_class_named_as_a_table(cls, classes: Classes) -> Classes:
        if taken := sorted(TABLES & set(classes)):
            raise ValueError(
                f"{', '.join(taken)} cannot be the slug of a class: a table of all classes that lies beside the "
                "classes' own has that name. Choose another slug; `name` may stay"
            )
        return classes

    @model_validator(mode="after")
    def _a_base_that_is_trained(self) -> "Params":
        alone = self.diffusion.mode == "per_class" and self.diffusion.init == "scratch"
        if self.diffusion_classifier.denoisers == "base" and alone:
            raise ValueError(
                "diffusion_classifier.denoisers is base, and diffusion.init scratch: there is no base then. Set the "
                "first to auto or classes, or the second to shared"
            )
        return self

    @model_validator(mode="after")
    def _coefficients_of_bands(self) -> "Params":
        if self.shallow.mfcc > self.features.n_mels:
            raise ValueError(
                f"shallow.mfcc is {self.shallow.mfcc}, and features.n_mels {self.features.n_mels}: of so many bands "
                "there are no more coefficients"
            )
        return self

    @model_validator(mode="after")
    def _systems_of_what_is_trained(self) -> "Params":
        if problems := self.ensembles.problems(arm.names(), list(NETWORKS), list(self.classes)):
            raise ValueError("; ".join(problems))
        return self


def _known(what: str, names: list[str], there: list[str]) -> list[str]:
    for name in names:
        if name not in there:
            raise ValueError(f"no {what} is called {name!r}; there are {', '.join(there)}")
    return names
