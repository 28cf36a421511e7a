"""Sources of sounds: each module lists the files of one; here they become a catalogue of usable clips."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from counterpoise.core import tables
from counterpoise.core.naming import printable
from counterpoise.datasets import dogs, duplicates, esc50, folds, intake, own, unlabelled, urbansound8k
from counterpoise.datasets.duplicates import Duplicates
from counterpoise.datasets.intake import Admission
from counterpoise.datasets.listing import Listing, Remark, plain
from counterpoise.datasets.settings import Data

LISTINGS = {"urbansound8k": plain(urbansound8k.listing), "esc50": plain(esc50.listing), "own": own.listed}


PUBLISHED = {"urbansound8k": urbansound8k.COLLECTION, "esc50": esc50.COLLECTION}


@dataclass(frozen=True)
class Collected:
    """A collection, ready to be split."""

    clips: pd.DataFrame  # columns tables.CLIPS
    rejected: pd.DataFrame  # columns tables.REJECTED
    mended: pd.DataFrame  # columns tables.MENDED
    duplicates: pd.DataFrame  # columns tables.DUPLICATES
    unlabelled: pd.DataFrame  # columns tables.CLIPS; without folds
    related: pd.DataFrame  # columns tables.RELATED
    remarks: tuple[Remark, ...] = ()  # what the listing took to be so; `mended` has them, too


def collect(data: Data, classes: Mapping[str, str], raw: Path) -> Collected:
    """Read or make the clips of the chosen source, and read those without labels.

    Every file is decoded once: what cannot be used is rejected, what can be mended is mended, what is long is cut.
    Equal and nearly equal sounds become one recording, so that no split separates them. Unlabelled clips change
    nothing of the labelled ones, neither recordings nor folds: their own recordings are only related to labelled ones.

    Args:
        data: which source, and where it lies; where sounds without labels lie.
        classes: display name by slug; other classes of the source are left out.
        raw: folder for audio that is made, fetched, decoded, mended or cut.

    Raises:
        IntakeError: too many files are rejected, or all of a class.
        CounterpoiseError: the source cannot be listed, or not be put into folds.
    """
    added = unlabelled.listed(data)
    remarks: tuple[Remark, ...] = ()
    found = Duplicates(tables.table([], tables.DUPLICATES))
    if data.dataset == "dogs":
        clips, rejected = dogs.collect(data, classes, raw)
        admitted = Admission(clips, rejected, tables.table([], tables.MENDED), {}, {})
    else:
        listed = LISTINGS[data.dataset](data, classes, raw)
        remarks = listed.remarks
        admitted = intake.admit(listed.files, raw, data, duplicates.fingerprint if data.duplicates else None)
        if data.duplicates:
            found = duplicates.find(admitted.clips, admitted.content, admitted.fingerprints)
        clips, conflicts = duplicates.merge(admitted.clips, found)
        intake.check_classes(listed.files, clips, pd.concat([admitted.rejected, conflicts]))
        clips = folds.assign_folds(clips, data.folds, data.seed)
        rejected = pd.concat([admitted.rejected, conflicts, listed.passed_over])
        admitted = replace(admitted, mended=pd.concat([_said(data, listed), admitted.mended]))
    nobody, nothing = tables.table([], tables.CLIPS), tables.table([], tables.RELATED)
    rejected = pd.concat([rejected, added.passed_over])
    labelled = Collected(clips, rejected, admitted.mended, found.pairs, nobody, nothing, remarks)
    return labelled if added.files.empty else _joined(labelled, admitted, added.files, data, raw)


def folds_of(data: Data) -> set[int]:
    """The folds that clips may lie in, as far as a source's listing tells; no sound is opened.

    Raises:
        OwnError: the user's own sounds cannot be listed.
    """
    if data.dataset == "dogs":
        return set(dogs.FOLDS.values())
    if data.dataset in PUBLISHED:
        return set(range(1, PUBLISHED[data.dataset].folds + 1))
    there = own.look(data).folds
    return there - {tables.NO_FOLD} | (set(range(1, data.folds + 1)) if tables.NO_FOLD in there else set())


def _said(data: Data, listed: Listing) -> pd.DataFrame:
    """What a listing took to be so, as rows of `tables.MENDED`."""
    rows = [{"path": printable(data.path), "kind": one.about, "note": one.text} for one in listed.remarks]
    return pd.concat([tables.table(rows, tables.MENDED), listed.noted])


def _joined(labelled: Collected, admitted: Admission, files: pd.DataFrame, data: Data, raw: Path) -> Collected:
    """The collection with unlabelled clips.

    Args:
        labelled: what is known of the labelled clips.
        admitted: the same, before duplicates were merged; of dogs without content and fingerprints.
        files: without labels.
    """
    added = intake.admit(files, raw, data, duplicates.fingerprint if data.duplicates else None, "unlabelled")
    pairs = labelled.duplicates
    if data.duplicates:
        if data.dataset == "dogs":
            content, fingerprints = intake.identify(admitted.clips, duplicates.fingerprint)
            admitted = replace(admitted, content=content, fingerprints=fingerprints)
        # Searched once more, so that of equal clips an unlabelled one may stand for a labelled one
        found = duplicates.find(
            pd.concat([admitted.clips, added.clips]),
            admitted.content | added.content,
            admitted.fingerprints | added.fingerprints,
        )
        of_added = found.pairs[["clip_id", "twin"]].isin(set(added.clips.clip_id)).any(axis=1)
        pairs = pd.concat([pairs, found.pairs[of_added]], ignore_index=True)
    related = duplicates.related(pd.concat([admitted.clips, added.clips]), pairs)
    return Collected(
        labelled.clips,
        pd.concat([labelled.rejected, added.rejected]),
        pd.concat([labelled.mended, added.mended]),
        pairs,
        added.clips,
        related[related.labelled.isin(set(labelled.clips.source_id))],
        labelled.remarks,
    )
