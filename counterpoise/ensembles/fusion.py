"""Put classifiers together: a weighted sum of their log-likelihoods, and a prior.

A classifier's log-probability less the logarithm of its training prior is a log-likelihood, up to what all classes
share (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021, section 4.1: that is their post-hoc
adjustment). Log-likelihoods of classifiers that err independently add up (Hinton, "Training Products of Experts by
Minimizing Contrastive Divergence", 2002, section 2).
"""

from collections.abc import Sequence

import numpy as np
import scipy.optimize
import scipy.special

LEAST = 1e-12  # probability below which a network's answer is rounding
SPREAD = 1.0  # of ln(weight), a priori: keeps a fit on few clips near weights of 1


def log_likelihoods(probabilities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """A classifier's probabilities `[N, K]` with its training prior `[K]` divided out: `[N, K]`, rows normalised."""
    return scipy.special.log_softmax(np.log(np.maximum(probabilities, LEAST)) - np.log(prior), axis=1)


def combine(members: Sequence[np.ndarray], weights: Sequence[float], prior: np.ndarray) -> np.ndarray:
    """The probabilities `[N, K]` that members' log-likelihoods `[N, K]` have together, with a prior `[K]`."""
    total = np.sum([weight * member for weight, member in zip(weights, members, strict=True)], axis=0)
    return scipy.special.softmax(total + np.log(prior), axis=1)


def fit(members: Sequence[np.ndarray], truth: np.ndarray) -> list[float]:
    """The weights that make held-out labels most probable, each class counting the same.

    A normal prior of ln(weight) around 0 keeps few clips from saying too much.

    Args:
        members: M log-likelihoods of N validation clips, `[N, K]`.
        truth: their classes' numbers, `[N]`.

    Raises:
        ValueError: there are no clips.
    """
    if not len(truth):
        raise ValueError("weights cannot be fitted without validation clips")
    stacked = np.stack(members, axis=2)  # [N, K, M]
    clips, classes, parts = stacked.shape
    amounts = np.bincount(truth, minlength=classes)
    each = clips / np.count_nonzero(amounts) / amounts[truth]

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        weights = np.exp(x)
        log_p = scipy.special.log_softmax(stacked @ weights, axis=1)
        wrong = np.exp(log_p) - np.eye(classes)[truth]
        gradient = np.einsum("n,nk,nkm->m", each, wrong, stacked) * weights
        loss = -(each * log_p[np.arange(clips), truth]).sum() + 0.5 * ((x / SPREAD) ** 2).sum()
        return float(loss), gradient + x / SPREAD**2

    found = scipy.optimize.minimize(objective, np.zeros(parts), jac=True, method="L-BFGS-B")
    return np.exp(found.x).tolist()
