"""How familiar clips are: scores `[N]`, higher for clips that are more like the known classes. All is arithmetic.

A score that must know how known clips score is fitted to known clips that nothing was trained on: validation clips.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.special
from sklearn.covariance import LedoitWolf
from sklearn.preprocessing import StandardScaler


def largest_probability(log_likelihoods: np.ndarray) -> np.ndarray:
    """The largest softmax probability of each clip.

    Hendrycks & Gimpel, "A Baseline for Detecting Misclassified and Out-of-Distribution Examples in Neural Networks",
    ICLR 2017, section 3. A clip that all classes explain alike is none of them.

    Args:
        log_likelihoods: log-probabilities or log-likelihoods `[N, K]`, in nats, up to what a clip's classes share.

    Returns:
        `[N]`, 1 / K to 1.
    """
    return scipy.special.softmax(log_likelihoods, axis=1).max(axis=1)


def energy(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The negative free energy T logsumexp(logits / T) of each clip.

    Liu, Wang, Owens & Li, "Energy-based Out-of-distribution Detection", NeurIPS 2020, section 3.1.

    Args:
        logits: of a network before its softmax `[N, K]`: a softmax takes away what is asked for here.
        temperature: T, above 0.

    Returns:
        `[N]`, in units of the logits.
    """
    return temperature * scipy.special.logsumexp(logits / temperature, axis=1)


def explanation(losses: np.ndarray) -> np.ndarray:
    """How the denoiser that explains each clip best explains it.

    Args:
        losses: `[N, K, L, D]`, from :func:`counterpoise.diffusion_classifier.losses.measure`.

    Returns:
        The mean over draws `[N, L]` of the class whose mean over levels and draws is least.
    """
    means = losses.mean(axis=3)
    return means[np.arange(len(means)), means.mean(axis=2).argmin(axis=1)]


def explained(losses: np.ndarray) -> np.ndarray:
    """How well the best class explains each clip: its mean loss `[N]`, with the sign turned.

    Graham, Pinaya, Tudosiu, Nachev, Ourselin & Cardoso, "Denoising Diffusion Models for Out-of-Distribution Detection",
    CVPR workshops 2023, measure what reconstruction leaves over at several noise levels. There noise is removed in
    many steps; here in one.

    Args:
        losses: `[N, K, L, D]`.
    """
    return -explanation(losses).mean(axis=1)


@dataclass(frozen=True)
class Explanations:
    """What the losses of the best class are, at each of L noise levels, where the clips are known.

    Attributes:
        mean: `[L]`.
        std: `[L]`, above 0.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, losses: np.ndarray) -> Self:
        """Of validation clips, `[N, K, L, D]`. All classes share a mean and a deviation: few have many such clips.

        Raises:
            ValueError: there are fewer than two clips.
        """
        if len(losses) < 2:
            raise ValueError(f"{len(losses)} validation clips have no spread; expected at least 2")
        found = explanation(losses)
        return cls(found.mean(axis=0), np.maximum(found.std(axis=0, ddof=1), np.finfo(float).tiny))

    def no_worse(self, losses: np.ndarray) -> np.ndarray:
        """The mean z-score over levels of each clip `[N]`, with the sign turned: high losses are foreign.

        Graham et al. (see :func:`explained`) average such z-scores over noise levels.

        Args:
            losses: `[N, K, L, D]`.
        """
        return -self._z(losses).mean(axis=1)

    def typical(self, losses: np.ndarray) -> np.ndarray:
        """The mean absolute z-score over levels of each clip `[N]`, with the sign turned: low losses are foreign, too.

        Nalisnick, Matsukawa, Teh & Lakshminarayanan, "Detecting Out-of-Distribution Inputs to Deep Generative Models
        Using Typicality", 2019: a likelihood far above those of known clips is as foreign as one far below. Their test
        has one likelihood; here each noise level has a loss.

        Args:
            losses: `[N, K, L, D]`.
        """
        return -np.abs(self._z(losses)).mean(axis=1)

    def _z(self, losses: np.ndarray) -> np.ndarray:
        return (explanation(losses) - self.mean) / self.std


class Clusters:
    """Gaussians around the classes' means, with one covariance: the Mahalanobis distance to the nearest.

    Lee, Lee, Lee & Shin, "A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial
    Attacks", NeurIPS 2018, section 2. Features are standardised, and the covariance is shrunk (Ledoit & Wolf, "A
    Well-Conditioned Estimator for Large-Dimensional Covariance Matrices", 2004), because clips may be fewer than
    features.

    Args:
        features: of training clips, `[N, F]`.
        truth: the number of each one's class, `[N]`.
    """

    def __init__(self, features: np.ndarray, truth: np.ndarray) -> None:
        self._scaler = StandardScaler().fit(features)
        scaled = self._scaler.transform(features)
        classes, numbers = np.unique(truth, return_inverse=True)
        self._means = np.stack([scaled[truth == one].mean(axis=0) for one in classes])
        self._covariance = LedoitWolf(assume_centered=True).fit(scaled - self._means[numbers])

    def nearness(self, features: np.ndarray) -> np.ndarray:
        """Of features `[N, F]`: the squared distance to the nearest class `[N]`, with the sign turned."""
        scaled = self._scaler.transform(features)
        return -np.min([self._covariance.mahalanobis(scaled - mean) for mean in self._means], axis=0)


def together(scores: list[np.ndarray], validation: np.ndarray) -> np.ndarray:
    """The sum of several scores, each standardised by validation clips: all count the same.

    Args:
        scores: each `[..., N]` of the same clips.
        validation: `[N]`, true for the clips that give each score its mean and its standard deviation.

    Returns:
        `[..., N]`.
    """
    total = np.zeros(())
    for one in scores:
        own = one[..., validation]
        total = total + (one - own.mean(axis=-1, keepdims=True)) / own.std(axis=-1, keepdims=True)
    return total
