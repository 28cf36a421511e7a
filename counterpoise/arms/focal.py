"""Rare classes weigh more in the loss, and clips that are recognised already weigh less (Lin et al. 2017).

T.-Y. Lin, P. Goyal, R. Girshick, K. He and P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017, equation 5.
"""

from typing import TYPE_CHECKING

from counterpoise.arms.arm import Arm

if TYPE_CHECKING:
    from torch import Tensor

GAMMA = 2.0  # the value that the paper found best


def loss(
    log_probabilities: "Tensor", targets: "Tensor", smoothing: "Tensor", counts: "Tensor", gamma: float = GAMMA
) -> "Tensor":
    """Focal loss, -alpha (1 - p)^gamma log p, with an alpha in inverse proportion to the class's clips.

    A smoothed label counts every class's term by its share of the label.

    Args:
        log_probabilities, targets, smoothing, counts: as of `loss` in :class:`counterpoise.arms.arm.Arm`.
        gamma: how much less a clip weighs that is recognised; 0 gives weighted cross-entropy.

    Returns:
        The mean over the batch, weighted by alpha as `torch.nn.CrossEntropyLoss` does it, a scalar.
    """
    alpha = 1 / counts
    missed = -log_probabilities.expm1()  # 1 - p, exact where p is near 1
    terms = -alpha * missed**gamma * log_probabilities  # [B, classes]
    own, even = terms.gather(1, targets[:, None])[:, 0], terms.mean(dim=1)
    return ((1 - smoothing) * own + smoothing * even).sum() / alpha[targets].sum()


ARM = Arm(about="rare classes and hard clips weigh more in the loss", cheap=True, loss=loss, balances=True)
