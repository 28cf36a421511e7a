"""How well a score tells known from foreign clips: the area under the ROC curve, thresholds, and what they let pass."""

import math

import numpy as np


def order(known: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """Which pairs a score puts in order.

    Args:
        known: scores of N clips of known classes, `[..., N]`; higher is more familiar.
        foreign: scores of M foreign clips, `[..., M]`.

    Returns:
        `[..., N, M]`: 1 where the known clip is the more familiar, 1/2 where both score the same, else 0.
    """
    one, other = known[..., :, None], foreign[..., None, :]
    return (one > other) + 0.5 * (one == other)


def auroc(ordered: np.ndarray, known: np.ndarray, foreign: np.ndarray) -> np.ndarray:
    """The area under the ROC curve: the share of pairs in order, each pair with its clips' weights.

    Hanley & McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic (ROC) Curve", Radiology
    143, 1982. It equals scikit-learn's `roc_auc_score` with `sample_weight`. With all pairs at hand a draw of a
    bootstrap is a product of matrices, and the mean of several pairs' orders gives the mean of their areas.

    Args:
        ordered: from :func:`order`, `[N, M]`.
        known: weights of B draws, `[B, N]`.
        foreign: `[B, M]`.

    Returns:
        `[B]`.
    """
    return np.einsum("bn,nm,bm->b", known, ordered, foreign, optimize=True) / known.sum(axis=1) / foreign.sum(axis=1)


def threshold(known: np.ndarray, accepted: float = 0.95) -> np.ndarray:
    """The highest score that at least this share of known clips `[..., N]` reaches: `[...]`.

    Whoever decides by it takes validation clips here. Of test clips it is a point of the ROC curve, and nothing more.

    Args:
        known: at least one clip.
        accepted: above 0, at most 1.
    """
    clips = known.shape[-1]
    return np.sort(known, axis=-1)[..., clips - math.ceil(accepted * clips)]


def share_accepted(scores: np.ndarray, least: np.ndarray) -> np.ndarray:
    """The share of clips with scores `[..., N]` that reach `least` `[...]`: `[...]`."""
    return (scores >= np.asarray(least)[..., None]).mean(axis=-1)
