"""Tables that say of files, or of stretches of files, which class they are: CSV, JSON, Audacity's labels, Raven's."""

import csv
import io
import json
import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePath
from typing import NamedTuple

from counterpoise.core.naming import printable, slug
from counterpoise.datasets import presplit, tree
from counterpoise.datasets.listing import OwnError, Remark
from counterpoise.datasets.settings import Data

TABLES = (".csv", ".tsv", ".json", ".jsonl", ".txt")
COLUMNS = {"file": "file", "label": "label", "source": "source", "fold": "fold", "begin": "begin", "end": "end"}
NEEDED = ("file", "label")
MISSING = {"", "nan", "null", "n/a", "<na>", "#n/a"}  # what programs write where there is no label; "NA" as well
LIKE_TIMES = re.compile(r"(?i)^(begin|start|end|stop|onset|offset)([ _-]?(time|s|sec|seconds))?( ?\(s\))?$")
PROVIDER = 0.5  # a value of the column `source` that more of the rows have is a provider's name, and no recording
NAMED = 5  # rows or files that a message names
SOUND_ENDING = re.compile(r"(?i)\.(" + "|".join((*tree.EXTENSIONS, *tree.FOREIGN)) + r")$")
# Raven's selection tables: where a selection lies in its own file, and which columns may hold the label
RAVEN = "Begin Time (s)"
RAVEN_END, RAVEN_OFFSET = "End Time (s)", "File Offset (s)"
RAVEN_FILES = ("Begin Path", "Begin File")
RAVEN_LABELS = ("Annotation", "Species", "Label", "Class", "label", "Type", "Call type", "Species Code", "Common Name")


class Row(NamedTuple):
    """What a table says of a file, or of a stretch of it, as people wrote it."""

    file: Path
    label: str  # "" where there is none
    source: str  # "" where there is none
    fold: int | None
    begin: float | None  # s
    end: float | None


class Read(NamedTuple):
    """A table's rows, and what was taken to be so."""

    rows: list[Row]
    tables: list[Path]
    notes: list[tuple[Path, str]]  # of files: whose events overlap
    remarks: list[Remark]


def read(data: Data, root: Path, there: tree.Tree) -> Read:
    """Read `data.table`, be it one file or, with `*`, many.

    Raises:
        OwnError: no table, one that cannot be read, or rows that cannot be used.
    """
    if not data.table:
        raise OwnError(f"data.labels is table, so data.table must name one ({', '.join(TABLES)}).")
    several = "*" in data.table and not (root / data.table).exists()
    paths = sorted(root.glob(data.table)) if several and not os.path.isabs(data.table) else [root / data.table]
    if not paths:
        raise OwnError(f"data.table is {data.table}, and no file below {root} has such a name.")
    if outside := [path for path in paths if path.exists() and not tree.is_tracked(path, root)]:
        raise OwnError(
            f"data.table {outside[0]} lies outside data.path {root}, so DVC would not see a change in it. Move it into "
            "the folder."
        )
    places = Places(root, there)
    read_rows: list[Row] = []
    remarks: list[Remark] = []
    for path in paths:
        rows, told = _of_table(path, data, places)
        read_rows += rows
        remarks += [one for one in told if one.about not in {other.about for other in remarks}]
    _check_labels(read_rows, data.table)
    if moved := places.remark():
        remarks.append(moved)
    return Read(read_rows, paths, _overlaps(read_rows), remarks)


def _of_table(path: Path, data: Data, places: "Places") -> tuple[list[Row], list[Remark]]:
    rows, form = _rows(path)
    root = Path(data.path)
    columns, remarks = _columns(path, rows, form, data)
    parts = presplit.parts({row.get(columns.get("fold", ""), "").strip() for row in rows} - {""}) or {}
    found: dict[tuple, Row] = {}
    problems = []
    for number, row in enumerate(rows, start=1):
        cell = {key: row.get(name, "").strip() for key, name in columns.items()}
        try:
            file = places.beside(path) if "file" not in columns else places.find(cell["file"], path.parent)
            if not tree.is_tracked(file, root):
                raise ValueError(f"{file} lies outside {root}, so DVC would not see a change in it")
            labels = _labels(cell["label"])
            fold = _fold(cell.get("fold", ""), parts)
            begin, end = (_time(cell.get(key, ""), key) for key in ("begin", "end"))
            if (begin is None) != (end is None) or (begin is not None and end is not None and not 0 <= begin < end):
                raise ValueError(f"it begins at {cell.get('begin', '')!r} and ends at {cell.get('end', '')!r}")
            if len(labels) > 1:
                raise ValueError(_several(labels))
        except ValueError as error:
            problems.append(f"row {number}: {error}")
            continue
        one = Row(file, _written(labels[0]) if labels else "", printable(cell.get("source", "")), fold, begin, end)
        first = found.setdefault((file, begin, end), one)
        if first != one:
            here = f"{file}{_span(one)}"
            if first[1:2] + first[4:] != one[1:2] + one[4:]:
                problems.append(f"row {number}: {here} is {one.label!r}, but an earlier row says {first.label!r}")
            else:
                problems.append(f"row {number}: {here} is {one[1:4]}, but an earlier row says {first[1:4]}")
    if problems:
        more = f"\n  and {len(problems) - 2 * NAMED} more" if len(problems) > 2 * NAMED else ""
        first_ones = "\n  ".join(printable(problem) for problem in problems[: 2 * NAMED])
        if any(" lies outside " in problem for problem in problems):
            more += "\nMove or copy files into data.path, or set it to a folder that holds all."
        raise OwnError(f"{path} has {len(problems)} row(s) that cannot be used:\n  {first_ones}{more}")
    return list(found.values()), remarks


def _span(row: Row) -> str:
    return "" if row.begin is None else f" from {row.begin:g} to {row.end:g} s"


# Columns


def _columns(path: Path, rows: list[dict[str, str]], form: str, data: Data) -> tuple[dict[str, str], list[Remark]]:
    """Which column holds what; `file` is missing where the table's own name says it."""
    there = list(dict.fromkeys(name for row in rows for name in row))
    given = dict(data.columns)
    columns: dict[str, str] = COLUMNS | given
    if form == "audacity":
        columns = {"label": "label", "begin": "begin", "end": "end"}
    elif form == "raven":
        files = [name for name in RAVEN_FILES if name in there]
        labels = [name for name in RAVEN_LABELS if name in there]
        columns = {"begin": "begin", "end": "end"} | ({"file": files[0]} if files else {})
        columns |= {"label": labels[0]} if len(labels) == 1 else {}
        columns |= {key: name for key, name in given.items() if key not in ("begin", "end")}
        if "label" not in columns:
            raise OwnError(f"{path}: which column is the label? There are {', '.join(there)}. {_name_it('label')}")
    columns = {key: name for key, name in columns.items() if name in there or key in given or key in NEEDED}
    if form in ("audacity", "raven") and "file" not in given and columns.get("file") not in there:
        columns.pop("file", None)
    if missing := [name for name in columns.values() if name not in there]:
        raise OwnError(
            f"{path} has no column {', '.join(missing)}; its columns are {', '.join(there)}. "
            "Name those that hold the file and the label in data.columns."
        )
    remarks = []
    if "fold" not in columns and "split" in there and presplit.parts({row["split"].strip() for row in rows} - {""}):
        columns["fold"] = "split"
        remarks.append(
            Remark(
                "fold_words",
                f"The column split of {path.name} says who trains and who is held out.",
                "It is taken as folds: 1 trains, 2 validates, 3 is tested.",
                "Name another column as `fold` in data.columns if it should not be.",
            )
        )
    remarks += _unread_times(path, rows, columns, there)
    if "source" in columns and "source" not in given and (told := _provider(path, rows)):
        del columns["source"]
        remarks.append(told)
    return columns, remarks


def _name_it(key: str) -> str:
    return f"Name it in params.yaml: data.columns: {{{key}: ...}}."


def _unread_times(path: Path, rows: list[dict[str, str]], columns: dict[str, str], there: list[str]) -> list[Remark]:
    """Columns that look like times of events, and are not read."""
    times = [name for name in there if LIKE_TIMES.match(name) and name not in columns.values()]
    if "begin" in columns or len(times) < 2:
        return []
    files = Counter(row.get(columns.get("file", ""), "") for row in rows)
    example = f"data.columns: {{begin: {times[0]}, end: {times[1]}}}"
    if max(files.values()) > 1:
        raise OwnError(
            f"{path} names files several times and has the columns {', '.join(times)}, which look like times of "
            f"events. Set {example} in params.yaml, and each row becomes a clip of its own. If they are none, name "
            "them otherwise, and leave one row for each file."
        )
    what = f"The columns {', '.join(times)} of {path.name} look like times of events, and are not read."
    return [Remark("times", what, "Each file is one clip, all of it.", f"If they are, set {example}.")]


def _provider(path: Path, rows: list[dict[str, str]]) -> Remark | None:
    values = Counter(value for row in rows if (value := row["source"].strip()))
    if not values:
        return None
    value, most = values.most_common(1)[0]
    if len(rows) < 4 or most <= PROVIDER * len(rows):
        return None
    return Remark(
        "source",
        f"{most:,} of {len(rows):,} rows of {path.name} have the source {printable(value)!r}, so this column is not "
        "taken as the recording.",
        "It looks like the name of who provided the sounds. Each file counts as its own recording.",
        "If it is the recording, set data.columns: {source: source}. Else name the column that is, or set "
        "data.source_pattern.",
    )


# Cells


def _written(text: str) -> str:
    """A label as people read it: one form of Unicode, single spaces."""
    return " ".join(printable(text).split())


def _labels(cell: str) -> list[str]:
    """The labels of a cell: none, one, or those of a list as JSON or Python write it."""
    if cell.startswith("[") and cell.endswith("]"):
        try:
            values = json.loads(cell)
        except ValueError:
            values = [value.strip().strip("'\"") for value in cell[1:-1].split(",")]
        return [str(value).strip() for value in values if not _is_missing(str(value))]
    return [] if _is_missing(cell) else [cell]


def _is_missing(text: str) -> bool:
    return text.strip().casefold() in MISSING or text.strip() == "NA"


def _several(labels: Iterable[str]) -> str:
    named = ", ".join(repr(_written(label)) for label in labels)
    return f"it has the labels {named}, and a clip has one: leave one, or the row out"


def _check_labels(rows: list[Row], table: str) -> None:
    """Stop where one label is several in one cell: a part of it is a label elsewhere, too."""
    labels = {row.label for row in rows if row.label}
    split = {label: list(map(slug, re.split(r"[,;|]", label))) for label in labels}
    among = Counter(part for parts in split.values() for part in set(parts))
    joined = sorted(label for label, parts in split.items() if len(parts) > 1 and any(among[one] > 1 for one in parts))
    if joined:
        named = ", ".join(map(repr, joined[:NAMED])) + (", …" if len(joined) > NAMED else "")
        raise OwnError(
            f"{table}: {named} would be several labels each, and a clip has one. Leave one of them in each row, or the "
            "rows out. Another column may have the one that you want: name it in data.columns as `label`."
        )


def _fold(cell: str, parts: dict[str, int]) -> int | None:
    if not cell:
        return None
    if cell in parts:
        return parts[cell]
    if not re.fullmatch(r"\d{1,9}(\.0*)?", cell, re.ASCII):
        raise ValueError(f"the fold is {cell!r}; it must be a whole number, or train, val and test")
    return int(float(cell))


def _time(cell: str, key: str) -> float | None:
    if not cell or _is_missing(cell):
        return None
    try:
        return float(cell.replace(",", "."))
    except ValueError:
        raise ValueError(f"its {key} is {cell!r}, which is no number of seconds") from None


# Events


def _overlaps(rows: list[Row]) -> list[tuple[Path, str]]:
    """Of each file whose events of different classes overlap, a sentence."""
    events = defaultdict(list)
    for row in rows:
        if row.begin is not None and row.label:
            events[row.file].append(row)
    notes = []
    for file, own in sorted(events.items()):
        own.sort(key=lambda row: (row.begin, row.end))
        pairs, open_ones = [], []
        for row in own:
            open_ones = [other for other in open_ones if other.end > row.begin]
            pairs += [(other, row) for other in open_ones if other.label != row.label]
            open_ones.append(row)
        if pairs:
            first = ", ".join(f"{row.label}{_span(row)}" for row in pairs[0])
            notes.append((file, f"{len(pairs)} pair(s) of its events overlap with different labels, e.g. {first}"))
    return notes


# Where files are


class Places:
    """Finds the file that a table means: where it says, or else where exactly one file has that name."""

    def __init__(self, root: Path, there: tree.Tree) -> None:
        self._root, self._there = root, there
        self._named: dict[str, list[Path]] | None = None
        self._stems: dict[str, list[Path]] = {}
        self._moved: dict[str, Path] = {}

    def find(self, name: str, beside: Path) -> Path:
        """The file of a cell; where none is found, where it should be.

        Raises:
            ValueError: the cell is empty, or several files fit; the message names them.
        """
        if not name:
            raise ValueError("it names no file")
        for folder in (self._root, beside):
            for form in (name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)):
                if os.path.exists(folder / form):
                    return folder / form
        plain = name.replace("\\", "/")
        if plain != name and os.path.exists(self._root / plain):
            self._moved.setdefault(name, self._root / plain)
            return self._root / plain
        fitting = self._fitting(plain)
        if len(fitting) > 1:
            named = ", ".join(printable(file.as_posix()) for file in fitting[:NAMED])
            raise ValueError(f"{name!r} may be one of {len(fitting)} files: {named}. Write which")
        if not fitting:
            return self._root / plain
        self._moved.setdefault(name, fitting[0])
        return fitting[0]

    def beside(self, table: Path) -> Path:
        """The sound that a table is of, by its name: `x.wav` of `x.txt` or `x.Table.1.selections.txt`.

        Raises:
            ValueError: as :meth:`find`.
        """
        stem = table.stem
        while stem:
            near = [file for file in self._by_stem(stem) if file.parent == table.parent] or self._by_stem(stem)
            if len(near) > 1:
                named = ", ".join(printable(file.as_posix()) for file in near[:NAMED])
                raise ValueError(f"{table.name} may be of one of {len(near)} sounds: {named}. Name them in a column")
            if near:
                return near[0]
            stem = stem.rpartition(".")[0]
        raise ValueError(f"no sound is called like {table.name}")

    def _fitting(self, plain: str) -> list[Path]:
        """The files whose paths end most like this one's."""
        parts = [_folded(part) for part in PurePath(plain).parts]
        if not parts:
            return []
        fitting = self._by_name(parts[-1]) or ([] if SOUND_ENDING.search(parts[-1]) else self._by_stem(parts[-1]))
        fitting = sorted(fitting)
        common = [_common(parts[:-1], [_folded(part) for part in file.parts[:-1]]) for file in fitting]
        return [file for file, same in zip(fitting, common, strict=True) if same == max(common)]

    def _index(self) -> None:
        self._named, self._stems = defaultdict(list), defaultdict(list)
        for file in self._there.files:
            self._named[_folded(file.name)].append(file)
            if tree.is_sound(file):
                self._stems[_folded(file.stem)].append(file)

    def _by_name(self, name: str) -> list[Path]:
        if self._named is None:
            self._index()
        return (self._named or {}).get(name, [])

    def _by_stem(self, stem: str) -> list[Path]:
        if self._named is None:
            self._index()
        return self._stems.get(_folded(stem), [])

    def remark(self) -> Remark | None:
        """Which files lie elsewhere than the table says."""
        if not self._moved:
            return None
        lines = [f"{printable(name)} is {printable(file.as_posix())}" for name, file in self._moved.items()]
        return Remark(
            "located",
            f"{len(lines):,} file(s) lie elsewhere than the table says, and were found by their names.",
            "Exactly one file fits each of them.",
            "Look whether they are right.",
            tuple(lines[:NAMED]),
        )


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


def _common(one: list[str], other: list[str]) -> int:
    """How many folders are the same, from the end."""
    return next(
        (n for n, (a, b) in enumerate(zip(reversed(one), reversed(other))) if a != b), min(len(one), len(other))
    )


# Forms of tables


def _rows(path: Path) -> tuple[list[dict[str, str]], str]:
    """A table's rows, every cell as text, and its form: plain, audacity or raven."""
    ending, form = path.suffix.lower(), "plain"
    if ending not in TABLES:
        raise OwnError(f"data.table {path} is no table that can be read: {', '.join(TABLES)} can.")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if ending == ".json":
            rows = _objects(json.loads(text))
        elif ending == ".jsonl":
            rows = _objects([json.loads(line) for line in text.splitlines() if line.strip()])
        elif re.match(r"\s*-?\d[\d.,e+-]*\t-?\d[\d.,e+-]*(\t|\r?\n|$)", text):
            rows, form = _audacity(text), "audacity"
        else:
            rows = _lines(text)
            if rows and RAVEN in rows[0]:
                rows, form = _raven(rows), "raven"
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
    return rows, form


def _objects(rows: object) -> list[dict[str, str]]:
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it must be a list of objects")
    return [{key: _text(value) for key, value in row.items()} for row in rows]


def _text(value: object) -> str:
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False)
    return "" if value is None else str(value)


def _lines(text: str) -> list[dict[str, str]]:
    header = text.partition("\n")[0]
    rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count)))
    for number, row in enumerate(rows, start=1):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has not as many cells as the header (quote a cell that holds a comma)")
    return rows


def _audacity(text: str) -> list[dict[str, str]]:
    """Lines of begin, end and label; those with a backslash hold frequencies of the line before."""
    rows = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("\\"):
            begin, end, *label = line.split("\t")
            rows.append({"begin": begin, "end": end, "label": " ".join(label)})
    return rows


def _raven(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Selections, each once, though there is a row for each view; times count from the beginning of their file."""
    once: dict[tuple, dict[str, str]] = {}
    for row in rows:
        begin, end = _time(row[RAVEN], RAVEN), _time(row.get(RAVEN_END, ""), RAVEN_END)
        if begin is None or end is None:
            raise ValueError(f"a selection has no {RAVEN} or no {RAVEN_END}")
        offset = _time(row.get(RAVEN_OFFSET, ""), RAVEN_OFFSET)
        start = begin if offset is None else offset
        times = {"begin": f"{start:.9g}", "end": f"{start + end - begin:.9g}"}
        once.setdefault(
            (row.get("Selection", ""), *times.values(), *(row.get(name) for name in RAVEN_FILES)), row | times
        )
    return list(once.values())
