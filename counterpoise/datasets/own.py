"""The user's own sounds: every sound file below a folder, labelled by its folder, by a pattern, or by a table."""

import csv
import io
import json
import os
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import regex

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.naming import printable, slug
from counterpoise.datasets.settings import Data

EXTENSIONS = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "aif", "aifc", "caf", "w64", "au")
UNREADABLE = ("m4a", "aac", "wma", "mp4", "webm", "amr", "ape")  # sounds to people: listed, so that intake names them
TABLES = (".csv", ".tsv", ".json")
PATIENCE = 5.0  # s of a processor that all paths together may take to be searched
COLUMNS = {"file": "file", "label": "label", "source": "source", "fold": "fold"}


class OwnError(CounterpoiseError):
    """The folder, the pattern or the table does not say which sounds there are; the message names what was found."""


class Found(NamedTuple):
    """A file and what is known of it, as people wrote it."""

    path: str
    label: str  # "" where there is none; intake rejects such a file
    source: str  # the recording that it was cut from
    fold: int = 0


def listing(data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """List the sound files of the chosen classes; no file is opened but the table.

    With `data.labels: folder` the label is the folder in which a file lies directly: `birds/day 1/a.wav` is of the
    class `day_1`. With `pattern`, the regular expression is searched in the path below `data.path`, written with `/`:
    its group `label` is the label, its group `source` the recording; `^(?P<label>[^/]+)/` takes the first folder. With
    `table`, each row names a file, relative to `data.path` or to the table, with its label and, where the table has
    the columns, its recording and fold. Otherwise each file is its own recording.

    Hidden files and folders are passed over. What DVC would not track is not taken: a link to a folder is listed like a
    file without a label, so that the intake reports it, and a table or a row that leads out of `data.path` is an error.

    Args:
        data: `path`, `labels`, `pattern`, `table`, `columns`.
        classes: slug to display name; other labels are left out.
        raw: where sources that make or fetch audio put it; unused here.

    Returns:
        Columns `tables.FILES`, sorted by path; a label is "" where a file has none.

    Raises:
        OwnError: no folder, no sound, no usable pattern or table, two labels with one slug, or a class without files.
    """
    found = _find(data)
    names = _names(found)
    missing = [name for name in classes if name not in names]
    if missing:
        count = Counter(slug(one.label) for one in found if one.label)
        there = ", ".join(f"{name} ({count[name]} files)" for name in names) or "none"
        raise OwnError(
            f"{data.path} has no sounds of the class {', '.join(missing)}. The classes found there: {there}. Correct "
            "`classes` in params.yaml, or `make use PRESET=own` writes those found; then run `dvc repro`."
        )
    slugs = {label: name for name, label in names.items()} | {"": ""}
    rows = [
        {"path": one.path, "label": slugs[one.label], "source_id": one.source, "fold": one.fold}
        for one in found
        if not one.label or slugs[one.label] in classes
    ]
    return tables.table(rows, tables.FILES)


def find_classes(data: Data) -> dict[str, str]:
    """The classes that the files have: display name by slug, sorted by slug.

    Raises:
        OwnError: as :func:`listing`, or no file has a label.
    """
    found = _find(data)
    names = _names(found)
    if not names:
        raise OwnError(
            f"None of the {len(found)} sound files below {data.path} has a label. Put the sounds of each class into a "
            "folder of their own, or set data.labels to pattern or table in params.yaml."
        )
    return names


def _find(data: Data) -> list[Found]:
    root = Path(data.path)
    if not root.is_dir():
        raise OwnError(f"No folder at data.path {data.path}: set it to the one that holds your sounds.")
    found = _read_table(data, root) if data.labels == "table" else _walk(data, root)
    return sorted(found, key=lambda one: one.path)


def _names(found: list[Found]) -> dict[str, str]:
    names: dict[str, str] = {}
    for label in sorted({one.label for one in found if one.label}):
        other = names.setdefault(slug(label), label)
        if other != label:
            raise OwnError(f"The labels {other!r} and {label!r} would both be the class {slug(label)}: rename one.")
    return dict(sorted(names.items()))


def _written(text: str) -> str:
    """A label as people read it: one form of Unicode, single spaces."""
    return " ".join(printable(text).split())


def _walk(data: Data, root: Path) -> list[Found]:
    pattern = _compile(data.pattern) if data.labels == "pattern" else None
    files, links = files_below(root, follow=False)
    endings = Counter(file.suffix.lower() for file in files)
    sounds = [file for file in files if is_sound(file)]
    if not sounds:
        there = ", ".join(f"{n} {ending or 'without an ending'}" for ending, n in endings.most_common(5)) or "no files"
        behind = f" {len(links)} links to folders are not followed: put the folders themselves there." if links else ""
        raise OwnError(
            f"No sound file below {data.path} (there: {there}). Sounds end in {', '.join(EXTENSIONS)}.{behind}"
        )
    found = []
    names = [unicodedata.normalize("NFC", file.relative_to(root).as_posix()) for file in sounds]
    matches = [None] * len(names) if pattern is None else _searched(pattern, names)
    for file, below, match in zip(sounds, names, matches, strict=True):
        if pattern is None:
            groups = {"label": file.parent.name if file.parent != root else ""}
        else:
            groups = match.groupdict() if match else {}
        source = printable(groups.get("source") or below)
        found.append(Found(file.as_posix(), _written(groups.get("label") or ""), source))
    return found + [Found(link.as_posix(), "", printable(link.as_posix())) for link in links]


def _searched(pattern: regex.Pattern, paths: list[str]) -> list[regex.Match | None]:
    """Search paths, for a limited time: some patterns would take longer than anybody waits."""
    found, begun = [], time.process_time()
    for below in paths:
        try:
            left = PATIENCE - (time.process_time() - begun)
            found.append(pattern.search(below, timeout=max(left, 0.01)))
        except TimeoutError:
            raise OwnError(
                f"data.pattern {pattern.pattern!r} takes longer than {PATIENCE:g} s; it came to {printable(below)!r}. "
                "Repetitions within repetitions, as in (a+)+, do that: write it without them."
            ) from None
    return found


def _compile(pattern: str | None) -> regex.Pattern:
    needed = "It needs a group (?P<label>...) and may have (?P<source>...), as in ^(?P<label>[a-z]+)_(?P<source>[0-9]+)"
    if not pattern:
        raise OwnError(f"data.labels is pattern, so data.pattern must be a regular expression. {needed}.")
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise OwnError(f"data.pattern {pattern!r} is no regular expression: {error}. {needed}.") from None
    if "label" not in compiled.groupindex:
        raise OwnError(f"data.pattern {pattern!r} has no group `label`. {needed}.")
    return compiled


def is_sound(file: Path) -> bool:
    """Whether a file's name ends as those of sounds do, be they sounds that cannot be read."""
    return file.suffix.lower()[1:] in EXTENSIONS + UNREADABLE


def files_below(root: Path, follow: bool = True) -> tuple[list[Path], list[Path]]:
    """The files that are not hidden, and the links that would lead in a circle. Every folder is entered once.

    Args:
        follow: enter folders behind links. Otherwise all such links are returned beside the files: DVC does not see
            what changes behind them.

    Raises:
        OwnError: a folder cannot be listed.
    """
    entered: set[tuple[int, int]] = set()
    files, links, loops = [], [], []
    folders = [root]
    while folders or links:
        if folders:
            folder = folders.pop()
            identity = _identity(folder)
            if identity in entered:  # met again below a link
                continue
        else:  # links wait until all that really lies here is listed
            folder = links.pop(0)
            identity = _identity(folder)
            if identity in entered or root.resolve().is_relative_to(folder.resolve()):
                loops.append(folder)
                continue
        entered.add(identity)
        for entry in _entries(folder):
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif os.path.isdir(path):
                (links if follow else loops).append(path)
            else:
                files.append(path)
    return files, loops


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise OwnError(f"The folder {folder} cannot be listed: {error.strerror}. Mend it or move it away.") from None


def _read_table(data: Data, root: Path) -> list[Found]:
    if not data.table:
        raise OwnError(f"data.labels is table, so data.table must name one ({', '.join(TABLES)}).")
    path = root / data.table
    if path.exists() and not _is_tracked(path, root):
        raise OwnError(
            f"data.table {path} lies outside data.path {root}, so DVC would not see a change in it. Move it into the "
            "folder."
        )
    rows = _rows(path)
    columns = COLUMNS | dict(data.columns)
    there = list(dict.fromkeys(name for row in rows for name in row))
    optional = {key for key in ("source", "fold") if columns[key] == COLUMNS[key]}
    missing = [columns[key] for key in columns if columns[key] not in there and key not in optional]
    if missing:
        raise OwnError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(there)}. "
            "Name those that hold the file and the label in data.columns."
        )
    found: dict[str, Found] = {}
    problems = []
    for number, row in enumerate(rows, start=1):
        cell = {key: row.get(name, "") for key, name in columns.items()}
        if not re.fullmatch(r"(\d{1,9}(\.0*)?)?", cell["fold"].strip(), re.ASCII) or not cell["file"].strip():
            problems.append(f"row {number}: the file is {cell['file']!r} and the fold {cell['fold']!r}")
            continue
        file = _locate(cell["file"], (root, path.parent))
        if not _is_tracked(file, root):
            problems.append(f"row {number}: {file} lies outside {root}, so DVC would not see a change in it")
            continue
        below = file.relative_to(root) if file.is_relative_to(root) else file
        source = printable(cell["source"].strip() or below.as_posix())
        one = Found(file.as_posix(), _written(cell["label"]), source, int(float(cell["fold"].strip() or 0)))
        first = found.setdefault(one.path, one)
        if first != one:
            problems.append(f"row {number}: {file} is {one[1:]}, but an earlier row says {first[1:]}")
    if problems:
        shown = "\n  ".join(printable(problem) for problem in problems[:10])
        outside = "\nMove or copy files into data.path, or set it to a folder that holds all."
        more = outside if any(" lies outside " in problem for problem in problems) else ""
        raise OwnError(f"{path} has {len(problems)} row(s) that cannot be used:\n  {shown}{more}")
    return list(found.values())


def _is_tracked(file: Path, root: Path) -> bool:
    """Whether DVC hashes a file with data.path: it lies below it by name, and no folder on the way is a link."""
    path, top = Path(os.path.abspath(file)), Path(os.path.abspath(root))
    between = [folder for folder in path.parents if folder != top and folder.is_relative_to(top)]
    return path.is_relative_to(top) and not any(folder.is_symlink() for folder in between)


def _rows(path: Path) -> list[dict[str, str]]:
    """A table's rows, every cell as text."""
    if path.suffix.lower() not in TABLES:
        raise OwnError(f"data.table {path} is no table that can be read: {', '.join(TABLES)} can.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _objects(text) if path.suffix.lower() == ".json" else _lines(text)
    except OSError as error:
        raise OwnError(f"data.table {path} cannot be read: {error.strerror}.") from None
    except RecursionError:
        raise OwnError(
            f"data.table {path} cannot be read: it is nested too deeply. It must be a list of objects."
        ) from None
    except (ValueError, csv.Error) as error:  # no UTF-8, no JSON, or a row that does not fit
        raise OwnError(f"data.table {path} cannot be read: {error}. Save it as UTF-8 text.") from None
    if not rows:
        raise OwnError(f"data.table {path} has no rows.")
    return rows


def _objects(text: str) -> list[dict[str, str]]:
    rows = json.loads(text)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it must be a list of objects")
    return [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]


def _lines(text: str) -> list[dict[str, str]]:
    header = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count)))
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not as many cells as the header (quote a cell that holds a comma)")
    return rows


def _locate(file: str, folders: tuple[Path, ...]) -> Path:
    """The file that a table means, in whichever of Unicode's forms its name is stored."""
    for folder in folders:
        for form in (file, unicodedata.normalize("NFC", file), unicodedata.normalize("NFD", file)):
            if os.path.exists(folder / form):
                return folder / form
    return folders[0] / file
