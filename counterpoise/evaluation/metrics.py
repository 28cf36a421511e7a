"""The metrics of a classifier: one function each, of predictions and of clips' weights.

The function gives the score itself where every clip weighs 1, and a bootstrap's draws where clips of a recording weigh
as often as it was drawn. Another metric is a function and an entry in METRICS: tables, pictures and verdicts follow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """N clips from the most probable of one class to the least probable, P of them of that class.

    Attributes:
        clips: `[N]`, the clips' numbers in that order.
        own: `[P]`, the places in it of the class's own clips.
        ends: `[P]`, for each of these, the last place with the same probability.
        own_ends: `[P]`, for each of these, the last of `own` with the same probability.
    """

    clips: np.ndarray
    own: np.ndarray
    ends: np.ndarray
    own_ends: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """What one classifier made of N test clips of K classes.

    Attributes:
        truth: `[N]`, the number of each clip's class.
        predicted: `[N]`, the number of the class that it was taken for.
        probabilities: float64 `[N, K]`, of each class.
        classes: K.
        rare: the numbers of the rare classes.
    """

    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
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

    @cached_property
    def rankings(self) -> list[Ranking]:
        """The clips sorted by their probability of each class: K rankings."""
        found = []
        for k, probability in enumerate(self.probabilities.T):
            clips = np.argsort(-probability, kind="stable")
            falling = -probability[clips]
            own = np.flatnonzero(self.truth[clips] == k)
            ends = np.searchsorted(falling, falling[own], side="right") - 1
            found.append(Ranking(clips, own, ends, np.searchsorted(own, ends, side="right") - 1))
        return found


Function = Callable[[Outcome, np.ndarray], np.ndarray]  # of weights [B, N] to scores [B]


@dataclass(frozen=True)
class Metric:
    """A number that says how good a classifier is; larger is better.

    Attributes:
        title: what people read.
        column: what stands above it in a narrow table.
        function: of an outcome and of weights `[B, N]`, to `[B]`; in OF_CLASS to `[B, K]`.
        headline: the answer is about it: it has intervals in tables, verdicts and a panel in pictures.
        of_rare: it rests on the rare classes alone, and does not exist where none is rare.
        in_terminal: it has a column in the terminal's table of scores, which is 80 characters wide.
    """

    title: str
    column: str
    function: Function
    headline: bool = False
    of_rare: bool = False
    in_terminal: bool = True


def recalls(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Recall of each class, `[B, K]`; 0 where no clip of it has weight."""
    clips = weights @ outcome.actual
    return (weights @ outcome.right) / np.where(clips > 0, clips, 1)


def macro_f1(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean of all classes' F1, the first of the two that Opitz and Burst compare ("Macro F1 and Macro F1", 2019).

    That of a class that is never predicted is 0.
    """
    total = weights @ outcome.actual + weights @ outcome.taken
    return (2 * (weights @ outcome.right) / np.where(total > 0, total, 1)).mean(axis=1)


def average_precisions(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Average precision (AP) of each class, `[B, K]`; 0 where no clip of it has weight.

    A class's clips are searched for among all, from the most probable to the least. AP is the mean of the precision at
    each of them. Clips of equal probability are found at once. It is the sum of steps that scikit-learn's
    `average_precision_score` computes; straight lines between the steps would flatter (Davis and Goadrich, "The
    Relationship Between Precision-Recall and ROC Curves", ICML 2006).
    """
    found = np.zeros((len(weights), outcome.classes))
    for k, ranking in enumerate(outcome.rankings):
        ranked = weights[:, ranking.clips]
        own = ranked[:, ranking.own]
        hits, searched = own.cumsum(axis=1)[:, ranking.own_ends], ranked.cumsum(axis=1)[:, ranking.ends]
        precision, total = hits / np.where(searched > 0, searched, 1), own.sum(axis=1)
        found[:, k] = (own * precision).sum(axis=1) / np.where(total > 0, total, 1)
    return found


def mean_ap(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean average precision over all classes; that of a class without clips is 0."""
    return average_precisions(outcome, weights).mean(axis=1)


def rare_ap(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean average precision of the rare classes."""
    return average_precisions(outcome, weights)[:, list(outcome.rare)].mean(axis=1)


def rare_recall(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the rare classes.

    It is no headline: a classifier that only guesses rare classes more often has a higher one, though it tells them
    from others no better. Average precision depends on the order of the clips, which such a shift hardly changes.
    """
    return recalls(outcome, weights)[:, list(outcome.rare)].mean(axis=1)


def balanced_accuracy(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have clips."""
    return recalls(outcome, weights).sum(axis=1) / (weights @ outcome.actual > 0).sum(axis=1)


def accuracy(outcome: Outcome, weights: np.ndarray) -> np.ndarray:
    """Share of clips that are right."""
    return (weights @ outcome.right).sum(axis=1) / weights.sum(axis=1)


METRICS = {
    "macro_f1": Metric("macro-F1", "macro-F1", macro_f1, headline=True),
    "rare_ap": Metric("rare AP", "rare AP", rare_ap, headline=True, of_rare=True),
    "mean_ap": Metric("mean AP", "mean\nAP", mean_ap),
    "rare_recall": Metric("rare recall", "rare\nrecall", rare_recall, of_rare=True),
    "balanced_accuracy": Metric("balanced accuracy", "bal.\nacc.", balanced_accuracy),
    "accuracy": Metric("accuracy", "acc.", accuracy, in_terminal=False),
}
OF_CLASS = {  # of single classes: `recall/<label>` and the like
    "recall": Metric("recall", "recall", recalls),
    "ap": Metric("average precision", "AP", average_precisions),
}
HEADLINES = tuple(name for name, metric in METRICS.items() if metric.headline)


def known(rare: bool) -> list[str]:
    """The metrics that there are, with or without rare classes."""
    return [name for name, metric in METRICS.items() if rare or not metric.of_rare]


def of_class(labels: list[str]) -> list[str]:
    """The names of all metrics of single classes: `recall/<label>` of each label, then `ap/<label>`."""
    return [f"{kind}/{label}" for kind in OF_CLASS for label in labels]


def title(name: str) -> str:
    """A metric as people read it, that of a single class (`recall/<label>`) and of generated sounds, too."""
    if name in METRICS:
        return METRICS[name].title
    kind, _, label = name.partition("/")
    words = f"{OF_CLASS[kind].title} of {label}" if kind in OF_CLASS else name
    return words.replace("_", " ")


def is_recall(name: str) -> bool:
    """Whether it is the recall of a single class, `recall/<label>`."""
    return name.startswith("recall/")
