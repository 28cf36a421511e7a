"""What a training makes small, and mixup, which mixes it."""

from collections.abc import Callable

import scipy.special
import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[
    [Tensor, Tensor, Tensor, Tensor], Tensor
]  # see `loss` of :func:`counterpoise.classifiers.training.train`


def cross_entropy(
    log_probabilities: Tensor, targets: Tensor, smoothing: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy with label smoothing (Szegedy et al., "Rethinking the Inception Architecture", 2016, section 7).

    Args:
        log_probabilities: `[B, classes]`.
        targets: `[B]`, class indices.
        smoothing: `[B]`, the share of each label that is spread evenly over all classes, 0 to 1.
        weights: `[classes]`, or None for equal ones.

    Returns:
        The mean over the batch, weighted as `torch.nn.CrossEntropyLoss` does it.
    """
    if not smoothing.any():
        return F.nll_loss(log_probabilities, targets, weights)
    weights = torch.ones_like(log_probabilities[0]) if weights is None else weights
    own = F.nll_loss(log_probabilities, targets, weights, reduction="none")
    even = -(log_probabilities * weights).mean(dim=1)
    return ((1 - smoothing) * own + smoothing * even).sum() / weights[targets].sum()


def distillation(log_probabilities: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with a teacher's probabilities in place of labels.

    G. Hinton, O. Vinyals and J. Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2, with a
    temperature of 1 and without the labels' own term.

    Args:
        log_probabilities: `[B, classes]`.
        teacher: `[B, classes]`, rows sum to 1.

    Returns:
        The mean over the batch, a scalar.
    """
    return -(teacher * log_probabilities).sum(dim=1).mean()


def mix(batch: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, float, Tensor]:
    """Mix the inputs of a batch in pairs: mixup (Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018).

    As the paper says in section 2, one batch is mixed with itself in another order; as in its authors' code, with one
    share for the whole batch.

    Args:
        batch: `[B, ...]`, on the CPU.
        alpha: the share is drawn from Beta(alpha, alpha).
        generator: of the CPU.

    Returns:
        The mixed inputs `[B, ...]`; the share that each keeps, 0 to 1; the row of each one's partner `[B]`. A loss is
        mixed in the same way: share times that of the own class, and the rest that of the partner's.
    """
    uniform = torch.rand((), generator=generator, dtype=torch.float64).item()
    share = float(scipy.special.betaincinv(alpha, alpha, uniform))  # the inverse of the distribution function
    partners = torch.randperm(len(batch), generator=generator)
    return share * batch + (1 - share) * batch[partners], share, partners
