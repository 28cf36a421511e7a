import torch
from torch.nn.functional import nll_loss

from counterpoise.arms.balanced_softmax import loss

COUNTS = torch.tensor([90.0, 9.0, 1.0])
TARGETS = torch.tensor([0, 2, 1, 2])
LOGITS = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))


def test_the_loss_is_that_of_the_paper_s_equation():
    weighed = COUNTS * LOGITS.exp()  # n_j exp(eta_j)
    expected = -(weighed / weighed.sum(dim=1, keepdim=True)).log()[torch.arange(4), TARGETS].mean()
    torch.testing.assert_close(loss(LOGITS, TARGETS, torch.zeros(4), COUNTS), expected)
    torch.testing.assert_close(loss(LOGITS.log_softmax(dim=1), TARGETS, torch.zeros(4), COUNTS), expected)


def test_the_labels_of_made_clips_are_softened():
    shifted = LOGITS + COUNTS.log()
    expected = torch.nn.CrossEntropyLoss(label_smoothing=0.3)(shifted, TARGETS)
    torch.testing.assert_close(loss(LOGITS, TARGETS, torch.full((4,), 0.3), COUNTS), expected)
    some = torch.tensor([0.0, 0.3, 0.0, 0.0])
    each = [loss(LOGITS[i : i + 1], TARGETS[i : i + 1], some[i : i + 1], COUNTS) for i in range(4)]
    torch.testing.assert_close(loss(LOGITS, TARGETS, some, COUNTS), torch.stack(each).mean())


def test_with_equal_classes_it_is_cross_entropy():
    expected = nll_loss(LOGITS.log_softmax(dim=1), TARGETS)
    torch.testing.assert_close(loss(LOGITS, TARGETS, torch.zeros(4), torch.full((3,), 7.0)), expected)
