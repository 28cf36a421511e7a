"""The user's own sounds: every sound file below a folder, labelled by its folder, by a pattern, or by a table."""

import re
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import regex

from counterpoise.core import tables
from counterpoise.core.naming import printable, slug
from counterpoise.datasets import grouping, label_table, presplit, tree
from counterpoise.datasets.listing import Listing, OwnError, Remark
from counterpoise.datasets.settings import Data

SPELLED = {
    "#": " sharp ",
    "♯": " sharp ",
    "♭": " flat ",
    "+": " plus ",
}  # in slugs of labels that differ by these alone
NAMED = 3  # files that a message names
PATIENCE = 5.0  # s of a processor that all paths together may take to be searched


class Found(NamedTuple):
    """A file, or a stretch of it, and what is known of it, as people wrote it."""

    path: str
    label: str  # "" where there is none; intake rejects such a file
    source: str  # the recording that it was cut from
    fold: int = tables.NO_FOLD
    begin: float | None = None  # s
    end: float | None = None


@dataclass(frozen=True)
class Collection:
    """What lies below `data.path`.

    Attributes:
        found: sorted by path and time.
        names: display name of each class by slug, sorted by slug.
        slugs: the slug of each label.
        alone: for each of `found`, whether it counts as its own recording because nothing says which one it is of.
    """

    found: list[Found]
    names: dict[str, str]
    slugs: dict[str, str]
    alone: list[bool]
    passed_over: pd.DataFrame
    noted: pd.DataFrame
    remarks: tuple[Remark, ...]

    @property
    def folds(self) -> set[int]:
        """Those that files bring; :data:`tables.NO_FOLD` where some bring none."""
        return {one.fold for one in self.found if one.label}


def listed(data: Data, classes: Mapping[str, str], raw: Path) -> Listing:
    """List the sound files of the chosen classes. Tables are read; of other files at most the first bytes are.

    With `data.labels: folder` the label is a folder in which a file lies, by `data.label_level` the last one:
    `birds/day 1/a.wav` is of the class `day_1`. With `pattern`, the regular expression is searched in the path below
    `data.path`, written with `/`: its group `label` is the label, its group `source` the recording;
    `^(?P<label>[^/]+)/` takes the first folder. With `table`, each row names a file, relative to `data.path` or to the
    table, with its label and, where the table has the columns, its recording, its fold, and the stretch of it that is
    meant. `data.source_pattern` says the recording otherwise. Else each file is its own recording.

    Folders called train, val and test are a split, see :mod:`counterpoise.datasets.presplit`.

    Hidden files and folders are passed over. Links to folders are followed, each folder once; a link to a folder that
    is already listed, or that holds `data.path` itself, is listed like a file without a label, so that the intake
    reports it.

    Args:
        data: `path`, `labels`, `label_level`, `split_folders`, `pattern`, `source_pattern`, `table`, `columns`.
        classes: slug to display name; other labels are left out.
        raw: where sources that make or fetch audio put it; unused here.

    Returns:
        The files sorted by path; a label is "" where a file has none. And all that is passed over.

    Raises:
        OwnError: no folder, no sound, no usable pattern or table, two labels with one slug, or a class without files.
    """
    own = look(data)
    if missing := [name for name in classes if name not in own.names]:
        count = Counter(own.slugs[one.label] for one in own.found if one.label)
        there = ", ".join(f"{name} ({count[name]} files)" for name in own.names) or "none"
        raise OwnError(
            f"{data.path} has no sounds of the class {', '.join(missing)}. The classes found there: {there}. Correct "
            "`classes` in params.yaml, or `make use PRESET=own` writes those found; then run `dvc repro`."
        )
    slugs = own.slugs | {"": ""}
    rows = [
        {"path": one.path, "label": slugs[one.label], "source_id": one.source, "fold": one.fold}
        | {"begin": one.begin, "end": one.end}
        for one in own.found
        if not one.label or slugs[one.label] in classes
    ]
    others = {slug: name for slug, name in own.names.items() if slug not in classes}
    return Listing(
        tables.table(rows, tables.FILES),
        pd.concat([own.passed_over, _left_out(data, own, others)], ignore_index=True),
        own.noted[own.noted.path.isin({printable(str(row["path"])) for row in rows})].reset_index(drop=True),
        own.remarks,
        tuple(others.values()),
    )


def listing(data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """The files alone, columns `tables.FILES`; see :func:`listed`."""
    return listed(data, classes, raw).files


def find_classes(data: Data) -> dict[str, str]:
    """The classes that the files have: display name by slug, sorted by slug.

    Raises:
        OwnError: as :func:`listed`, or no file has a label.
    """
    return labelled(data).names


def labelled(data: Data) -> Collection:
    """What lies below `data.path`, with at least one class.

    Raises:
        OwnError: as :func:`listed`, or no file has a label.
    """
    own = look(data)
    if not own.names:
        raise OwnError(
            f"None of the {len(own.found)} sound files below {data.path} has a label. Put the sounds of each class "
            "into a folder of their own, or set data.labels to pattern or table in params.yaml."
        )
    return own


def look(data: Data) -> Collection:
    """All that lies below `data.path`, whatever the classes in params.yaml.

    Raises:
        OwnError: as :func:`listed`.
    """
    root = Path(data.path)
    if not root.is_dir():
        raise OwnError(f"No folder at data.path {data.path}: set it to the one that holds your sounds.")
    there = tree.walk(root, follow=False)
    found, rejected, noted, remarks = (_by_table if data.labels == "table" else _by_place)(data, root, there)
    found.sort(key=lambda one: (one.path, one.begin or 0.0, one.end or 0.0))
    slugs = _slugs({one.label for one in found if one.label})
    names = dict(sorted((name, label) for label, name in slugs.items()))
    alone = [one.begin is None and one.source == _below(one.path, root) for one in found]
    remarks = [*remarks, *_groups(data, root, found, alone)]
    rejected = tables.table(rejected, tables.REJECTED)
    return Collection(found, names, slugs, alone, rejected, tables.table(noted, tables.MENDED), tuple(remarks))


def _below(path: str, root: Path) -> str:
    file = Path(path)
    below = file.relative_to(root) if file.is_relative_to(root) else file
    return printable(unicodedata.normalize("NFC", below.as_posix()))


def _slugs(labels: set[str]) -> dict[str, str]:
    """The slug of each label. Labels that differ by signs alone, as C and C#, or 1 and -1, get these written out."""
    of_slug = defaultdict(list)
    for label in sorted(labels):
        of_slug[slug(label)].append(label)
    slugs: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name, own in of_slug.items():
        for label in own:
            one = name if len(own) == 1 else slug(_spelled(label))
            if other := taken.get(one):
                raise OwnError(f"The labels {other!r} and {label!r} would both be the class {one}: rename one.")
            taken[one], slugs[label] = label, one
    return slugs


def _spelled(label: str) -> str:
    text = re.sub(r"^[-−](?=\s*[\w.])", "minus ", label)
    return "".join(SPELLED.get(character, character) for character in text)


def _written(text: str) -> str:
    """A label as people read it: one form of Unicode, single spaces."""
    return " ".join(printable(text).split())


def _left_out(data: Data, own: Collection, others: Mapping[str, str]) -> pd.DataFrame:
    """A row for each class that params.yaml does not name."""
    rows = []
    for name, label in others.items():
        paths = [one.path for one in own.found if own.slugs.get(one.label) == name]
        reason = f"class left out: `classes` does not name it; {len(paths):,} file(s) or events of {label!r}"
        rows.append({"path": printable(paths[0]), "label": name, "kind": tables.LEFT_OUT, "reason": reason})
    return tables.table(rows, tables.REJECTED)


# By folder and pattern


def _by_place(data: Data, root: Path, there: tree.Tree) -> tuple[list[Found], list[dict], list[dict], list[Remark]]:
    pattern = _compile(data.pattern, "label") if data.labels == "pattern" else None
    source_pattern = _compile(data.source_pattern, "source") if data.source_pattern else None
    sounds = [file for file in there.files if tree.is_sound(file)]
    if not sounds:
        endings = Counter(file.suffix.lower() for file in there.files)
        what = ", ".join(f"{n} {ending or 'without an ending'}" for ending, n in endings.most_common(5)) or "no files"
        known, links = ", ".join(tree.EXTENSIONS[:11]), len(there.loops)
        behind = f" {links} links to folders are not followed: put the folders themselves there." if links else ""
        raise OwnError(f"No sound file below {data.path} (there: {what}). Sounds end in {known} and the like.{behind}")
    folders = [file.relative_to(root).parts[:-1] for file in sounds]
    split = presplit.level(folders) if data.split_folders else None
    remarks = _of_split(data, root, sounds, folders, split)
    found = []
    for file, above in zip(sounds, folders, strict=True):
        below = unicodedata.normalize("NFC", file.relative_to(root).as_posix())
        fold = tables.NO_FOLD
        if split and len(above) > split[0]:
            fold = split[1][above[split[0]]]
            above = above[: split[0]] + above[split[0] + 1 :]
        groups: dict[str, str | None] = {"label": _at_level(above, data.label_level)}
        if pattern is not None:
            match = pattern(below)
            groups = match.groupdict() if match else {}
        source = groups.get("source")
        if source_pattern is not None:
            match = source_pattern(below)
            source = match["source"] if match else None
        found.append(Found(file.as_posix(), _written(groups.get("label") or ""), printable(source or below), fold))
    if data.labels == "folder":
        remarks += _of_levels(data, root, sounds, folders, split)
    found += [Found(link.as_posix(), "", printable(link.as_posix())) for link in there.loops]
    is_listed = set(sounds)
    beside = tree.passed_over(root, (file for file in there.files if file not in is_listed), there.hidden)
    return found, beside.to_dict("records"), [], remarks


def _at_level(folders: tuple[str, ...], level: int) -> str:
    at = level - 1 if level > 0 else len(folders) + level
    return folders[at] if 0 <= at < len(folders) else ""


class Search:
    """Searches paths for a pattern, for a limited time: some patterns would take longer than anybody waits."""

    def __init__(self, pattern: regex.Pattern, key: str) -> None:
        self._pattern, self._key, self._left = pattern, key, PATIENCE

    def __call__(self, path: str) -> regex.Match | None:
        begun = time.process_time()
        try:
            return self._pattern.search(path, timeout=max(self._left, 0.01))
        except TimeoutError:
            raise OwnError(
                f"{self._key} {self._pattern.pattern!r} takes longer than {PATIENCE:g} s; it came to "
                f"{printable(path)!r}. Repetitions within repetitions, as in (a+)+, do that: write it without them."
            ) from None
        finally:
            self._left -= time.process_time() - begun


def _compile(pattern: str | None, group: str) -> Search:
    needed = "It needs a group (?P<label>...) and may have (?P<source>...), as in ^(?P<label>[a-z]+)_(?P<source>[0-9]+)"
    key = "data.pattern"
    if group == "source":
        needed, key = "It needs a group (?P<source>...), as in ^(?P<source>[^/]+)/", "data.source_pattern"
    if not pattern:
        raise OwnError(f"data.labels is pattern, so data.pattern must be a regular expression. {needed}.")
    try:
        compiled = regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError) as error:
        raise OwnError(f"{key} {pattern!r} is no regular expression: {error}. {needed}.") from None
    if group not in compiled.groupindex:
        raise OwnError(f"{key} {pattern!r} has no group `{group}`. {needed}.")
    return Search(compiled, key)


def _of_split(
    data: Data, root: Path, sounds: list[Path], folders: list[tuple], split: tuple[int, dict[str, int]] | None
) -> list[Remark]:
    """What is said of folders that are a split.

    Raises:
        OwnError: sounds lie outside of them, or all lie in them without a folder that would be their class.
    """
    if split is None:
        return []
    level, fold_of = split
    parts = ", ".join(printable(name) for name in sorted(fold_of, key=lambda name: (fold_of[name], name)))
    outside = [file for file, above in zip(sounds, folders) if len(above) <= level and above]
    if outside:
        named = ", ".join(printable(file.relative_to(root).as_posix()) for file in outside[:NAMED])
        raise OwnError(
            f"The folders {parts} are a split, and {len(outside)} sound(s) lie in none of them, e.g. {named}. Move "
            "these into one of them, or set data.split_folders to false if these folders are classes."
        )
    if data.labels == "folder" and max(map(len, folders)) == 1:
        raise OwnError(
            f"The folders {parts} are a split, and the sounds lie in them without a folder for each class. Say by "
            "data.labels pattern or table what the label is, or set data.split_folders to false if these are classes."
        )
    settings = presplit.settings(fold_of.values())
    said = ", ".join(f"{name} is fold {fold}" for name, fold in sorted(fold_of.items(), key=lambda item: item[1]))
    return [
        Remark(
            "split_folders",
            f"The folders {parts} are a split, and no classes: {printable(said)}.",
            "Nobody else is held out, and data.folds is not used.",
            "`counterpoise use own` sets `split` so; set data.split_folders to false if these are classes.",
            settings=settings,
        )
    ]


def _of_levels(
    data: Data, root: Path, sounds: list[Path], folders: list[tuple], split: tuple[int, dict[str, int]] | None
) -> list[Remark]:
    """A word on the first folders where the last ones do not seem to be the classes."""
    if split:
        folders = [above[: split[0]] + above[split[0] + 1 :] for above in folders]
    deep = [above for above in folders if len(above) > 1]
    if data.label_level != -1 or len(deep) <= len(folders) / 2:
        return []
    first, last = {above[0] for above in deep}, {above[-1] for above in deep}
    pairs = {(above[0], above[-1]) for above in deep}
    shared = len(pairs) > len(last)  # a last folder lies in several of the first: the years in dog/2021, cat/2021
    if len(first) < 2 or not (shared or len(last) > 2 * len(first)):
        return []
    names = ", ".join(printable(name) for name in sorted(first)[:8]) + (", …" if len(first) > 8 else "")
    return [
        Remark(
            "label_level",
            f"Labels are the last folders, of which there are {len(last)}; the first ones are {len(first)}: {names}.",
            "A folder name that lies in several others becomes one class."
            if shared
            else "Each of the last becomes a class of its own.",
            "If the first folders are the classes, set data.label_level to 1, and use the preset `own` again.",
            settings={"data.label_level": 1},
        )
    ]


# By table


def _by_table(data: Data, root: Path, there: tree.Tree) -> tuple[list[Found], list[dict], list[dict], list[Remark]]:
    source_pattern = _compile(data.source_pattern, "source") if data.source_pattern else None
    read = label_table.read(data, root, there)
    found = []
    for row in read.rows:
        below = _below(row.file.as_posix(), root)
        source = row.source
        if source_pattern is not None:
            match = source_pattern(below)
            source = printable(match["source"]) if match else ""
        fold = tables.NO_FOLD if row.fold is None else row.fold
        found.append(Found(row.file.as_posix(), row.label, source or below, fold, row.begin, row.end))
    named = {row.file for row in read.rows} | set(read.tables)
    others = [file for file in there.files if file not in named]
    sounds = {file for file in others if tree.is_sound(file)}
    rejected = [
        {"path": printable(file.as_posix()), "label": "", "kind": tables.LEFT_OUT}
        | {"reason": "not in the table: no row of data.table names it"}
        for file in sorted(sounds)
    ]
    beside = tree.passed_over(root, (file for file in others if file not in sounds), there.hidden)
    noted = [{"path": printable(file.as_posix()), "kind": "events overlap", "note": note} for file, note in read.notes]
    return found, [*rejected, *beside.to_dict("records")], noted, read.remarks


# Recordings


def _groups(data: Data, root: Path, found: list[Found], alone: list[bool]) -> list[Remark]:
    """A pattern of names that share something, where files count as their own recordings."""
    files = [one for one, is_alone in zip(found, alone, strict=True) if is_alone and one.label]
    if data.source_pattern or len(files) < len(found) / 2:
        return []
    paths = [_below(one.path, root) for one in files]
    proposals = grouping.propose(paths, [one.label for one in files])
    if data.labels == "folder":  # the folder is no recording where it is the class
        proposals = [one for one in proposals if not one.pattern.startswith("^") or data.label_level != -1]
    if not proposals:
        return []
    best, *others = proposals
    name, many = best.example
    return [
        Remark(
            "groups",
            f"Names of files begin alike: by data.source_pattern {best.pattern} there are {best.recordings:,} "
            f"recordings instead of {len(files):,}.",
            "If such files are of one recording, one device or one animal, they may train and be tested at once now, "
            "and scores come out too high.",
            "If so, set it in params.yaml.",
            (
                f"{printable(name)}: {many} files",
                *(f"or {one.pattern}: {one.recordings:,} recordings" for one in others),
            ),
            {"data.source_pattern": best.pattern},
        )
    ]
