"""What the collection is: the numbers of metrics/data.json, and what makes scores doubtful."""

import numpy as np
import pandas as pd

from counterpoise.core.naming import UNLABELLED
from counterpoise.datasets.duplicates import TWO_FOLDS, TWO_LABELS, Duplicates

PARTITIONS = ("train", "val", "test", "unused")
TELLTALE = 0.9  # a class of which so many clips share a form that so few others have can be told by the form alone


def describe(
    clips: pd.DataFrame,
    partition: pd.Series,
    rejected: pd.DataFrame,
    mended: pd.DataFrame,
    found: Duplicates,
    unlabelled: pd.DataFrame,
) -> dict:
    """Count what came in, what was left out and what the classes are made of.

    Args:
        clips: the catalogue after merging and folds (columns `tables.CLIPS`).
        partition: train, val, test or unused of each clip, on its index.
        rejected: everything that was left out (columns `tables.REJECTED`).
        mended: what was not taken as it is (columns `tables.MENDED`).
        found: the duplicates among all clips, those included that were left out because of them.
        unlabelled: clips without labels (columns `tables.SPLIT`).

    Returns:
        Ready for JSON: clips, recordings and seconds in all, of each partition and of each class; clips by sample rate
        and by channels; what was rejected and mended by kind; the clips that have an exact or a near duplicate, and
        how many were left out for it; the imbalance ratio, the largest over the smallest class's training clips (null
        where a class has none); warnings. All of these are of labelled clips alone, but for what was mended.
        `unlabelled` has the clips, recordings and seconds that may be learned and those that are left out because they
        share sound with held-out recordings, and what was rejected by kind.
    """
    apart = rejected.label == UNLABELLED
    unlabelled_rejected, rejected = rejected[apart], rejected[~apart]
    among_labelled = ~found.pairs[["clip_id", "twin"]].isin(set(unlabelled.clip_id)).any(axis=1)
    found = Duplicates(found.pairs[among_labelled])
    clips = clips.assign(partition=partition)
    training = clips.label[clips.partition == "train"].value_counts().reindex(clips.label.unique(), fill_value=0)
    kinds = _counts(rejected.kind)
    return {
        **_amounts(clips),
        "partitions": {name: _amounts(clips[clips.partition == name]) for name in PARTITIONS},
        "classes": {
            label: _amounts(own) | {"partitions": {name: _amounts(own[own.partition == name]) for name in PARTITIONS}}
            for label, own in clips.groupby("label")
        },
        "sample_rates": _counts(clips.sample_rate),
        "channels": _counts(clips.channels),
        "rejected": kinds,
        "mended": _counts(mended.kind),
        "duplicates": {
            "exact": sum(map(len, found.groups("exact"))),
            "near": sum(map(len, found.groups("near"))),
            "left_out": sum(kinds.get(kind, 0) for kind in (TWO_LABELS, TWO_FOLDS)),
        },
        "unlabelled": {
            "train": _amounts(unlabelled[unlabelled.partition == "train"]),
            "left_out": _amounts(unlabelled[unlabelled.partition == "unused"]),
            "rejected": _counts(unlabelled_rejected.kind),
        },
        "imbalance_ratio": round(float(training.max() / training.min()), 2) if training.min() > 0 else None,
        "warnings": _warnings(clips),
    }


def _amounts(clips: pd.DataFrame) -> dict:
    return {
        "clips": len(clips),
        "recordings": int(clips.source_id.nunique()),
        "seconds": round(float(clips.seconds.sum()), 1),
    }


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(value): int(n) for value, n in values.value_counts().sort_index().items()}


def _warnings(clips: pd.DataFrame) -> list[str]:
    """What makes a class's scores doubtful, a line each."""
    folds = clips.fold.nunique()
    lines = []
    for label, own in clips.groupby("label"):
        recordings = own.source_id.nunique()
        train = own[own.partition == "train"]
        if recordings == 1:
            lines.append(f"{label}: all {len(own)} clips come from one recording, so it cannot be trained and tested")
        elif recordings < folds:
            lines.append(f"{label}: {recordings} recordings for {folds} folds, so some folds hold nothing of it")
        lines += [f"{label}: no {name} clip" for name in ("train", "test") if not (own.partition == name).any()]
        if train.source_id.nunique() > 1:
            source, most = next(train.source_id.value_counts().items())
            if most > len(train) / 2:
                lines.append(f"{label}: {most} of {len(train)} training clips come from one recording ({source})")
        lines += _telltales(clips, label)
    return lines


def _telltales(clips: pd.DataFrame, label: str) -> list[str]:
    """A form that a class has nearly to itself: a classifier may learn the form instead of the sound."""
    own = clips.label == label
    lines = []
    for column, unit in (("sample_rate", "Hz"), ("channels", "channel(s)")):
        form = clips[column][own].mode().iloc[0]
        has = (clips[column] == form).to_numpy()
        if not own.all() and np.mean(has[own]) >= TELLTALE and np.mean(has[~own]) <= 1 - TELLTALE:
            lines.append(f"{label}: its clips have {form} {unit} and others have not, which may give the class away")
    return lines
