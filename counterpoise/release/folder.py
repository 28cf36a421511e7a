"""The folder that is given away: a classifier as `networks.io` keeps it, and `release.json` with what belongs to it."""

import shutil
from pathlib import Path

from pydantic import ValidationError

from counterpoise.core import CounterpoiseError
from counterpoise.core.settings import Section

FILE = "release.json"
MODEL = ("config.json", "model.safetensors")  # of `networks.io`


class ReleaseError(CounterpoiseError):
    """A `release.json` that cannot be used; the message says why."""


class About(Section):
    """What belongs to a classifier beside its weights and its form of audio, which stand in `config.json`."""

    arm: str
    model: str
    seed: int
    dataset: str  # `data.dataset`
    labels: dict[str, str]  # display name by slug, in the order of the network's outputs
    prior: dict[str, float]  # by slug: the class frequencies that training lets the network expect; they add up to 1
    threshold: float | None  # confidence below which a sound may be none of the classes; None: not known


def write(folder: Path, classifier: Path, about: About, card: str) -> None:
    """Write a release; the same arguments give the same bytes.

    Args:
        folder: made where it is missing.
        classifier: the folder of a trained one, from `networks.io.save`.
        card: the text of `README.md`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in MODEL:
        shutil.copyfile(classifier / name, folder / name)
    (folder / FILE).write_text(about.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "README.md").write_text(card, encoding="utf-8")


def read(folder: Path) -> About | None:
    """What :func:`write` wrote of a classifier; None where the folder has no `release.json`.

    Raises:
        ReleaseError: the file is damaged, or of another version.
    """
    try:
        return About.model_validate_json((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise ReleaseError(f"{folder / FILE} cannot be read ({error}): run `dvc repro release`") from None
