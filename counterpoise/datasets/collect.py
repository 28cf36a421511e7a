"""Sources of sounds: each module lists the files of one; here they become a catalogue of usable clips."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from counterpoise.core import tables
from counterpoise.datasets import dogs, duplicates, esc50, folds, intake, own, urbansound8k
from counterpoise.datasets.settings import Data

LISTINGS = {"urbansound8k": urbansound8k.listing, "esc50": esc50.listing, "own": own.listing}


@dataclass(frozen=True)
class Collected:
    """A collection, ready to be split."""

    clips: pd.DataFrame  # columns tables.CLIPS
    rejected: pd.DataFrame  # columns tables.REJECTED
    mended: pd.DataFrame  # columns tables.MENDED
    duplicates: pd.DataFrame  # columns tables.DUPLICATES


def collect(data: Data, classes: Mapping[str, str], raw: Path) -> Collected:
    """Read or make the clips of the chosen source.

    Every file is decoded once: what cannot be used is rejected, what can be mended is mended, what is long is cut.
    Equal and nearly equal sounds become one recording, so that no split separates them.

    Args:
        data: which source, and where it lies.
        classes: display name by slug; other classes of the source are left out.
        raw: folder for audio that is made, fetched, mended or cut.
    """
    if data.dataset == "dogs":
        clips, rejected = dogs.collect(data, classes, raw)
        return Collected(clips, rejected, tables.table([], tables.MENDED), tables.table([], tables.DUPLICATES))
    files = LISTINGS[data.dataset](data, classes, raw)
    admitted = intake.admit(files, raw, data, duplicates.fingerprint if data.duplicates else None)
    found = duplicates.Duplicates(tables.table([], tables.DUPLICATES))
    if data.duplicates:
        found = duplicates.find(admitted.clips, admitted.content, admitted.fingerprints)
    clips, conflicts = duplicates.merge(admitted.clips, found)
    clips = folds.assign_folds(clips, data.folds, data.seed)
    return Collected(clips, pd.concat([admitted.rejected, conflicts]), admitted.mended, found.pairs)
