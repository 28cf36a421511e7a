"""What variations start from: training clips of the pipeline, or sounds that the user names."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from counterpoise.codecs import encode
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.core import tables
from counterpoise.core.naming import printable
from counterpoise.datasets import intake, tree
from counterpoise.datasets.settings import Data
from counterpoise.variations import VariationsError


def of_training(label: str, start: str, split: Path) -> pd.DataFrame:
    """The training clips that variations of a class may start from, rows of `tables.SPLIT`.

    Args:
        label: the class.
        start: `generate.start`; with `cross` the clips are those of all classes.
        split: the table of all clips.

    Raises:
        TableError: the table is missing or damaged.
        VariationsError: there is no such clip.
    """
    clips = tables.read(split, tables.SPLIT)
    training = clips[clips.partition == "train"]
    starts = training if start == "cross" else training[training.label == label]
    if starts.empty or (start == "cross" and (starts.label == label).all()):
        raise VariationsError(f"{split} names no training clips to start from: name some with --from")
    return starts


def of_files(paths: Sequence[Path], label: str, data: Data, folder: Path) -> pd.DataFrame:
    """Sounds that the user names, as the pipeline takes them in: mended, and cut where they are long.

    Args:
        paths: sound files, and folders of some, which are searched on all levels.
        label: the class of the variations.
        data: `max_seconds`, `clip_seconds` and `min_seconds` hold.
        folder: for what has to be written.

    Returns:
        Rows of `tables.CLIPS`; `source_id` is the file. What was left out or changed is told on standard error.

    Raises:
        VariationsError: no sound can be used.
        OwnError: a folder cannot be read.
    """
    files = [Path(path.as_posix()) for path in paths if not path.is_dir()]
    for root in (path for path in paths if path.is_dir()):
        found = sorted(file for file in tree.walk(root).files if tree.is_sound(file))
        if not found:
            endings = ", ".join(tree.EXTENSIONS)
            raise VariationsError(f"--from {root}: no sound file in this folder; sounds end in {endings}")
        files += found
    rows = [
        {"path": str(file), "label": label, "source_id": printable(str(file)), "fold": tables.NO_FOLD}
        for file in dict.fromkeys(files)
    ]
    try:
        admission = intake.admit(
            tables.table(rows, tables.FILES), folder, data.model_copy(update={"max_rejected": 1.0, "path": "."})
        )
    except intake.IntakeError as error:
        reasons = str(error).partition("The first:")[2].rpartition("\n")[0]
        raise VariationsError(f"--from names no sound that can be used:{reasons}\nName others.") from None
    for row in admission.rejected.itertuples():
        print(f"{row.path}: left out, {row.reason}", file=sys.stderr)
    for row in admission.mended.itertuples():
        print(f"{row.path}: {row.note}", file=sys.stderr)
    return admission.clips


def packed(clips: pd.DataFrame, latents: Path) -> Shelf:
    """The latents of training clips, as the stage `encode` left them.

    Raises:
        LatentsError: a file is missing or damaged.
        VariationsError: they were encoded before the clips were split.
    """
    files = [Packed(latents / f"{label}.safetensors") for label in clips.label.unique()]
    there = {clip_id for file in files for clip_id in file.clips.clip_id}
    if missing := sorted(set(clips.clip_id) - there):
        raise VariationsError(f"{latents} lacks {len(missing)} clips, e.g. {missing[0]}: run `dvc repro encode`")
    return Shelf(files)


def encoded(clips: pd.DataFrame, codec: Codec, batch_size: int, folder: Path) -> Shelf:
    """The latents of other clips, from their files.

    Args:
        clips: rows of `tables.CLIPS`, of one label.
        batch_size: clips that are encoded at once.
        folder: for the packed file.
    """
    path = folder / "given.safetensors"
    encode.encode(codec, clips, path, batch_size)
    return Shelf([Packed(path)])
