"""Folds for collections that bring none: whole recordings together, classes spread evenly."""

import warnings

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from counterpoise.core import CounterpoiseError


class CollectionError(CounterpoiseError):
    """A collection that cannot be put into folds; the message says what is short."""


def assign_folds(clips: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Put the clips whose fold is 0 into folds 1..n, with whole recordings together and classes spread evenly.

    A clip without a fold whose recording has one already joins it there. The others are dealt out by scikit-learn's
    `StratifiedGroupKFold`. A class with fewer recordings than folds is missing from some of them, which
    :func:`describe` warns of. The same clips in another order come to the same folds.

    Args:
        clips: columns `tables.CLIPS`; folds other than 0 are official ones and stay as they are.
        folds: how many.
        seed: another seed deals the recordings out otherwise.

    Returns:
        The clips in the same order, none with fold 0.

    Raises:
        CollectionError: no class has as many clips, or all have fewer recordings, than there should be folds.
    """
    official = clips[clips.fold != 0].groupby("source_id").fold.agg(lambda fold: fold.mode().iloc[0])
    joined = clips.fold.where(clips.fold != 0, clips.source_id.map(official).fillna(0)).astype("int64")
    loose = clips[joined == 0].sort_values("clip_id")
    if loose.empty:
        return clips.assign(fold=joined)
    largest = loose.label.value_counts().max()
    if largest < folds:
        raise CollectionError(
            f"data.folds is {folds}, but the largest class has {largest} clip(s) without a fold. "
            f"Set data.folds to {largest} or less, or add recordings."
        )
    recordings = loose.source_id.nunique()
    if recordings < folds:
        raise CollectionError(
            f"data.folds is {folds}, but the clips without a fold come from {recordings} recording(s), and none "
            f"of these lies in two folds. Set data.folds to {max(2, recordings)} or less, or add recordings."
        )
    dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # `describe` says it by name
        for fold, (_, held_out) in enumerate(dealer.split(loose, loose.label, loose.source_id), start=1):
            joined[loose.index[held_out]] = fold
    return clips.assign(fold=joined)
