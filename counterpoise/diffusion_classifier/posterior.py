"""From denoisers' losses to the classes' log-likelihoods: arithmetic on what the stage `denoiser_losses` kept."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.optimize
import scipy.special

# Standard deviations of what `fitted` may add to `standard`, on a logarithmic scale for the levels' weights. They keep
# a fit on few validation clips near where it began.
SPREAD_OF_SCALE, SPREAD_OF_LEVEL, SPREAD_OF_OFFSET = 1.0, 0.5, 1.0


@dataclass(frozen=True)
class Calibration:
    """A class's log-likelihood is its offset minus the weighted sum of its losses, up to what all classes share.

    Attributes:
        weights: of the L noise levels, `[L]`, not negative.
        offsets: of the K classes, `[K]`, nats.
    """

    weights: np.ndarray
    offsets: np.ndarray

    def log_likelihoods(self, losses: np.ndarray) -> np.ndarray:
        """Of losses `[N, K, L, D]`: `[N, K]`, each row normalised as if all classes were equally frequent."""
        return scipy.special.log_softmax(self.offsets - apart(losses) @ self.weights, axis=1)


def apart(losses: np.ndarray) -> np.ndarray:
    """How far each class's loss, a mean over draws, lies above the mean over classes: `[N, K, L, D]` to `[N, K, L]`."""
    means = losses.mean(axis=3)
    return means - means.mean(axis=1, keepdims=True)


def calibrate(
    how: Literal["likelihood", "standard", "fitted"],
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

    standard: every level is divided by the standard deviation of its losses :func:`apart`, and all count the same; no
    label is looked at. Where classes have normalisers of their own, a level means nothing without the change of
    variables; then the bound as a whole is divided by its standard deviation, once for each level.

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
    change = volumes.mean() - volumes
    if how == "likelihood":
        return Calibration(elements * steps(sigmas), elements * change)
    if not len(losses):
        raise ValueError(f"calibration {how!r} needs validation clips")
    standard = _standard(losses, sigmas, change)
    return standard if how == "standard" else _fitted(apart(losses), truth, standard)


def _standard(losses: np.ndarray, sigmas: list[float], change: np.ndarray) -> Calibration:
    if np.ptp(change) > 0:
        bound = change - apart(losses) @ steps(sigmas)
        scale = len(sigmas) / (bound.std() or 1)
        return Calibration(scale * steps(sigmas), scale * change)
    spread = apart(losses).std(axis=(0, 1))
    return Calibration(1 / np.where(spread > 0, spread, 1), change)


def steps(sigmas: list[float]) -> np.ndarray:
    """The trapezoidal rule's weights over ln(sigma), `[L]`; a single level has 1."""
    if len(sigmas) == 1:
        return np.ones(1)
    widths = np.diff(np.log(sigmas))
    return np.concatenate([[0], widths]) / 2 + np.concatenate([widths, [0]]) / 2


def _fitted(losses: np.ndarray, truth: np.ndarray, standard: Calibration) -> Calibration:
    """A maximum a posteriori fit, which is smooth and has few parameters: L-BFGS finds it."""
    clips, classes, levels = losses.shape
    amounts = np.bincount(truth, minlength=classes)
    each = clips / np.count_nonzero(amounts) / amounts[truth]  # every class counts the same, the mean is 1

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return standard.weights * np.exp(x[0] + x[1 : 1 + levels]), np.exp(x[0]) * standard.offsets + x[1 + levels :]

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights, offsets = unpack(x)
        log_p = scipy.special.log_softmax(offsets - losses @ weights, axis=1)
        wrong = np.exp(log_p) - np.eye(classes)[truth]  # gradient by the logits
        by_level = -np.einsum("n,nk,nkl->l", each, wrong, losses) * weights
        spreads = np.concatenate(
            [[SPREAD_OF_SCALE], np.full(levels, SPREAD_OF_LEVEL), np.full(classes, SPREAD_OF_OFFSET)]
        )
        by_scale = by_level.sum() + np.exp(x[0]) * (each @ wrong) @ standard.offsets
        gradient = np.concatenate([[by_scale], by_level, each @ wrong])
        loss = -(each * log_p[np.arange(clips), truth]).sum() + 0.5 * ((x / spreads) ** 2).sum()
        return float(loss), gradient + x / spreads**2

    found = scipy.optimize.minimize(objective, np.zeros(1 + levels + classes), jac=True, method="L-BFGS-B")
    return Calibration(*unpack(found.x))
