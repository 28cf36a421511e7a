"""UrbanSound8K, read where it lies: 8,732 excerpts of up to 4 s from Freesound, ten classes, ten official folds."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
import soundfile
from tqdm import tqdm

from counterpoise import CounterpoiseError, audio, catalog
from counterpoise.params import Data

NAME = "UrbanSound8K"
URL = "https://urbansounddataset.weebly.com/urbansound8k.html"
ARCHIVE = "https://zenodo.org/records/1203745"
LICENCE = "CC BY-NC 3.0"
CITATION = (
    "J. Salamon, C. Jacoby and J. P. Bello, A Dataset and Taxonomy for Urban Sound Research, "
    "22nd ACM International Conference on Multimedia, Orlando, 2014"
)

METADATA = "metadata/UrbanSound8K.csv"
COLUMNS = {"slice_file_name": "str", "fsID": "str", "fold": "str", "class": "str"}  # those that are read


class UrbanSound8KError(CounterpoiseError):
    """The data set is not there, or is not what it should be; the message says what was looked for."""


def collect(data: Data, classes: Mapping[str, str], raw: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Turn the data set at `data.path` into a catalogue; every file is decoded once, none is copied.

    Args:
        data: `path` is the folder that holds `metadata/` and `audio/`, or the folder above it.
        classes: slug → display name; the data set's own class names are the slugs. Others are left out.
        raw: where sources that make or fetch audio put it; nothing is written here.

    Returns:
        The catalogue (columns `catalog.CLIPS`), whose recordings are Freesound ids, and the rows that cannot
        be used (columns `catalog.REJECTED`), both in the metadata's order.

    Raises:
        UrbanSound8KError: no data set at the path, metadata that is not UrbanSound8K's, a class that it does
            not have, or more than half of the files unusable.
    """
    root = _find(Path(data.path))
    metadata = _read_metadata(root / METADATA)
    there = sorted(metadata["class"].unique())
    unknown = [slug for slug in classes if slug not in there]
    if unknown:
        raise UrbanSound8KError(f"{NAME} has no class {', '.join(unknown)}; its classes are {', '.join(there)}")
    wanted = metadata[metadata["class"].isin(list(classes))]
    clips, rejected = [], []
    rows = zip(wanted["slice_file_name"], wanted["fsID"], wanted["fold"], wanted["class"])
    for file_name, freesound_id, fold, label in tqdm(rows, desc=f"read {NAME}", total=len(wanted), unit="clip"):
        path = root / "audio" / f"fold{fold}" / file_name
        try:
            form = _decode(path)
        except audio.AudioError as error:
            rejected.append({"path": path.as_posix(), "label": label, "reason": str(error)})
            continue
        own = {"clip_id": path.stem, "path": path.as_posix(), "label": label}
        clips.append(own | {"source_id": f"fs{freesound_id}", "fold": int(fold)} | form)
    if len(rejected) > len(wanted) / 2:
        first = "\n  ".join(f"{row['path']}: {row['reason']}" for row in rejected[:5])
        raise UrbanSound8KError(
            f"{len(rejected)} of {len(wanted)} files of {NAME} under {root} cannot be used, for example\n  {first}\n"
            f"{_where_to_get_it()}"
        )
    return catalog.table(clips, catalog.CLIPS), catalog.table(rejected, catalog.REJECTED)


def _find(path: Path) -> Path:
    for root in (path, path / NAME):
        if (root / METADATA).is_file():
            return root
    raise UrbanSound8KError(
        f"No {NAME} at data.path {path}: neither {path / METADATA} nor {path / NAME / METADATA} is there. "
        f"{_where_to_get_it()}"
    )


def _where_to_get_it() -> str:
    return (
        f"The data set is free for non-commercial use ({LICENCE}): see {URL}, fetch the archive from {ARCHIVE}, "
        f"unpack it, and set data.path to the folder {NAME}."
    )


def _read_metadata(path: Path) -> pd.DataFrame:
    try:
        metadata = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise UrbanSound8KError(f"{path} is not a readable table ({error}). {_where_to_get_it()}") from None
    missing = [column for column in COLUMNS if column not in metadata]
    if missing:
        raise UrbanSound8KError(f"{path} lacks the column(s) {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    wrong = metadata[~metadata["fold"].isin([str(fold) for fold in range(1, 11)])]
    _no_rows(path, wrong, "have a fold that is not 1..10", wrong["fold"])
    twice = metadata[metadata["slice_file_name"].duplicated()]
    _no_rows(path, twice, "repeat a file that an earlier row has", twice["fold"])
    return metadata


def _no_rows(path: Path, rows: pd.DataFrame, problem: str, folds: Iterable[str]) -> None:
    if len(rows):
        first = ", ".join(f"{name} (fold {fold})" for name, fold in list(zip(rows["slice_file_name"], folds))[:5])
        raise UrbanSound8KError(f"{path}: {len(rows)} row(s) {problem}: {first}. Restore the official file: {ARCHIVE}")


def _decode(path: Path) -> dict:
    """A clip's length and form after decoding it whole, because the header of a damaged file may promise more."""
    if not path.is_file():
        raise audio.AudioError("the file is missing")
    try:
        header = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise audio.AudioError(f"not readable as audio ({error})") from None
    try:
        wave = audio.read(path, header.samplerate, header.channels)
    except audio.AudioError as error:
        raise audio.AudioError(str(error).removeprefix(f"{path}: ")) from None
    seconds = wave.shape[1] / header.samplerate
    return {"seconds": seconds, "sample_rate": header.samplerate, "channels": header.channels}
