"""Folds for collections that bring none: whole recordings together, classes spread evenly."""

import warnings

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.runtime import seed_for


class CollectionError(CounterpoiseError):
    """A collection that cannot be put into folds; the message says what is short."""


def assign_folds(clips: pd.DataFrame, folds: int, seed: int) -> pd.DataFrame:
    """Put the clips without a fold into folds 1..n, with whole recordings together and classes spread evenly.

    A clip without a fold whose recording has one already joins it there. The others are dealt out by scikit-learn's
    `StratifiedGroupKFold`. The same clips in another order come to the same folds.

    A class with fewer recordings than folds cannot be in all of them. Its recordings go into the first folds, one into
    each, so that fold 1 can test every class that has two; :func:`describe` names such classes.

    Args:
        clips: columns `tables.CLIPS`; folds other than `tables.NO_FOLD` are official ones and stay as they are.
        folds: how many.
        seed: another seed deals the recordings out otherwise.

    Returns:
        The clips in the same order, none without a fold.

    Raises:
        CollectionError: the clips without a fold come from one recording alone.
    """
    given = clips.fold != tables.NO_FOLD
    official = clips[given].groupby("source_id").fold.agg(lambda fold: fold.mode().iloc[0])
    joined = clips.fold.where(given, clips.source_id.map(official).fillna(tables.NO_FOLD)).astype("int64")
    loose = clips[joined == tables.NO_FOLD].sort_values("clip_id")
    if loose.empty:
        return clips.assign(fold=joined)
    if loose.source_id.nunique() < 2 and official.empty:
        raise CollectionError(
            f"All {len(clips)} clips come from one recording ({loose.source_id.iloc[0]}), so nothing can be held out. "
            "Add recordings, or name them as data.md says under `Your own sounds`."
        )
    few = _of_short_classes(loose, folds, seed)
    joined[few.index] = few
    many = loose[~loose.index.isin(few.index)]
    if many.source_id.nunique() >= folds:
        dealer = StratifiedGroupKFold(n_splits=folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)  # `describe` says it by name
            for fold, (_, held_out) in enumerate(dealer.split(many, many.label, many.source_id), start=1):
                joined[many.index[held_out]] = fold
    elif len(many):  # what short classes left of others
        joined[many.index] = _in_turn(many, folds, seed)
    return clips.assign(fold=joined)


def _of_short_classes(clips: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    """The folds of all clips of recordings that hold a class with fewer recordings than folds, on their index."""
    recordings = clips.groupby("label").source_id.nunique()
    few = recordings[recordings < folds].sort_index().sort_values(kind="stable")
    fold_of: dict[str, int] = {}
    for label in few.index:  # the rarest class chooses first
        own = clips.source_id[clips.label == label].unique()
        taken = [fold_of[source] for source in own if source in fold_of]
        free = sorted(set(range(1, folds + 1)) - set(taken))
        loose = sorted((source for source in own if source not in fold_of), key=_turn(seed))
        fold_of |= dict(zip(loose, free))
    return clips.source_id.map(fold_of).dropna().astype("int64")


def _in_turn(clips: pd.DataFrame, folds: int, seed: int) -> pd.Series:
    order = sorted(clips.source_id.unique(), key=_turn(seed))
    return clips.source_id.map({source: number % folds + 1 for number, source in enumerate(order)})


def _turn(seed: int):
    return lambda source: (seed_for("fold", seed, source), source)
