"""Scores of the classifiers on the test split, their means over seeds, and what the seeds allow one to say.

A *run* is one trained classifier: a model, an arm and a seed. Everything here follows from one tidy
table, PREDICTIONS, with a row for each run and test clip.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

PREDICTIONS = {
    "clip_id": "str",
    "label": "str",  # the true class's slug
    "model": "str",
    "arm": "str",
    "seed": "int64",
    "predicted": "str",
    "true_probability": "float64",  # what the classifier gave the true class
}
METRICS = ("macro_f1", "rare_recall", "balanced_accuracy", "accuracy")


def predictions(
    clips: pd.DataFrame, probabilities: np.ndarray, labels: list[str], model: str, arm: str, seed: int
) -> pd.DataFrame:
    """The table PREDICTIONS of one run.

    Args:
        clips: the N test clips, with the columns `clip_id` and `label`.
        probabilities: `[N, K]`, in the order of the clips and of `labels`.
        labels: the K classes' slugs.

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
            "model": model,
            "arm": arm,
            "seed": seed,
            "predicted": np.array(labels)[probabilities.argmax(axis=1)],
            "true_probability": probabilities[np.arange(len(clips)), true_column],
        }
    )
    return frame.astype(PREDICTIONS)


def scores(truth: Iterable[str], predicted: Iterable[str], labels: list[str]) -> dict:
    """Compare N predictions with the truth.

    A class that is never predicted has precision and F1 of 0. Macro-F1 is the mean over all `labels`; balanced
    accuracy is the mean recall of those labels that occur in the truth.

    Returns:
        `macro_f1`, `balanced_accuracy`, `accuracy`, `per_class` {label: {precision, recall, f1, support}}, and
        `confusion` `[K, K]`: clips of the row's class that were taken for the column's class.

    Raises:
        ValueError: there is nothing to score, the lengths differ, or a label is not one of `labels`.
    """
    truth, predicted = list(truth), list(predicted)
    if not truth or len(truth) != len(predicted):
        raise ValueError(f"{len(truth)} true labels and {len(predicted)} predictions: expected as many, and at least 1")
    _only_known(truth, labels)
    _only_known(predicted, labels)
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0)
    confusion = confusion_matrix(truth, predicted, labels=labels)
    return {
        "macro_f1": float(f1.mean()),
        "balanced_accuracy": float(recall[support > 0].mean()),
        "accuracy": float(np.trace(confusion) / len(truth)),
        "per_class": {
            label: {
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
                "support": int(support[i]),
            }
            for i, label in enumerate(labels)
        },
        "confusion": confusion.tolist(),
    }


def _only_known(values: Iterable[str], labels: list[str]) -> None:
    unknown = sorted(set(values) - set(labels))
    if unknown:
        raise ValueError(f"unknown label(s) {', '.join(unknown)}; the classes are {', '.join(labels)}")


def score_runs(table: pd.DataFrame, labels: list[str]) -> list[dict]:
    """Score every run in a table PREDICTIONS: a list of {model, arm, seed, scores}, in the table's order."""
    return [
        {"model": model, "arm": arm, "seed": int(seed), "scores": scores(run.label, run.predicted, labels)}
        for (model, arm, seed), run in table.groupby(["model", "arm", "seed"], sort=False)
    ]


def by_size(train_counts: dict[str, int]) -> list[str]:
    """The labels from the largest class to the smallest; equal ones by name."""
    return sorted(train_counts, key=lambda label: (-train_counts[label], label))


def rare_classes(train_counts: dict[str, int]) -> list[str]:
    """The labels with fewer than half of the largest class's real training clips, in the order of the dict."""
    largest = max(train_counts.values())
    return [label for label, clips in train_counts.items() if clips < largest / 2]


def summarise(results: list[dict], train_counts: dict[str, int]) -> dict[str, dict]:
    """Three views of the same runs, ready for JSON; each key is a good file name.

    Args:
        results: what :func:`score_runs` returns; every run has scores of the same labels.
        train_counts: the real training clips of each label.

    Returns:
        `summary` {model: {arm: {metric: mean over seeds}}} with the METRICS; where no class is rare there is no
        `rare_recall`. `per_class` {model: {arm: {label: {recall, precision, f1}}}}, means over seeds. `seeds`
        {labels, train_clips, rare, runs}: every run's own numbers and confusion matrix, in the order of `labels`.
    """
    labels = list(results[0]["scores"]["per_class"])
    rare = rare_classes(train_counts)
    runs = [_run(result, rare) for result in results]
    summary, per_class = {}, {}
    for model, arm in dict.fromkeys((run["model"], run["arm"]) for run in runs):
        same = [run for run in runs if (run["model"], run["arm"]) == (model, arm)]
        summary.setdefault(model, {})[arm] = {
            metric: _mean([run[metric] for run in same]) for metric in METRICS if metric in same[0]
        }
        per_class.setdefault(model, {})[arm] = {
            label: {
                metric: _mean([run["per_class"][label][metric] for run in same])
                for metric in ("recall", "precision", "f1")
            }
            for label in labels
        }
    seeds = {
        "labels": labels,
        "train_clips": {label: int(train_counts[label]) for label in labels},
        "rare": rare,
        "runs": runs,
    }
    return {"summary": summary, "per_class": per_class, "seeds": seeds}


def _run(result: dict, rare: list[str]) -> dict:
    """One run as seeds.json holds it: flat, rounded, with the mean recall of the rare classes."""
    own = result["scores"]
    numbers = {metric: own[metric] for metric in METRICS if metric in own}
    if rare:
        numbers["rare_recall"] = float(np.mean([own["per_class"][label]["recall"] for label in rare]))
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


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 4)


def paired_difference(runs: list[dict], arm: str, baseline: str, metric: str = "macro_f1") -> dict:
    """How much better than the baseline an arm is, over the seeds that both were trained with.

    The interval is Student's 95 % interval of the mean of the paired differences, t(n - 1) · SD / sqrt(n): with
    three seeds t is 4.3, where the normal's 1.96 would cover the true mean only four times in five.

    Args:
        runs: runs of one model, as in `seeds["runs"]` of :func:`summarise`.

    Returns:
        `mean`; `half_width` of the interval, None below two seeds; `seed_sd`, the larger of both arms' standard
        deviations over these seeds, None below two; `seeds`, their number; `verdict`: "better" or "worse", or
        "cannot tell" where the interval holds 0 or the mean is smaller than `seed_sd`.

    Raises:
        ValueError: the two arms share no seed.
    """
    of_arm, of_baseline = ({run["seed"]: run[metric] for run in runs if run["arm"] == name} for name in (arm, baseline))
    shared = sorted(of_arm.keys() & of_baseline.keys())
    if not shared:
        raise ValueError(f"the arms {arm!r} and {baseline!r} share no seed; add seeds to both and run `dvc repro`")
    pairs = np.array([[of_arm[seed], of_baseline[seed]] for seed in shared])
    differences = pairs[:, 0] - pairs[:, 1]
    mean, n = float(differences.mean()), len(shared)
    if n == 1:
        return {"mean": mean, "half_width": None, "seed_sd": None, "seeds": 1, "verdict": "cannot tell"}
    half_width = float(stats.t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    seed_sd = float(pairs.std(axis=0, ddof=1).max())
    verdict = "better" if mean > 0 else "worse"
    if abs(mean) <= max(half_width, seed_sd):
        verdict = "cannot tell"
    return {"mean": mean, "half_width": half_width, "seed_sd": seed_sd, "seeds": n, "verdict": verdict}
