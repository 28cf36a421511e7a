"""What a model has seen: every model's folder holds `seen.json`, which the leak audit reads."""

import json
from collections.abc import Iterable
from pathlib import Path

from counterpoise.core import CounterpoiseError

FILE = "seen.json"


class SeenError(CounterpoiseError):
    """A model that does not say what it learned from."""


def write(folder: Path, clip_ids: Iterable[str], **about: str | list[str]) -> None:
    """Write the ids of all clips that any of a model's weights learned from, each once, behind what else is said."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {**about, "clip_ids": list(dict.fromkeys(clip_ids))}
    (folder / FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> dict:
    """All that :func:`write` wrote.

    Raises:
        SeenError: the file is missing or damaged.
    """
    try:
        return json.loads((folder / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SeenError(f"{folder / FILE} is missing: run `dvc repro`, or `dvc pull` if a remote holds it") from None
    except ValueError as error:
        raise SeenError(f"{folder / FILE} is damaged ({error}): delete {folder}, then run `dvc repro`") from None
