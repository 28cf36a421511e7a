"""The section `ensembles` of params.yaml."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from counterpoise.core.settings import Section, Slug

DENOISERS = "denoisers"  # the member that is no network: every class's denoiser, read as a classifier
Weight = PositiveFloat | Annotated[list[PositiveFloat], Field(min_length=1)] | Literal["fitted"]


class Ensembles(Section):
    """Systems: rows of the table of results that put trained models together."""

    # What a class's frequency is taken to be: equal for all, that of the training clips, or as given
    prior: Literal["uniform", "training"] | dict[Slug, PositiveFloat]
    # By name, each member with its weight: an arm of the table's model, `<arm>-<model>`, or `denoisers`. A list takes
    # as many networks of the arm, of this seed and of the next ones. fitted: by validation clips.
    systems: dict[Slug, Annotated[dict[str, Weight], Field(min_length=1)]]

    @model_validator(mode="after")
    def _all_or_none_fitted(self) -> Self:
        for system, members in self.systems.items():
            if 0 < list(members.values()).count("fitted") < len(members):
                raise ValueError(f"systems.{system}: either all weights are `fitted`, or none is")
        return self

    @property
    def use_denoisers(self) -> bool:
        """Whether any system needs the denoisers' losses."""
        return any(DENOISERS in members for members in self.systems.values())

    @property
    def are_fitted(self) -> bool:
        """Whether any weight is fitted by validation clips."""
        return any("fitted" in members.values() for members in self.systems.values())

    def is_cheap(self, system: str, cheap: Mapping[str, bool]) -> bool:
        """Whether a system needs no diffusion model, where it is known of each arm."""
        members = self.systems[system]
        return DENOISERS not in members and all(cheap[member.partition("-")[0]] for member in members)

    def places(self, arms: list[str], models: list[str], seeds: int) -> tuple[list[tuple[str, str]], list[str]]:
        """Which systems stand in which models' tables where these are trained, and a line for each that cannot."""
        found, reasons = [], []
        for model in models:
            for system in self.systems:
                if reason := self._left_out(system, model, arms, models, seeds):
                    reasons.append(f"{system} is left out of the table of {model}: {reason}")
                else:
                    found.append((system, model))
        return found, reasons

    def _left_out(self, system: str, model: str, arms: list[str], models: list[str], seeds: int) -> str | None:
        for member, weight in self.systems[system].items():
            arm, _, named = member.partition("-")
            if member != DENOISERS and (arm not in arms or (named or model) not in models):
                return f"{arm}-{named or model} is not trained"
            if isinstance(weight, list) and len(weight) > seeds:
                return f"it needs {len(weight)} classifier.seeds, and there are {seeds}"
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
                arm, _, model = member.partition("-")
                if member != DENOISERS and (arm not in arms or model not in ("", *models)):
                    found.append(
                        f"ensembles.systems.{system}: {member!r} is no member: `{DENOISERS}`, an arm or <arm>-<model>; "
                        f"arms are {', '.join(arms)}, models {', '.join(models)}"
                    )
                if member == DENOISERS and isinstance(weight, list):
                    found.append(f"ensembles.systems.{system}: `{DENOISERS}` are trained once, and have one weight")
        return found
