"""What a collection is before anything runs: what listings and the headers of files tell, in seconds."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
import pandas as pd

from counterpoise.core import tables
from counterpoise.core.naming import printable
from counterpoise.datasets import dogs, folds, intake, unlabelled
from counterpoise.datasets.collect import LISTINGS, PUBLISHED
from counterpoise.datasets.fetch import Archive
from counterpoise.datasets.intake import Admission
from counterpoise.datasets.listing import Listing
from counterpoise.datasets.settings import Data

LONGER = 0.01  # s; a clip that is longer by no more than this loses nothing: it is the rounding of a resampler
MOST = 0.95  # share of clips that a length should hold


@dataclass(frozen=True)
class Survey:
    """A collection as its listing and its headers tell. Duplicates, silence and damage are not known.

    Attributes:
        state: there: its files were looked at. made: `dogs` will be synthesised. fetched: it will be downloaded.
        archive: what will be downloaded, if anything.
        files: the listing, columns `tables.FILES`; without rows where there are no files yet.
        admitted: what the headers say of them; of `dogs` what will be made, without lengths.
        added: the same of files without labels.
        added_files: how many of these there are.
        alone: files that are their own recording because nothing says which one they were cut from.
        listed: all that the listing says; of collections that are made or fetched nothing.
    """

    state: Literal["there", "made", "fetched"]
    archive: Archive | None
    files: pd.DataFrame
    admitted: Admission
    added: Admission
    added_files: int
    alone: int
    listed: Listing


def survey(data: Data, classes: Mapping[str, str], raw: Path) -> Survey:
    """List a collection, and read the header of each of its files. Nothing is decoded, written or downloaded.

    Args:
        data: which source, and where it lies; where sounds without labels lie.
        classes: display name by slug.
        raw: where a collection that was downloaded before lies.

    Raises:
        OwnError, PublishedError, DogsError, UnlabelledError: the collection cannot be listed; the stage `download`
            would stop there, too.
    """
    without = unlabelled.listing(data)
    added = intake.foresee(without, raw, data, "unlabelled")
    state: Literal["there", "made", "fetched"] = "there"
    archive: Archive | None = None
    files = tables.table([], tables.FILES)
    listed = Listing(files, tables.table([], tables.REJECTED), tables.table([], tables.MENDED))
    if data.dataset == "dogs":
        state = "made"
        rejected, mended = tables.table([], tables.REJECTED), tables.table([], tables.MENDED)
        admitted = Admission(dogs.foresee(data, classes, raw), rejected, mended, {}, {})
    elif data.dataset in PUBLISHED and data.download and not _is_fetched(data, raw):
        state, archive = "fetched", PUBLISHED[data.dataset].archive
        admitted = intake.foresee(files, raw, data)
    else:
        listed = LISTINGS[data.dataset](data, classes, raw)
        files = listed.files
        admitted = intake.foresee(files, raw, data)
    whole = files[files.begin.isna()]
    alone = sum(map(_is_alone, whole.path, whole.source_id, [data.path] * len(whole)))
    return Survey(state, archive, files, admitted, added, len(without), alone, listed)


def _is_fetched(data: Data, raw: Path) -> bool:
    return (raw / PUBLISHED[data.dataset].archive.name).is_dir()


def _is_alone(path: str, source: str, root: str) -> bool:
    below = PurePath(path).relative_to(root) if PurePath(path).is_relative_to(root) else PurePath(path)
    return printable(source) == printable(unicodedata.normalize("NFC", below.as_posix()))


def deal(clips: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The clips with the folds that the stage `download` will give them, unless equal sounds are among them.

    Args:
        clips: columns `tables.CLIPS`.

    Raises:
        CollectionError: they cannot be dealt into so many folds.
    """
    return clips if (clips.fold != tables.NO_FOLD).all() else folds.assign_folds(clips, data.folds, data.seed)


@dataclass(frozen=True)
class Lengths:
    """How long clips are, in seconds, and what one window of `window` seconds in each holds of them."""

    shortest: float
    median: float
    most: float  # so many as MOST are no longer
    longest: float
    window: float
    longer: int  # clips of which it does not hold all
    at_once: float  # share of all sound that lies in it
    padding: float  # share of these windows that is padded with silence


def lengths(seconds: pd.Series, window: float) -> Lengths | None:
    """Compare clips with a window, as what hears so much at once does; None where there are no lengths.

    Args:
        seconds: of each clip; NaN is passed over.
        window: s.
    """
    known = seconds.dropna().to_numpy()
    if not len(known):
        return None
    heard = np.minimum(known, window)
    return Lengths(
        shortest=float(known.min()),
        median=float(np.median(known)),
        most=float(np.quantile(known, MOST, method="inverted_cdf")),
        longest=float(known.max()),
        window=window,
        longer=int((known > window + LONGER).sum()),
        at_once=float(heard.sum() / known.sum()),
        padding=float(1 - heard.sum() / (window * len(known))),
    )


def counts(values: pd.Series) -> dict[int, int]:
    """How many clips have which whole number, such as a rate in Hz or channels; the most frequent first."""
    found = values.value_counts()
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {int(value): int(n) for value, n in ordered}
