"""Sets of sounds by their embeddings, arrays `[n, D]` with a row a sound: how far apart, how varied, how new.

A distance between sets says little alone: compare it with those of two halves of the real sounds, of a codec's round
trip, and of another class.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist, pdist

KAD_SCALE = 100.0  # as in kadtk, the toolkit of KAD's authors
NEAR_COPY = 1 / 3  # of the distance to the second nearest real clip


def kad(made: np.ndarray, real: np.ndarray, bandwidth: float | None = None) -> float:
    """Kernel audio distance: 100 times the unbiased squared MMD with a Gaussian kernel.

    Its mean is 0 for two sets of one kind, so it can be negative. That mean does not depend on the sets' sizes, which
    suits small ones.

    Chung et al., "KAD: No More FAD! An Effective and Efficient Evaluation Metric for Audio Generation", 2025; the
    estimator is equation 3 of Gretton et al., "A Kernel Two-Sample Test", JMLR 2012. Memory grows with (n + m)^2.

    Args:
        made: `[n, D]`.
        real: `[m, D]`, the reference.
        bandwidth: sigma of exp(-d^2 / (2 sigma^2)); None is the median distance between two real sounds. Values can be
            compared only if they share it.

    Raises:
        ValueError: the arrays do not fit, hold fewer than two sounds, or more than half of all real pairs are equal.
    """
    within_made, within_real, across = _kernels(*_checked(made, real), bandwidth)
    return float(_mmd(within_made, within_real, across, np.ones((1, len(made))), np.ones((1, len(real))))[0])


def kad_interval(
    made: np.ndarray,
    real: np.ndarray,
    made_groups: Sequence | None = None,
    real_groups: Sequence | None = None,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 1000,
    bandwidth: float | None = None,
) -> tuple[float, float]:
    """Interval for :func:`kad`, from random halves of both sets.

    A bootstrap would draw sounds twice, and their pairs with themselves would count as likeness. Halves are drawn
    without replacement instead (Politis & Romano, "Large Sample Confidence Regions Based on Subsamples under Minimal
    Assumptions", Annals of Statistics 1994): the mean of an unbiased statistic over all halves is the statistic itself,
    and its variance over halves is that of the whole set (Shao & Wu, "A General Theory for Jackknife Variance
    Estimation", Annals of Statistics 1989), except close to a KAD of 0, where the interval is up to 1.7 times too wide.

    Args:
        made_groups, real_groups: what each sound was cut or made from; groups stay together. None takes sounds as
            independent.

    Returns:
        (low, high).

    Raises:
        ValueError: as :func:`kad`, or a set has fewer than four groups.
    """
    made, real = _checked(made, real)
    within_made, within_real, across = _kernels(made, real, bandwidth)
    rng = np.random.default_rng(seed)
    halves = [
        _halves(np.arange(len(sounds)) if groups is None else np.asarray(groups), len(sounds), resamples, rng)
        for sounds, groups in ((made, made_groups), (real, real_groups))
    ]
    values = _mmd(within_made, within_real, across, *halves)
    whole = _mmd(within_made, within_real, across, np.ones((1, len(made))), np.ones((1, len(real))))[0]
    low, high = whole - values.mean() + np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def kad_of_halves(
    real: np.ndarray,
    groups: Sequence,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 1000,
    bandwidth: float | None = None,
) -> tuple[float, float, float]:
    """What :func:`kad` says of two sets of real sounds: random halves of `[m, D]`, against each other.

    Sounds of one recording stay in one half, as generated sounds are of other recordings than those they are compared
    with. They are alike, so the mean is above 0 where recordings gave several sounds each.

    Returns:
        (mean over halvings, low, high): `level` of the halvings lie between the last two. Halves hold fewer sounds
        than the set, so whole sets of one kind lie nearer together.

    Raises:
        ValueError: as :func:`kad`, or there are fewer than four groups.
    """
    real = _checked(real, real)[0]
    within, _, _ = _kernels(real, real, bandwidth)
    halves = _halves(np.asarray(groups), len(real), resamples, np.random.default_rng(seed))
    values = _mmd(within, within, within, halves, 1 - halves)
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(values.mean()), float(low), float(high)


def fad(made: np.ndarray, real: np.ndarray) -> float:
    """Fréchet audio distance of `[n, D]` and `[m, D]`: that of two Gaussians with the sets' means and covariances.

    Kilgour, Zuluaga, Roblek & Sharifi, "Fréchet Audio Distance: A Reference-Free Metric for Evaluating Music
    Enhancement Algorithms", Interspeech 2019. It is too large on small sets, hopelessly so where n or m is below D.

    The trace of the covariances' root is the nuclear norm of a product of their factors, so nothing is inverted and no
    constant is needed where covariances are singular.

    Raises:
        ValueError: the arrays do not fit or hold fewer than two sounds.
    """
    made, real = _checked(made, real)
    # R'R is the covariance.
    factors: list[Any] = [np.linalg.qr((x - x.mean(axis=0)) / np.sqrt(len(x) - 1), mode="r") for x in (made, real)]
    spread = sum(np.square(factor).sum() for factor in factors)
    shared = np.linalg.norm(factors[0] @ factors[1].T, "nuc")
    return float(np.square(made.mean(axis=0) - real.mean(axis=0)).sum() + spread - 2 * shared)


@dataclass(frozen=True)
class Novelty:
    """How new each of n generated sounds is; every array is `[n]`."""

    root_cosine: np.ndarray  # of its embedding and its root's; NaN without roots
    nearest: np.ndarray  # index of the nearest real clip
    distance: np.ndarray  # to it, Euclidean
    second_distance: np.ndarray  # to the nearest real clip of another group; NaN where there is none
    near_copy: np.ndarray  # bool


def novelty(
    made: np.ndarray, real: np.ndarray, roots: Sequence[int] | None = None, real_groups: Sequence | None = None
) -> Novelty:
    """Look for copies of real clips among generated ones.

    A near copy is three times nearer to one real clip than to any other: Yoon, Choi, Kwon & Ryu, "Diffusion
    Probabilistic Models Generalize when They Fail to Memorize", ICML 2023 workshop on structured probabilistic
    inference. A sound that equals a real one is a copy whatever else is there.

    Args:
        made: `[n, D]`.
        real: `[m, D]`, m at least 1; with a single one nothing but an equal sound can be called a copy.
        roots: `[n]`, the row of `real` that each was made from.
        real_groups: `[m]`, the recording of each real clip: clips of one recording are alike, and would hide a copy of
            one of them behind another.

    Raises:
        ValueError: the arrays do not fit.
    """
    made, real = _checked(made, real, least=1)
    distances = cdist(made, real)
    nearest = distances.argmin(axis=1)
    groups = np.arange(len(real)) if real_groups is None else np.asarray(real_groups)
    others = np.where(groups[None, :] == groups[nearest][:, None], np.inf, distances).min(axis=1)
    distance, second = distances.min(axis=1), np.where(np.isinf(others), np.nan, others)
    cosine = np.full(len(made), np.nan) if roots is None else (_directions(made) * _directions(real[roots])).sum(axis=1)
    return Novelty(cosine, nearest, distance, second, (distance < NEAR_COPY * second) | (distance == 0))


def diversity(x: np.ndarray) -> float:
    """Mean cosine distance of two different rows of `[n, D]`: 0 where all are alike, about 1 where none are."""
    directions = _directions(_checked(x, x)[0])
    n = len(directions)
    alike = np.square(directions.sum(axis=0)).sum() - np.square(directions).sum()
    return float(1 - alike / (n * (n - 1)))


def vendi(x: np.ndarray) -> float:
    """Effective number of different sounds in `[n, D]`, 1 to n: the Vendi score with the cosine as similarity.

    Friedman & Dieng, "The Vendi Score: A Diversity Evaluation Metric for Machine Learning", TMLR 2023, definition 3.1.
    """
    directions = _directions(_checked(x, x)[0])
    shares = np.square(np.linalg.svd(directions, compute_uv=False)) / len(directions)  # eigenvalues of K / n
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _checked(made: np.ndarray, real: np.ndarray, least: int = 2) -> tuple[np.ndarray, np.ndarray]:
    made, real = np.asarray(made, np.float64), np.asarray(real, np.float64)
    if made.ndim != 2 or real.ndim != 2 or made.shape[1] != real.shape[1] or min(len(made), len(real)) < least:
        raise ValueError(
            f"embeddings are {list(made.shape)} and {list(real.shape)}; expected [n, D] and [m, D] of {least} or more"
        )
    if not (np.isfinite(made).all() and np.isfinite(real).all()):
        raise ValueError("embeddings hold NaN or infinity")
    return made, real


def _directions(x: np.ndarray) -> np.ndarray:
    """Rows of length 1; a row of zeros stays one, so that it is like nothing."""
    return x / np.linalg.norm(x, axis=1, keepdims=True).clip(min=1e-300)


def kernel(a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    """The kernel of KAD, exp(-d^2 / (2 bandwidth^2)), of `[n, D]` and `[m, D]`: `[n, m]`."""
    return np.exp(cdist(a, b, "sqeuclidean") / (-2 * bandwidth**2))


def _kernels(made: np.ndarray, real: np.ndarray, bandwidth: float | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gaussian kernels within made sounds and within real ones, with 0 for a sound and itself, and across the sets."""
    if bandwidth is None:
        bandwidth = float(np.median(pdist(real)))
    if not bandwidth > 0:
        raise ValueError(f"the kernel's bandwidth is {bandwidth:g}: too many of the real sounds are equal; give one")
    within = [kernel(sounds, sounds, bandwidth) for sounds in (made, real)]
    for likeness in within:
        np.fill_diagonal(likeness, 0)
    return *within, kernel(made, real, bandwidth)  # type: ignore[return-value]


def _mmd(
    within_made: np.ndarray, within_real: np.ndarray, across: np.ndarray, made: np.ndarray, real: np.ndarray
) -> np.ndarray:
    """KAD of R choices of sounds, `[R, n]` and `[R, m]` of 0 and 1."""
    n, m = made.sum(axis=1), real.sum(axis=1)
    likeness_made = ((made @ within_made) * made).sum(axis=1) / (n * (n - 1))
    likeness_real = ((real @ within_real) * real).sum(axis=1) / (m * (m - 1))
    return KAD_SCALE * (likeness_made + likeness_real - 2 * ((made @ across) * real).sum(axis=1) / (n * m))


def _halves(groups: np.ndarray, n: int, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """`[resamples, n]`: 1 for the sounds of a random half of the groups."""
    names, member = np.unique(groups, return_inverse=True)
    if len(member) != n or len(names) < 4:
        raise ValueError(f"{n} sounds have {len(member)} groups, {len(names)} different ones; expected at least 4")
    ranks = rng.random((resamples, len(names))).argsort(axis=1).argsort(axis=1)
    return (ranks < len(names) // 2)[:, member].astype(np.float64)
