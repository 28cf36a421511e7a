import pytest
import torch
from torch import Tensor

from counterpoise.arms.focal import loss
from counterpoise.classifiers.losses import cross_entropy
from counterpoise.classifiers.training import class_weights

COUNTS = torch.tensor([90.0, 9.0, 1.0])
TARGETS = torch.tensor([0, 2, 1, 2])
LOG_PROBABILITIES = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).log_softmax(dim=1)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_at_gamma_0_it_is_cross_entropy_with_balanced_class_weights(share):
    weights = class_weights(["a"] * 90 + ["b"] * 9 + ["c"], ["a", "b", "c"])
    expected = cross_entropy(LOG_PROBABILITIES, TARGETS, torch.full((4,), share), weights)
    torch.testing.assert_close(loss(LOG_PROBABILITIES, TARGETS, torch.full((4,), share), COUNTS, gamma=0.0), expected)


def test_the_loss_is_that_of_the_paper_s_equation():
    p = LOG_PROBABILITIES.exp()[torch.arange(4), TARGETS]
    alpha = 1 / COUNTS[TARGETS]
    expected = (alpha * (1 - p) ** 2 * -p.log()).sum() / alpha.sum()
    torch.testing.assert_close(loss(LOG_PROBABILITIES, TARGETS, torch.zeros(4), COUNTS), expected)


def test_a_clip_that_is_recognised_pulls_less_the_surer_it_is():
    def pull(p: float, gamma: float) -> float:
        """The gradient of the loss by the log-probability of the own class."""
        own: Tensor = torch.tensor([[p, 1 - p]]).log().requires_grad_()
        loss(own, torch.tensor([0]), torch.zeros(1), torch.ones(2), gamma).backward()
        return -own.grad[0, 0].item()

    assert pull(0.9, 0.0) == pull(0.1, 0.0) == pytest.approx(1)
    assert pull(0.99, 2.0) < 0.1 * pull(0.9, 2.0) < 0.1 * pull(0.1, 2.0)


def test_a_certain_clip_adds_nothing_and_breaks_nothing():
    certain = torch.tensor([[0.0, -200.0]]).requires_grad_()
    value = loss(certain, torch.tensor([0]), torch.zeros(1), torch.ones(2))
    value.backward()
    assert value == 0 and torch.isfinite(certain.grad).all()
