"""The tables that pass between stages: which columns they have, and how they are read and written."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from counterpoise.core import CounterpoiseError, unfinished

NO_FOLD = -1  # of clips that their source puts into no fold; folds count from 0
NO_SOUND = "no sound"  # kind of rejected.csv: what lies beside the sounds, summed up by ending
LEFT_OUT = "left out"  # kind of rejected.csv: sounds that the table, or `classes`, does not name

FILES = {  # what a source lists
    "path": "str",  # from the repository's root, or absolute
    "label": "str",  # the class's slug
    "source_id": "str",  # the recording
    "fold": "int64",  # NO_FOLD where the source has none
    "begin": "float64",  # s; where in the file the sound lies; NaN: from its beginning
    "end": "float64",  # s; NaN: to its end
}
CLIPS = {
    "clip_id": "str",  # unique in the collection
    "path": "str",  # from the repository's root, or absolute
    "label": "str",  # the class's slug, or naming.UNLABELLED
    "source_id": "str",  # the recording that the clip was cut from
    "fold": "int64",
    "seconds": "float64",
    "sample_rate": "int64",  # Hz
    "channels": "int64",
}
SPLIT = {**CLIPS, "partition": "str"}  # train | val | test | unused
REJECTED = {"path": "str", "label": "str", "kind": "str", "reason": "str"}
MENDED = {"path": "str", "kind": "str", "note": "str"}  # files not taken as they are, or taken with a doubt
DUPLICATES = {
    "clip_id": "str",
    "twin": "str",  # the clip_id of the other clip
    "kind": "str",  # exact | near
    "similarity": "float64",  # agreement of their fingerprints beyond chance, 1 for exact duplicates
    "seconds": "float64",  # how much sound they share
}
RELATED = {
    "source_id": "str",  # a recording of unlabelled clips
    "labelled": "str",  # a recording of labelled clips with which it shares sound, be it through others
}
LINEAGE = {
    "clip_id": "str",
    "path": "str",
    "label": "str",
    "start": "str",  # own | augmented | blend | cross | noise, of diffusion; or classic | roundtrip | background
    "root_clip_id": "str",  # the clip that a variation started from; `cross`: of another class
    "other_clip_id": "str",  # `blend`, `background`: the clip that was mixed in, else empty
    "source_id": "str",  # the root's
    "fold": "int64",  # the root's
    "seed": "int64",
    "strength": "float64",  # sigma of the noise that was added; `background`: signal-to-noise ratio, dB
    "model": "str",
}
PLANNED = {**LINEAGE, "spare": "bool"}  # variations to make; a spare one gives the class filter a choice
CHEAP = ("classic", "roundtrip", "background")  # starts of clips that no diffusion model made
CANDIDATES = {  # what the class filter said of everything that was made
    "clip_id": "str",
    "root_clip_id": "str",
    "recognised": "str",
    "probability": "float64",  # of the class that it should be
    "nearest": "str",  # the nearest training clip of the class
    "reason": "str",  # why it was rejected: silent | clipped | near copy | other class, or empty
    "kept": "bool",
}
BALANCE = {
    "label": "str",
    "real": "int64",  # training clips
    "target": "int64",  # those of the largest class
    "wanted": "int64",  # what is missing to it
    "synthetic": "int64",  # what is made
    "factor": "float64",
    "reason": "str",
    "rare": "bool",  # made scarce on purpose, or fewer than half of the largest class's clips
}
EXAMPLES = {  # what a classifier trains or is tested on
    "clip_id": "str",
    "path": "str",
    "label": "str",
    "source_id": "str",
    "root_clip_id": "str",  # the clip itself where it is real
    "synthetic": "bool",
    "sha256": "str",  # of the file's bytes
}

PROBABILITY = "probability/"  # of the columns that hold what a classifier gave each class


def probabilities(labels: Sequence[str]) -> dict[str, str]:
    """The columns of what every trained network says of every held-out clip."""
    runs = {"clip_id": "str", "partition": "str", "arm": "str", "model": "str", "seed": "int64"}
    return {**runs, **{PROBABILITY + label: "float64" for label in labels}}


def members(labels: Sequence[str]) -> dict[str, str]:
    """The columns of what classical classifiers say of every held-out clip: a row for each clip and classifier."""
    fixed = {"clip_id": "str", "partition": "str", "member": "str"}
    return {**fixed, **{PROBABILITY + label: "float64" for label in labels}}


class TableError(CounterpoiseError):
    """A table that breaks its contract; the message names the rows."""


def table(rows: list[dict], columns: dict[str, str]) -> pd.DataFrame:
    """A frame with exactly these columns and types, in the rows' order."""
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def read(path: str | Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read a table that an earlier stage wrote.

    Raises:
        TableError: the file is missing, is no table, or its columns are not those expected.
    """
    try:
        frame = pd.read_csv(path, dtype=columns, keep_default_na=False, float_precision="round_trip")
    except FileNotFoundError:
        raise TableError(f"{path} is missing: run `dvc repro`, or `dvc pull` if a remote holds it") from None
    except ValueError as error:  # an empty file, a row of another length, a word where a number should be
        raise TableError(f"{path} is not the table that a stage wrote ({error}). Run `dvc repro`.") from None
    if list(frame.columns) != list(columns):
        raise TableError(f"{path} has the columns {list(frame.columns)}; expected {list(columns)}. Run `dvc repro`.")
    return frame


def write(frame: pd.DataFrame, path: str | Path, exact: bool = False) -> None:
    """Write a table the same way every time: numbers with six digits, or `exact` with all that they have."""
    with unfinished.replacing(Path(path)) as partial:
        frame.to_csv(partial, index=False, lineterminator="\n", float_format=None if exact else "%.6g")


def check_clips(clips: pd.DataFrame) -> None:
    """Raise TableError unless every clip_id is unique."""
    twice = clips.loc[clips.clip_id.duplicated(), "clip_id"].tolist()
    if twice:
        raise TableError(f"{len(twice)} clip ids occur more than once, for example {twice[:5]}")


def sha256(path: str | Path) -> str:
    """The hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_contents(examples: pd.DataFrame) -> None:
    """Raise TableError unless every file still has the content that the table was written for."""
    changed = [path for path, digest in zip(examples.path, examples.sha256) if not _has(path, digest)]
    if changed:
        raise TableError(
            f"{len(changed)} audio files are missing or are not what they were when the table was written, for example "
            f"{changed[:3]}. If you changed them, `dvc repro` takes them in. If not, they are damaged: `counterpoise "
            "verify --mend` finds what is, mends what it can, and says what to run then."
        )


def _has(path: str, digest: str) -> bool:
    return Path(path).is_file() and sha256(path) == digest
