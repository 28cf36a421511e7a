"""Published collections cut from Freesound: a table gives each file's class, its recording, and its official fold."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from counterpoise.core import CounterpoiseError, tables
from counterpoise.datasets import tree
from counterpoise.datasets.fetch import Archive, fetch
from counterpoise.datasets.settings import Data


class PublishedError(CounterpoiseError):
    """A collection is not there, or is not what it should be; the message says what was looked for."""


@dataclass(frozen=True)
class Published:
    """How a collection is laid out, and where it comes from."""

    archive: Archive
    inner: tuple[str, ...]  # names that the collection's folder has had inside its archives
    table: str  # the metadata, from the collection's folder
    audio: str  # where a file lies, from the collection's folder; a format string of {file} and {fold}
    file: str  # the table's columns: file name,
    label: str  # class,
    source: str  # Freesound id of the recording,
    fold: str  # and fold
    folds: int  # numbered from 1
    check: Callable[[Path], None] | None = None  # of a freshly unpacked archive that has no stable checksum


def listing(collection: Published, data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """The files of the classes asked for, in the table's order; no audio is touched, so a file may be missing.

    Args:
        data: `path` is the collection's folder or one above it, unless `download` is set. Others repack collections
            in other folders; the table and the files are then found by their names.
        classes: slug → display name; the collection's own class names are the slugs. Others are left out.
        raw: where a downloaded collection is unpacked.

    Returns:
        Columns `tables.FILES`; `source_id` is "fs" and the recording's Freesound id, `fold` the official one.

    Raises:
        PublishedError: no collection at the path, a table that is not the collection's, or a class that it lacks.
        fetch.FetchError: the collection could not be downloaded.
    """
    start = fetch(collection.archive, raw, collection.check) if data.download else Path(data.path)
    path = find_table(collection, start)
    table = _read_table(collection, path)
    there = sorted(table[collection.label].unique())
    unknown = [slug for slug in classes if slug not in there]
    if unknown:
        name = collection.archive.name
        raise PublishedError(f"{name} has no class {', '.join(unknown)}; its classes are {', '.join(there)}")
    table = table[table[collection.label].isin(list(classes))]
    place = _places(collection, path, start, table)
    return tables.table(
        [
            {
                "path": place(file, fold).as_posix(),
                "label": label,
                "source_id": f"fs{source}",
                "fold": int(fold),
            }
            for file, label, source, fold in zip(*(table[column] for column in _columns(collection)))
        ],
        tables.FILES,
    )


def find(collection: Published, start: Path) -> Path:
    """The collection's folder at or just below a place; raises PublishedError where it is not there."""
    roots = [start, *(start / name for name in collection.inner)]
    for root in roots:
        if (root / collection.table).is_file():
            return root
    looked = ", ".join(str(root / collection.table) for root in roots)
    raise PublishedError(f"No {collection.archive.name} at {start}: none of {looked} is there. {_get_it(collection)}")


def find_table(collection: Published, start: Path) -> Path:
    """The collection's table: where it was published, or elsewhere below the place, as others repack it.

    Raises:
        PublishedError: there is none, or there are several.
    """
    try:
        return find(collection, start) / collection.table
    except PublishedError:
        name = Path(collection.table).name.casefold()
        if not start.is_dir():
            raise
        there = [file for file in tree.walk(start).files if file.name.casefold() == name]
        if not there:
            raise
        if len(there) > 1:
            named = ", ".join(map(str, there))
            raise PublishedError(f"{start} holds {len(there)} tables of {collection.archive.name}: {named}.") from None
        return there[0]


def _places(collection: Published, path: Path, start: Path, table: pd.DataFrame) -> Callable[[str, str], Path]:
    """Where each file lies: as published, beside the table in the same folders without `audio`, or wherever it is.

    Of several files of one name, as of other rates, that one is taken which lies in the fewest folders.
    """
    published = path.parent.parent if path.as_posix().endswith(f"/{collection.table}") else path.parent
    first = dict(zip(table[collection.file], table[collection.fold]))
    if all((published / collection.audio.format(file=file, fold=fold)).exists() for file, fold in [*first.items()][:1]):
        return lambda file, fold: published / collection.audio.format(file=file, fold=fold)
    named: dict[str, list[Path]] = {}
    for file in tree.walk(start).files:
        named.setdefault(file.name, []).append(file)
    for files in named.values():
        files.sort(key=lambda file: (len(file.parts), file))
    return lambda file, fold: named.get(file, [published / collection.audio.format(file=file, fold=fold)])[0]


def _get_it(collection: Published) -> str:
    archive = collection.archive
    return (
        f"Set data.download to true to fetch it ({archive.licence}), or get it from {archive.homepage}, unpack it, and "
        "set data.path to its folder."
    )


def _columns(collection: Published) -> tuple[str, str, str, str]:
    return collection.file, collection.label, collection.source, collection.fold


def _read_table(collection: Published, path: Path) -> pd.DataFrame:
    columns = _columns(collection)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(columns, "str"), keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise PublishedError(f"{path} is not a readable table ({error}). {_get_it(collection)}") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise PublishedError(f"{path} lacks the column(s) {', '.join(missing)}; it needs {', '.join(columns)}")
    folds = [str(fold) for fold in range(1, collection.folds + 1)]
    for wrong, problem in (
        (~table[collection.fold].isin(folds), f"have a fold that is not 1..{collection.folds}"),
        (~table[collection.source].str.fullmatch(r"[0-9]+"), f"have no Freesound id in {collection.source}"),
        (table[collection.file].duplicated(), "repeat a file that an earlier row has"),
    ):
        _no_rows(collection, path, table[wrong], problem)
    return table


def _no_rows(collection: Published, path: Path, rows: pd.DataFrame, problem: str) -> None:
    if len(rows):
        named: Iterable = zip(rows[collection.file], rows[collection.source], rows[collection.fold])
        first = ", ".join(f"{file} (source {source}, fold {fold})" for file, source, fold in list(named)[:5])
        raise PublishedError(f"{path}: {len(rows)} row(s) {problem}: {first}. {_get_it(collection)}")
