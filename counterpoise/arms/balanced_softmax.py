"""The loss knows how large the classes are, so that the outputs need not (Ren et al. 2020).

J. Ren, C. Yu, S. Sheng, X. Ma, H. Zhao, S. Yi and H. Li, "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
NeurIPS 2020, equation 3, without the paper's meta sampler.
"""

from typing import TYPE_CHECKING

from counterpoise.arms.arm import Arm

if TYPE_CHECKING:
    from torch import Tensor


def loss(log_probabilities: "Tensor", targets: "Tensor", smoothing: "Tensor", counts: "Tensor") -> "Tensor":
    """Cross-entropy of outputs that are shifted by the logarithm of their class's clips; predictions are not shifted.

    Log-probabilities serve as logits: they differ from these by one number a row, which the softmax takes out again.

    Args:
        log_probabilities, targets, smoothing, counts: as of `loss` in :class:`counterpoise.arms.arm.Arm`.

    Returns:
        The mean over the batch, a scalar.
    """
    shifted = (log_probabilities + counts.log()).log_softmax(dim=1)
    own, even = shifted.gather(1, targets[:, None])[:, 0], shifted.mean(dim=1)
    return -((1 - smoothing) * own + smoothing * even).mean()


ARM = Arm(about="the loss knows how large the classes are", cheap=True, loss=loss, balances=True)
