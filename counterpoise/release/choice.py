"""Which of the trained networks is given away. Validation clips alone decide; test clips are never asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.arms.arm import BASELINE
from counterpoise.evaluation.metrics import Outcome, macro_f1, mean_ap

Run = tuple[str, str, int]  # arm, model, seed
REACHED = 95  # %, of validation clips, whose confidence reaches the threshold
DIGITS = 9  # of scores that are compared; what lies behind is rounding


@dataclass(frozen=True)
class Choice:
    """A network, and what validation clips say of it.

    Attributes:
        arm, model, seed: which it is.
        mean_ap, macro_f1: on validation clips, of this seed alone; None where there are none.
        threshold: the confidence that REACHED % of validation clips have or exceed; None where there are none.
        clips: how many validation clips there are.
    """

    arm: str
    model: str
    seed: int
    mean_ap: float | None
    macro_f1: float | None
    threshold: float | None
    clips: int


def choose(runs: Sequence[Run], said: Mapping[Run, np.ndarray], truth: np.ndarray) -> Choice:
    """The best network on validation clips.

    First an arm with a model is chosen, by the mean over its seeds: the highest mean average precision, then the
    highest macro-F1, then the first name. Of its seeds the best is taken in the same way, at last the lowest.

    Where there are no validation clips nothing is known of the networks. Then it is the arm `none`, or the first one
    if that was not trained, with the first model and the first seed.

    Args:
        runs: all that were trained, in the order of params.yaml.
        said: by run, the probabilities `[N, K]` of N validation clips; unused without clips.
        truth: the numbers of their classes, `[N]`.
    """
    if not len(truth):
        arm, model, seed = next((run for run in runs if run[0] == BASELINE), runs[0])
        return Choice(arm, model, seed, None, None, None, 0)
    scores = {run: _scores(said[run], truth) for run in runs}
    groups: dict[tuple[str, str], list[np.ndarray]] = {}
    for (arm, model, _), score in scores.items():
        groups.setdefault((arm, model), []).append(score)
    arm, model = min(groups, key=lambda name: (*_falling(np.mean(groups[name], axis=0)), name))
    own = {seed: score for (one, other, seed), score in scores.items() if (one, other) == (arm, model)}
    seed = min(own, key=lambda number: (*_falling(own[number]), number))
    best_ap, best_f1 = (float(score) for score in own[seed])
    return Choice(arm, model, seed, best_ap, best_f1, threshold(said[arm, model, seed]), len(truth))


def threshold(said: np.ndarray) -> float:
    """The confidence that at least REACHED % of N clips have, rounded down to four digits.

    The confidence is the largest probability as the network gives it, with its training prior in it, because that is
    the number that people see.

    Args:
        said: `[N, K]`, of one clip or more.
    """
    confidence = np.sort(said.max(axis=1))
    below = len(confidence) * (100 - REACHED) // 100  # clips that may miss it
    return float(np.floor(confidence[below] * 1e4) / 1e4)


def _scores(said: np.ndarray, truth: np.ndarray) -> np.ndarray:
    outcome = Outcome(truth, said.argmax(axis=1), said, said.shape[1], ())
    each = np.ones((1, len(truth)))
    return np.array([mean_ap(outcome, each)[0], macro_f1(outcome, each)[0]])


def _falling(scores: np.ndarray) -> tuple[float, ...]:
    return tuple(-round(float(score), DIGITS) for score in scores)
