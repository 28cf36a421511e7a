"""The section `ensembles` of params.yaml."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from counterpoise.core.settings import Section, Slug
from counterpoise.shallow.settings import NAMES as SHALLOW

DENOISERS = "denoisers"  # every class's denoiser, read as a classifier
FEATURES = "features"  # a linear classifier on the shared base's inner activations
DIFFUSION = (DENOISERS, FEATURES)  # members that read a diffusion model
READINGS = (*DIFFUSION, *SHALLOW)  # members that are no networks of an arm; each is the same for every seed
Weight = PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | Literal["fitted"]


class Ensembles(Section):
    """Systems: rows of the table of results that put trained models together."""

    # What a class's frequency is taken to be: equal for all, that of the training clips, or as given
    prior: Literal["uniform", "training"] | dict[Slug, PositiveFloat]
    # By name, each member with its weight: an arm of the table's model, `<arm>-<model>`, or a reading. A list takes
    # as many networks of the arm, of this seed and of the next ones. fitted: by validation clips.
    systems: dict[Slug, Annotated[dict[str, Weight], Field(min_length=1)]]

    @model_validator(mode="after")
    def _all_or_none_fitted(self) -> Self:
        for system, members in self.systems.items():
            if 0 < list(members.values()).count("fitted") < len(members):
                raise ValueError(f"systems.{system}: either all weights are `fitted`, or none is")
        return self

    def is_cheap(self, system: str, cheap: Mapping[str, bool]) -> bool:
        """Whether a system needs no diffusion model, where it is known of each arm."""
        return all(
            member not in DIFFUSION and (member in SHALLOW or cheap[member.partition("-")[0]])
            for member in self.systems[system]
        )

    def places(
        self, arms: list[str], models: list[str], seeds: int, val_clips: int, absent: Mapping[str, str]
    ) -> tuple[list[tuple[str, str]], list[str]]:
        """Which systems stand in which models' tables where these are trained, and a line for each that cannot.

        Args:
            seeds: how many of every network.
            val_clips: how many validation clips weights can be fitted to.
            absent: readings that are not there, each with the reason.
        """
        found, reasons = [], []
        for model in models:
            for system in self.systems:
                if reason := self._left_out(system, model, arms, models, seeds, val_clips, absent):
                    reasons.append(f"{system} is left out of the table of {model}: {reason}")
                else:
                    found.append((system, model))
        return found, reasons

    def _left_out(
        self,
        system: str,
        model: str,
        arms: list[str],
        models: list[str],
        seeds: int,
        val_clips: int,
        absent: Mapping[str, str],
    ) -> str | None:
        for member, weight in self.systems[system].items():
            arm, _, named = member.partition("-")
            if member in absent:
                return absent[member]
            if member not in READINGS and (arm not in arms or (named or model) not in models):
                return f"{arm}-{named or model} is not trained"
            if isinstance(weight, list) and len(weight) > seeds:
                return f"it needs {len(weight)} classifier.seeds, and there are {seeds}"
            if weight == "fitted" and not val_clips:
                return "its weights are fitted, and there are no validation clips (split.val_fold, split.val_fraction)"
        return None

    def problems(self, arms: list[str], models: list[str], classes: list[str]) -> list[str]:
        """Names that mean nothing, a line each; `arms` and `models` are all that there are."""
        found = []
        if isinstance(self.prior, dict) and (missing := [label for label in classes if label not in self.prior]):
            found.append(f"ensembles.prior: give {', '.join(missing)} a share, too")
        for system, members in self.systems.items():
            if system in arms:
                found.append(f"ensembles.systems.{system}: an arm has this name; choose another")
            for member, weight in members.items():
                arm, dash, model = member.partition("-")
                if member not in READINGS and (arm not in arms or (dash and model not in models)):
                    found.append(
                        f"ensembles.systems.{system}: {member!r} is no member: {', '.join(READINGS)}, an arm or "
                        f"<arm>-<model>; arms are {', '.join(arms)}, models {', '.join(models)}"
                    )
                if member in READINGS and isinstance(weight, list):
                    found.append(
                        f"ensembles.systems.{system}: `{member}` is the same for every seed: give it one weight"
                    )
        return found
