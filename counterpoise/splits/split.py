"""Who trains, and who is held out.

The unit of the split is the recording (`source_id`), never the clip: on UrbanSound8K a split by clip
scores some 20 points too high, because clips cut from one recording lie on both sides. A variation
belongs to the clip that it started from, so it may only ever join training.
"""

from collections.abc import Callable, Iterable
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.progress import progress
from counterpoise.core.runtime import seed_for
from counterpoise.core.settings import Section
from counterpoise.datasets.settings import Data


class Split(Section):
    """Which recordings are held out: the section `split` of params.yaml."""

    test_fold: int
    val_fold: int | None
    val_fraction: Annotated[float, Field(ge=0, lt=1)]  # used where val_fold is null
    seed: int


class SplitError(CounterpoiseError):
    """A split that cannot be trained or tested on; the message says which numbers are short and what to do."""


def partition(clips: pd.DataFrame, split: Split, data: Data) -> pd.Series:
    """Assign every clip to train, val, test or unused.

    The answer for a clip depends on its own row and on the rows of its own class, and, where classes share recordings
    and one has few, on the other's.

    Args:
        clips: the columns clip_id, label, source_id and fold; any order, one class or many.
        split: the held-out folds; without `val_fold`, the share `val_fraction` of the other folds'
            recordings is held out, whatever classes they hold, but for those that a class needs to train.
        data: `limit` cuts a class's training recordings or clips. A higher limit keeps what a lower one kept.
            `min_recordings` of each class are not held out by `val_fraction`.

    Returns:
        "train" | "val" | "test" | "unused", on the index of `clips`.

    Raises:
        SplitError: one fold is asked to be both val and test.
    """
    if split.val_fold == split.test_fold:
        raise SplitError(
            f"split.val_fold and split.test_fold are both {split.test_fold}: a fold can be one of them. "
            "Choose another fold, or set split.val_fold to null."
        )
    if split.val_fold is None:
        validation = _by_chance(clips, split, data.min_recordings)
    else:
        validation = (clips.fold == split.val_fold).to_numpy()
    test = (clips.fold == split.test_fold).to_numpy()
    partitions = np.select([test, validation], ["test", "val"], default="train").astype(object)
    turns_of = _recording_turns if data.limit_unit == "recordings" else clip_turns
    for label, allowed in data.limits().items():
        training = (clips.label == label).to_numpy() & (partitions == "train")
        turns = turns_of(clips[training], split.seed)
        partitions[training] = np.where(turns < allowed, "train", "unused")
    return pd.Series(partitions, index=clips.index, name="partition", dtype="str")


def _by_chance(clips: pd.DataFrame, split: Split, min_recordings: int) -> np.ndarray:
    """Which clips are of recordings that `val_fraction` holds out: bool `[clips]`.

    A class of few recordings may lose all of them by chance, so those that would be held out last train where it has
    fewer than `min_recordings` others.
    """
    shares = {source: seed_for("val", split.seed, source) / 2**63 for source in clips.source_id}  # uniform in 0..1
    held_out = {source for source, share in shares.items() if share < split.val_fraction}
    for _, own in clips[clips.fold != split.test_fold].groupby("label"):
        recordings = set(own.source_id)
        missing = min_recordings - len(recordings - held_out)
        if missing > 0:
            held_out -= set(sorted(recordings & held_out, key=lambda source: (-shares[source], source))[:missing])
    return clips.source_id.isin(held_out).to_numpy()


def partition_unlabelled(unlabelled: pd.DataFrame, related: pd.DataFrame, clips: pd.DataFrame) -> pd.Series:
    """Assign every unlabelled clip to train or unused: none of a recording that shares sound with val or test trains.

    Args:
        unlabelled: columns `tables.CLIPS`.
        related: of their recordings with labelled ones, columns `tables.RELATED`.
        clips: the labelled clips, columns `tables.SPLIT`.

    Returns:
        "train" | "unused", on the index of `unlabelled`.
    """
    left_out = shared(unlabelled.source_id, related, clips)
    return pd.Series(np.where(left_out, "unused", "train"), unlabelled.index, name="partition", dtype="str")


def shared(recordings: pd.Series, related: pd.DataFrame, clips: pd.DataFrame) -> pd.Series:
    """Which recordings of unlabelled clips are held out, or share sound with such: bool, on their index."""
    held_out = set(clips.source_id[clips.partition.isin(["val", "test"])])
    return recordings.isin(held_out | set(related.source_id[related.labelled.isin(held_out)]))


def _recording_turns(clips: pd.DataFrame, seed: int) -> np.ndarray:
    """The place of each clip's recording, from 0, when recordings are drawn one after another: int `[clips]`."""
    order = sorted(set(clips.source_id), key=lambda source: (seed_for("limit", seed, source), source))
    place = {source: turn for turn, source in enumerate(order)}
    return np.array([place[source] for source in clips.source_id], dtype=int)


def clip_turns(clips: pd.DataFrame, seed: int) -> np.ndarray:
    """The place of each clip, from 0, when every recording gives one clip a round: int `[clips]`.

    Whoever takes the clips of the first n places spreads them over as many recordings as there are.
    """
    recording = _recording_turns(clips, seed)
    hashes = pd.Series([seed_for("limit", seed, clip_id) for clip_id in clips.clip_id], dtype="int64")
    rounds = hashes.groupby(recording).rank(method="first")
    turns = np.zeros(len(clips), dtype=int)
    turns[np.lexsort((recording, rounds))] = np.arange(len(clips))
    return turns


def check_folds(folds: Iterable[int], split: Split) -> None:
    """Stop where a held-out fold is none of those that the collection has.

    Args:
        folds: those of all clips, or those that the collection's listing promises.
        split: the held-out folds.

    Raises:
        SplitError: the message names the folds that there are.
    """
    folds = sorted({int(fold) for fold in folds})
    for key, fold in (("test_fold", split.test_fold), ("val_fold", split.val_fold)):
        if fold is not None and fold not in folds:
            raise SplitError(
                f"split.{key} is {fold}, but no clip lies in that fold; the collection has the folds "
                f"{', '.join(map(str, folds)) or '(none: it is empty)'}. Set split.{key} to one of these."
            )


def check_amounts(
    clips: pd.DataFrame, partitions: pd.Series, labels: Iterable[str], min_recordings: int, split: Split
) -> None:
    """Stop before training where a class has too little to train or nothing to be tested on.

    Args:
        clips: the catalogue, or one class's rows of it.
        partitions: what :func:`partition` said of it.
        labels: the slugs of the classes that must be there.
        min_recordings: the fewest training recordings that a class may have.
        split: names the test fold in the message.

    Raises:
        SplitError: one message for all classes that fall short.
    """
    short = []
    for label in labels:
        own = clips.label == label
        recordings = clips.source_id[own & (partitions == "train")].nunique()
        if recordings < min_recordings:
            line = f"{label}: {recordings} training recording(s), at least {min_recordings} are needed"
            unused = int((own & (partitions == "unused")).sum())
            short.append(line + (f" (data.limit or data.scarce leaves {unused} clip(s) unused)" if unused else ""))
        if not (own & (partitions == "test")).any():
            short.append(f"{label}: no test clip in fold {split.test_fold}")
    if short:
        raise SplitError(
            "Some classes cannot be trained and tested:\n  " + "\n  ".join(short) + "\n"
            f"{way_out(clips, list(labels), min_recordings, split)[0]}"
            "Add recordings, choose another split.test_fold, lower data.min_recordings, raise data.limit or "
            "data.scarce.limit, or remove the class from `classes`; then run `dvc repro`."
        )


def way_out(clips: pd.DataFrame, labels: list[str], min_recordings: int, split: Split) -> tuple[str, dict[str, object]]:
    """What would do with the recordings that there are: a line, and what to set by dotted key; or nothing.

    Args:
        clips, labels, min_recordings, split: as of :func:`check_amounts`.
    """
    recordings = clips.groupby("label").source_id.nunique().reindex(labels, fill_value=0)
    all_there = clips.groupby("fold").label.apply(lambda own: set(labels) <= set(own))
    good = [int(fold) for fold in all_there.index[all_there] if fold not in (split.test_fold, split.val_fold)]
    if not all_there.get(split.test_fold, False) and good:
        line = f"In fold {good[0]} every class has a clip: with split.test_fold {good[0]} each can be tested.\n"
        return line, {"split.test_fold": good[0]}
    fewest = int(recordings.min())
    if all_there.get(split.test_fold, False) and min_recordings > 1 and fewest > 1:
        line = (
            "The most that these recordings allow is data.min_recordings: 1. Then such a class is learned from one "
            "recording and tested on another, and its scores say little.\n"
        )
        return line, {"data.min_recordings": 1}
    return "", {}


def examples(real: pd.DataFrame, synthetic: pd.DataFrame | None, sha256: Callable[[str], str]) -> pd.DataFrame:
    """The table that a classifier reads: these clips, sorted by id, each with the hash of its file.

    Args:
        real: rows of the catalogue (columns `tables.CLIPS`).
        synthetic: rows of lineage (columns `tables.LINEAGE`), or None.
        sha256: from a path to the hex digest of the file.

    Returns:
        The columns `tables.EXAMPLES`; a real clip is its own root.
    """
    table = real.assign(root_clip_id=real.clip_id, synthetic=False)
    if synthetic is not None:
        table = pd.concat([table, synthetic.assign(synthetic=True)])
    table = table.sort_values("clip_id", ignore_index=True, kind="stable")
    table["sha256"] = [sha256(path) for path in progress(table.path, desc="hash audio", unit="clip")]
    return table[list(tables.EXAMPLES)].astype(tables.EXAMPLES)
