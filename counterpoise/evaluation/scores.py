"""Scores of the classifiers on the test split, their means over seeds, and where and how surely they err.

A *run* is one trained classifier: a model, an arm and a seed. Everything here follows from one tidy table,
:func:`columns`, with a row for each run and test clip.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from counterpoise.arms.arm import BASELINE
from counterpoise.core import tables
from counterpoise.evaluation import metrics
from counterpoise.evaluation.metrics import METRICS, Outcome

PREDICTIONS = {  # followed by the probability of every class: `columns`
    "clip_id": "str",
    "label": "str",  # the true class's slug
    "source_id": "str",  # the recording
    "fold": "int64",  # the test fold
    "model": "str",
    "arm": "str",
    "seed": "int64",
    "predicted": "str",
    "true_probability": "float64",  # what the classifier gave the true class
    "confidence": "float64",  # what it gave the class that it predicted
}
OF_CLASS = ("recall", "precision", "f1", "ap")  # scores of a single class
BINS = 15  # of confidence, equally wide
PAIRS, CLIPS = 5, 10  # how many confused pairs and clips are named


def columns(labels: list[str]) -> dict[str, str]:
    """The columns of a table of predictions: PREDICTIONS, then `probability/<label>` for each class.

    Write it with `tables.write(table, path, exact=True)`. Six digits would make ties of probabilities near 1, and
    average precision counts ties.
    """
    return {**PREDICTIONS, **dict.fromkeys(_probabilities(labels), "float64")}


def _probabilities(labels: list[str]) -> list[str]:
    return [tables.PROBABILITY + label for label in labels]


def predictions(
    clips: pd.DataFrame, probabilities: np.ndarray, labels: list[str], model: str, arm: str, seed: int, fold: int
) -> pd.DataFrame:
    """The table of predictions of one run, as :func:`columns` says.

    Args:
        clips: the N test clips, with the columns `clip_id`, `label` and `source_id`.
        probabilities: `[N, K]`, in the order of the clips and of `labels`.
        labels: the K classes' slugs.
        model, arm, seed: the run.
        fold: the test fold.

    Raises:
        ValueError: the shapes do not fit, or a clip's label is not one of `labels`.
    """
    if probabilities.shape != (len(clips), len(labels)):
        raise ValueError(
            f"probabilities are {list(probabilities.shape)}; expected [{len(clips)} clips, {len(labels)} classes]"
        )
    _only_known(clips.label, labels)
    true_column = [labels.index(label) for label in clips.label]
    frame = pd.DataFrame(
        {
            "clip_id": clips.clip_id.to_numpy(),
            "label": clips.label.to_numpy(),
            "source_id": clips.source_id.to_numpy(),
            "fold": fold,
            "model": model,
            "arm": arm,
            "seed": seed,
            "predicted": np.array(labels)[probabilities.argmax(axis=1)],
            "true_probability": probabilities[np.arange(len(clips)), true_column],
            "confidence": probabilities.max(axis=1),
            **dict(zip(_probabilities(labels), probabilities.T, strict=True)),
        }
    )
    return frame.astype(columns(labels))


def outcome(run: pd.DataFrame, labels: list[str], rare: Collection[str]) -> Outcome:
    """What a run made of its N clips, as :mod:`counterpoise.evaluation.metrics` wants it.

    Args:
        run: rows of a table of predictions, of one run.
        labels: the K classes' slugs.
        rare: those that are rare.

    Raises:
        ValueError: there is nothing to score, or a label is not one of `labels`.
    """
    if run.empty:
        raise ValueError("no predictions: expected at least 1")
    _only_known([*run.label, *run.predicted, *rare], labels)
    number = pd.Index(labels)
    truth, predicted = number.get_indexer(run.label), number.get_indexer(run.predicted)
    probabilities = run[_probabilities(labels)].to_numpy(float)
    return Outcome(truth, predicted, probabilities, len(labels), tuple(labels.index(label) for label in rare))


def scores(run: pd.DataFrame, labels: list[str], rare: Collection[str] = ()) -> dict[str, Any]:
    """Compare a run's predictions with the truth.

    Args:
        run, labels, rare: as for :func:`outcome`.

    Returns:
        Every metric of METRICS (those of rare classes where there are some), `per_class` {label: {recall, precision,
        f1, ap, support}}, where a class that is never predicted has a precision and an F1 of 0, and `confusion`
        `[K, K]`: clips of the row's class that were taken for the column's class.

    Raises:
        ValueError: as :func:`outcome`.
    """
    found = outcome(run, labels, rare)
    once = np.ones((1, len(run)))
    ap = metrics.average_precisions(found, once)[0]
    precision, recall, f1, support = precision_recall_fscore_support(
        run.label, run.predicted, labels=labels, zero_division=0
    )
    return {
        **{name: float(METRICS[name].function(found, once)[0]) for name in metrics.known(bool(rare))},
        "per_class": {
            label: {
                "recall": float(recall[i]),
                "precision": float(precision[i]),
                "f1": float(f1[i]),
                "ap": float(ap[i]),
                "support": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion": confusion_matrix(run.label, run.predicted, labels=labels).tolist(),
    }


def _only_known(values: Iterable[str], labels: list[str]) -> None:
    unknown = sorted(set(values) - set(labels))
    if unknown:
        raise ValueError(f"unknown label(s) {', '.join(unknown)}; the classes are {', '.join(labels)}")


def score_runs(table: pd.DataFrame, labels: list[str], rare: Collection[str]) -> list[dict]:
    """Score every run in a table of predictions: a list of {model, arm, seed, scores}, in the table's order."""
    return [
        {"model": model, "arm": arm, "seed": int(seed), "scores": scores(run, labels, rare)}
        for (model, arm, seed), run in table.groupby(["model", "arm", "seed"], sort=False)
    ]


def by_size(train_counts: dict[str, int]) -> list[str]:
    """The labels from the largest class to the smallest; equal ones by name."""
    return sorted(train_counts, key=lambda label: (-train_counts[label], label))


def summarise(results: list[dict], train_counts: dict[str, int], rare: list[str]) -> dict[str, dict]:
    """Three views of the same runs, ready for JSON; each key is a good file name.

    Args:
        results: what :func:`score_runs` returns; every run has scores of the same labels.
        train_counts: the real training clips of each label.
        rare: the rare classes.

    Returns:
        `summary` {model: {arm: {metric: mean over seeds}}} with the METRICS, those of rare classes where there are
        some. `per_class` {model: {arm: {label: {recall, precision, f1, ap}}}}, means over seeds. `seeds` {labels,
        train_clips, rare, runs}: every run's own numbers and confusion matrix, in the order of `labels`.
    """
    labels = list(results[0]["scores"]["per_class"])
    runs = [_run(result) for result in results]
    summary, per_class = {}, {}
    for model, arm in dict.fromkeys((run["model"], run["arm"]) for run in runs):
        same = [run for run in runs if (run["model"], run["arm"]) == (model, arm)]
        summary.setdefault(model, {})[arm] = {
            metric: _mean([run[metric] for run in same]) for metric in METRICS if metric in same[0]
        }
        per_class.setdefault(model, {})[arm] = {
            label: {metric: _mean([run["per_class"][label][metric] for run in same]) for metric in OF_CLASS}
            for label in labels
        }
    seeds = {
        "labels": labels,
        "train_clips": {label: int(train_counts[label]) for label in labels},
        "rare": rare,
        "runs": runs,
    }
    return {"summary": summary, "per_class": per_class, "seeds": seeds}


def _run(result: dict) -> dict:
    """One run as seeds.json holds it: flat and rounded."""
    own = result["scores"]
    numbers = {metric: own[metric] for metric in METRICS if metric in own}
    return {
        "model": result["model"],
        "arm": result["arm"],
        "seed": result["seed"],
        **{metric: round(value, 6) for metric, value in numbers.items()},
        "per_class": {
            label: {metric: round(value, 6) for metric, value in row.items()} for label, row in own["per_class"].items()
        },
        "confusion": own["confusion"],
    }


def _mean(values: Collection[float]) -> float:
    return round(float(np.mean(values)), 4)


def errors(table: pd.DataFrame, paths: Mapping[str, str]) -> dict[str, dict]:
    """Where and how surely the classifiers err, ready for JSON.

    Args:
        table: of predictions.
        paths: the audio file of each clip_id.

    Returns:
        For each model, `arms` and `clips`. For each arm `ece`, the expected calibration error, mean over runs;
        `reliability`, a row for each bin of confidence that holds predictions; `confused`, the most confused pairs,
        each with the share of the actual class's clips that were taken for the other, and its change against the arm
        `none`. `clips` are those most often wrong in all runs, each with how often it was wrong under each arm.
    """
    found = {}
    for model, runs in table.groupby("model", sort=False):
        runs = runs.assign(wrong=runs.label != runs.predicted)
        arms = dict(list(runs.groupby("arm", sort=False)))
        baseline = _confusion(arms[BASELINE]) if BASELINE in arms else None
        found[model] = {
            "arms": {arm: {**_calibration(own), "confused": _confused(own, baseline)} for arm, own in arms.items()},
            "clips": _often_wrong(runs, paths),
        }
    return found


def _calibration(runs: pd.DataFrame) -> dict:
    """Expected calibration error with bins ((m - 1) / M, m / M] (Guo et al., ICML 2017, equation 3) and its table."""
    bins = np.ceil(runs.confidence * BINS).clip(1, BINS).astype(int).rename("bin")
    right = runs.assign(accuracy=1.0 - runs.wrong)
    means = {"clips": ("wrong", "size"), "confidence": ("confidence", "mean"), "accuracy": ("accuracy", "mean")}
    cells = right.groupby(["fold", "seed", bins]).agg(**means)
    gaps = (cells.clips * (cells.accuracy - cells.confidence).abs()).groupby(["fold", "seed"]).sum()
    ece = _mean(gaps / cells.clips.groupby(["fold", "seed"]).sum())
    return {"ece": ece, "reliability": right.groupby(bins).agg(**means).round(4).reset_index().to_dict("records")}


def _confusion(runs: pd.DataFrame) -> pd.Series:
    """By actual and predicted class, the share of the actual class's clips that were taken for another one."""
    clips = runs.groupby("label").size()
    return runs[runs.wrong].groupby(["label", "predicted"]).size().div(clips, level="label")


def _confused(runs: pd.DataFrame, baseline: pd.Series | None) -> list[dict]:
    pairs = _confusion(runs).sort_index().sort_values(ascending=False, kind="stable")[:PAIRS]
    return [
        {
            "actual": actual,
            "predicted": predicted,
            "share": round(share, 4),
            "change": None if baseline is None else round(share - baseline.get((actual, predicted), 0.0), 4),
        }
        for (actual, predicted), share in pairs.items()
    ]


def _often_wrong(runs: pd.DataFrame, paths: Mapping[str, str]) -> list[dict]:
    share = runs.groupby("clip_id").wrong.mean().sort_values(ascending=False, kind="stable")
    worst = []
    for clip_id, wrong in share[share > 0][:CLIPS].items():
        own = runs[runs.clip_id == clip_id]
        clip = own.iloc[0]
        worst.append(
            {
                "clip_id": clip_id,
                "path": paths[clip_id],
                "source_id": clip.source_id,
                "label": clip.label,
                "taken_for": own.predicted[own.wrong].mode()[0],
                "wrong": round(wrong, 4),
                "arms": own.groupby("arm", sort=False).wrong.mean().round(4).to_dict(),
            }
        )
    return worst
