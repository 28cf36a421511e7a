"""From denoisers' losses to the classes' log-likelihoods: arithmetic on what the stage `denoiser_losses` kept."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.optimize
import scipy.special

# Standard deviations of what `fitted` may add to `standard`, on a logarithmic scale for the levels' weights. They keep
# a fit on few validation clips near where it began.
SPREAD_OF_SCALE, SPREAD_OF_LEVEL, SPREAD_OF_OFFSET = 1.0, 0.5, 1.0
How = Literal["likelihood", "standard", "fitted"]


# How much of a clip's own spread of losses is divided out: 0 leaves loud and complex clips to be far surer than others,
# 1 makes every clip as sure as any. Chosen by validation clips of three collections, among 0, 0.5, 0.75 and 1.
EVENNESS = 0.75


@dataclass(frozen=True)
class Calibration:
    """A class's log-likelihood is its offset plus the weighted sum of its evidence, up to what all classes share.

    Attributes:
        how: what the evidence is, see :func:`calibrate`.
        weights: of each piece of evidence, `[L]`, or `[1]` where levels cannot be told apart; not negative.
        offsets: of the K classes, `[K]`, nats.
        rule: the integration weights of the L noise levels, `[L]`.
        change: each class's change of variables beyond the mean of all, `[K]`, nats per element.
    """

    how: How
    weights: np.ndarray
    offsets: np.ndarray
    rule: np.ndarray
    change: np.ndarray

    def log_likelihoods(self, losses: np.ndarray) -> np.ndarray:
        """Of losses `[N, K, L, D]`: `[N, K]`, each row normalised as if all classes were equally frequent."""
        found = evidence(self.how, losses, self.rule, self.change)
        return scipy.special.log_softmax(self.offsets + found @ self.weights, axis=1)


def evidence(how: How, losses: np.ndarray, rule: np.ndarray, change: np.ndarray) -> np.ndarray:
    """What speaks for each class, `[N, K, L]`; `[N, K, 1]` where classes have normalisers of their own.

    Args:
        how: as in :func:`calibrate`.
        losses: `[N, K, L, D]`; the mean over draws counts.
        rule, change: as in :class:`Calibration`.
    """
    means = losses.mean(axis=3)
    found = means.mean(axis=1, keepdims=True) - means
    if how == "likelihood":
        return found
    if np.ptp(change) > 0:  # a level means nothing without the change of variables, which belongs to all of them
        found = (found @ rule + change)[:, :, None]
    spread = found.std(axis=1, keepdims=True)
    return found / np.where(spread > 0, spread, 1) ** EVENNESS


def calibrate(
    how: How,
    losses: np.ndarray,
    truth: np.ndarray,
    sigmas: list[float],
    elements: float,
    volumes: np.ndarray,
) -> Calibration:
    """Choose what a difference of losses counts.

    likelihood: the variational bound itself. The losses are integrated over ln(sigma) by the trapezoidal rule and
    multiplied by the elements of the median clip, so that long clips count no more than short ones; each class's change
    of variables is an offset. Right where denoisers are right, and far too sure where they are not: many probabilities
    are then 1, and average precision counts them as one.

    standard: at every level a clip's losses are taken apart from their mean over classes, and divided by most of their
    spread over classes (EVENNESS), since complex clips have larger losses and no surer classes. Then every level is
    divided by its standard deviation over all clips and classes, and all count the same; no label is looked at. Where
    classes have normalisers of their own, the bound as a whole takes the levels' place.

    fitted: from `standard`, a common scale, a weight for each level and an offset for each class that make the held-out
    labels most probable, each class counting the same; a normal prior keeps all three near `standard`.

    Args:
        losses: of N validation clips, `[N, K, L, D]`; `likelihood` does not look at them.
        truth: their classes' numbers, `[N]`; only `fitted` looks at them.
        sigmas: of the L levels, rising.
        elements: of a clip's latent, channels times frames.
        volumes: from `losses.volumes`, `[K]`.

    Raises:
        ValueError: `standard` or `fitted` without validation clips.
    """
    rule, change, nothing = steps(sigmas), volumes.mean() - volumes, np.zeros(len(volumes))
    if how == "likelihood":
        return Calibration(how, elements * rule, elements * change, rule, change)
    if not len(losses):
        raise ValueError(f"calibration {how!r} needs validation clips")
    found = evidence(how, losses, rule, change)
    spread = found.std(axis=(0, 1))
    weights = len(rule) / found.shape[2] / np.where(spread > 0, spread, 1)
    if how == "standard":
        return Calibration(how, weights, nothing, rule, change)
    return Calibration(how, *_fitted(found, truth, weights), rule, change)


def steps(sigmas: list[float]) -> np.ndarray:
    """The trapezoidal rule's weights over ln(sigma), `[L]`; a single level has 1."""
    if len(sigmas) == 1:
        return np.ones(1)
    widths = np.diff(np.log(sigmas))
    return np.concatenate([[0], widths]) / 2 + np.concatenate([widths, [0]]) / 2


def _fitted(found: np.ndarray, truth: np.ndarray, standard: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and offsets by a maximum a posteriori fit, which is smooth and has few parameters: L-BFGS finds it."""
    clips, classes, levels = found.shape
    amounts = np.bincount(truth, minlength=classes)
    each = clips / np.count_nonzero(amounts) / amounts[truth]  # every class counts the same, the mean is 1
    spreads = np.concatenate([[SPREAD_OF_SCALE], np.full(levels, SPREAD_OF_LEVEL), np.full(classes, SPREAD_OF_OFFSET)])

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return standard * np.exp(x[0] + x[1 : 1 + levels]), x[1 + levels :]

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offsets = unpack(x)
        log_p = scipy.special.log_softmax(offsets + found @ weights, axis=1)
        wrong = np.exp(log_p) - np.eye(classes)[truth]  # gradient by the logits
        by_level = np.einsum("n,nk,nkl->l", each, wrong, found) * weights
        gradient = np.concatenate([[by_level.sum()], by_level, each @ wrong])
        loss = -(each * log_p[np.arange(clips), truth]).sum() + 0.5 * ((x / spreads) ** 2).sum()
        return float(loss), gradient + x / spreads**2

    best = scipy.optimize.minimize(objective, np.zeros(1 + levels + classes), jac=True, method="L-BFGS-B")
    return unpack(best.x)
