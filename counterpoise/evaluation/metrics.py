"""The metrics of a classifier: one function each, of predictions and of clips' weights.

The function gives the score itself where every clip weighs 1, and a bootstrap's draws where clips of a recording weigh
as often as it was drawn. Another metric is a function and an entry in METRICS: tables, pictures and verdicts follow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Outcome:
    """What one classifier made of N test clips of K classes.

    Attributes:
        truth: `[N]`, the number of each clip's class.
        predicted: `[N]`, the number of the class that it was taken for.
        classes: K.
        rare: the numbers of the rare classes.
    """

    truth: np.ndarray
    predicted: np.ndarray
    classes: int
    rare: tuple[int, ...]

    @cached_property
    def actual(self) -> np.ndarray:
        """1 at each clip's class: `[N, K]`."""
        return np.eye(self.classes)[self.truth]

    @cached_property
    def taken(self) -> np.ndarray:
        """1 at the class that each clip was taken for: `[N, K]`."""
        return np.eye(self.classes)[self.predicted]

    @cached_property
    def right(self) -> np.ndarray:
        """1 at the class of each clip that was taken for its own: `[N, K]`."""
        return self.actual * self.taken


Function = Callable[[Outcome, np.ndarray], np.ndarray]  # of weights [B, N] to scores [B]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a classifier is; larger is better.

    Attributes:
        title: what people read.
        column: what stands above it in a narrow table.
        function: of an outcome and of weights `[B, N]`, to `[B]`.
        headline: the answer is about it: it has intervals in tables, verdicts and a panel in pictures.
        of_rare: it rests on the rare classes alone, and does not exist where none is rare.
    """

    title: str
    column: str
    function: Function
    headline: bool = False
    of_rare: bool = False


def recalls(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Recall of each class, `[B, K]`; 0 where no clip of it has weight."""
    clips = weights @ outcome.actual
    return (weights @ outcome.right) / np.where(clips > 0, clips, 1)


def macro_f1(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean F1 over all classes; that of a class that is never predicted is 0."""
    total = weights @ outcome.actual + weights @ outcome.taken
    return (2 * (weights @ outcome.right) / np.where(total > 0, total, 1)).mean(axis=1)


def rare_recall(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the rare classes."""
    return recalls(outcome, weights)[:, list(outcome.rare)].mean(axis=1)


def balanced_accuracy(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have clips."""
    return recalls(outcome, weights).sum(axis=1) / (weights @ outcome.actual > 0).sum(axis=1)


def accuracy(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Share of clips that are right."""
    return (weights @ outcome.right).sum(axis=1) / weights.sum(axis=1)


METRICS = {
    "rare_recall": Metric("rare recall", "rare recall", rare_recall, headline=True, of_rare=True),
    "macro_f1": Metric("macro-F1", "macro-F1", macro_f1, headline=True),
    "balanced_accuracy": Metric("balanced accuracy", "bal.\nacc.", balanced_accuracy),
    "accuracy": Metric("accuracy", "acc.", accuracy),
}
HEADLINES = tuple(name for name, metric in METRICS.items() if metric.headline)


def known(rare: bool) -> list[str]:
    """The metrics that there are, with or without rare classes."""
    return [name for name, metric in METRICS.items() if rare or not metric.of_rare]


def title(name: str) -> str:
    """A metric as people read it, that of a single class (`recall/<label>`) and of generated sounds, too."""
    if name in METRICS:
        return METRICS[name].title
    return name.replace("_", " ").replace("/", " of ")


def is_recall(name: str) -> bool:
    """Whether it is the recall of a single class, `recall/<label>`."""
    return name.startswith("recall/")
