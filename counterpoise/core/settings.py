"""The typed base of params.yaml: every room describes its own sections, and every value comes from the file.

A section has no defaults in the code. A stage names the sections that it reads in a :class:`File` of its own.
"""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent

from counterpoise.core import CounterpoiseError
from counterpoise.core.naming import UNLABELLED

DEEPEST = 10  # levels of params.yaml; its own deepest values are on the fourth
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]+$")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class SettingsError(CounterpoiseError):
    """params.yaml holds a value that counterpoise cannot use; the message names it."""


class Section(BaseModel):
    """One section of params.yaml: unknown keys are errors, values never change after parsing.

    Attributes:
        renamed: old keys of this section, each with the dotted name that it has now.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[dict[str, str]] = {}


class ClassInfo(Section):
    """A class of sounds: its slug is the key in params.yaml; `name` is what people read."""

    name: str = Field(min_length=1)


def _of_labels(classes: dict[str, ClassInfo]) -> dict[str, ClassInfo]:
    if UNLABELLED in classes:
        raise ValueError(
            f"{UNLABELLED!r} is what sounds without a label are called. Give the class another name, or move its "
            "sounds to the folder data.unlabelled"
        )
    return classes


Classes = Annotated[dict[Slug, ClassInfo], Field(min_length=2), AfterValidator(_of_labels)]


class File(Section):
    """Some sections of params.yaml: what one stage reads of it. Sections that it does not name are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls, path: str | Path = "params.yaml") -> Self:
        """Read and check these sections.

        Raises:
            SettingsError: the file is missing, is no YAML, or holds an unknown key or a value out of range;
                the message has one line for each mistake, with the key, the value, and what is allowed.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
            _check_plain(text, path)
            return cls.model_validate(YAML(typ="safe").load(text))
        except FileNotFoundError:
            raise SettingsError(
                f"{path} is missing: run from the repository's root, or `git checkout {path}`"
            ) from None
        except (YAMLError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path} is not valid YAML: {error}") from None
        except ValidationError as error:
            raise SettingsError(_explain(cls, path, error)) from None


def _check_plain(text: str, path: str | Path) -> None:
    """Refuse what would grow without bounds when it is read: aliases of aliases, and depth."""
    depth = 0
    for event in YAML(typ="safe").parse(text):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if isinstance(event, AliasEvent) or depth > DEEPEST:
            what = "an alias (`*name`)" if isinstance(event, AliasEvent) else f"values more than {DEEPEST} levels deep"
            raise SettingsError(
                f"{path} line {event.start_mark.line + 1}: {what}. Parameters are plain values: write each where it "
                "belongs."
            )


def _explain(file: type[File], path: str | Path, error: ValidationError) -> str:
    lines = [f"{path} has {error.error_count()} value(s) that cannot be used:"]
    for item in error.errors():
        parts = [str(part) for part in item["loc"] if part != "[key]"]
        given = "" if isinstance(item["input"], dict | BaseModel) else f" (given: {item['input']!r})"
        match item["type"]:
            case "extra_forbidden":
                now = _now_called(file, parts)
                message = f"is now called {now}" if now else "unknown key"
            case "missing":
                message, given = "is missing; `git show HEAD:params.yaml` has its usual value", ""
            case _:
                message = item["msg"].removeprefix("Value error, ")
        lines.append(f"  {'.'.join(parts) or '(whole file)'}: {message}{given}")
    lines.append("Mend the line and run `dvc repro` again; finished stages are kept.")
    return "\n".join(lines)


def _now_called(file: type[File], parts: list[str]) -> str | None:
    """The present name of a key that was renamed, or None where it never was one."""
    section: Any = file
    for part in parts[:-1]:
        field = section.model_fields.get(part)
        section = field.annotation if field else None
        if not (isinstance(section, type) and issubclass(section, Section)):
            return None
    return section.renamed.get(parts[-1])
