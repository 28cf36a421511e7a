"""Metrics with weights against scikit-learn's, ties and clips without weight included."""

import numpy as np
import pytest
import sklearn.metrics

from counterpoise.evaluation import metrics
from counterpoise.evaluation.metrics import METRICS, Outcome


def outcome(seed: int, clips: int = 60, classes: int = 4, digits: int = 1) -> Outcome:
    """Random clips and probabilities, which tie often because they have few digits; the last class has no clip."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), clips).round(digits)
    truth = rng.integers(0, classes - 1, clips)
    return Outcome(truth, probabilities.argmax(axis=1), probabilities, classes, (1, 2))


def weights(seed: int, clips: int = 60, draws: int = 5) -> np.ndarray:
    """As in the bootstrap: a third of the clips weighs nothing, the others a multiple of no whole number."""
    return np.random.default_rng(seed).poisson(1.1, (draws, clips)) * 1.07


@pytest.mark.parametrize("digits", [0, 1, 2, 16])
@pytest.mark.parametrize("seed", range(5))
def test_average_precision_is_that_of_scikit_learn_with_weights_and_ties(seed, digits):
    one, draws = outcome(seed, digits=digits), weights(seed)
    assert len(np.unique(one.probabilities[:, 0])) < 60 or digits == 16
    found = metrics.average_precisions(one, draws)
    for k in range(one.classes - 1):
        for b, own in enumerate(draws):
            expected = sklearn.metrics.average_precision_score(
                one.truth == k, one.probabilities[:, k], sample_weight=own
            )
            assert found[b, k] == pytest.approx(expected, abs=1e-12)
    assert (found[:, -1] == 0).all()  # has no clip


def test_a_class_whose_clips_all_weigh_nothing_has_an_average_precision_of_zero(recwarn):
    one = outcome(0)
    draws = np.where(one.truth == 1, 0.0, 1.0)[None]
    found = metrics.average_precisions(one, draws)[0]
    assert found[1] == 0 and found[0] > 0 and found[2] > 0
    assert not recwarn.list


def test_means_of_average_precision_are_over_all_classes_and_over_the_rare_ones():
    one, draws = outcome(1), weights(1)
    found = metrics.average_precisions(one, draws)
    np.testing.assert_allclose(METRICS["mean_ap"].function(one, draws), found.sum(axis=1) / 4)
    np.testing.assert_allclose(METRICS["rare_ap"].function(one, draws), (found[:, 1] + found[:, 2]) / 2)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("macro_f1", lambda *own, **how: sklearn.metrics.f1_score(*own, average="macro", labels=range(4), **how)),
        ("rare_recall", lambda *own, **how: sklearn.metrics.recall_score(*own, average="macro", labels=[1, 2], **how)),
        ("balanced_accuracy", lambda *own, **how: sklearn.metrics.balanced_accuracy_score(*own, **how)),
        ("accuracy", lambda *own, **how: sklearn.metrics.accuracy_score(*own, **how)),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # a class that is predicted has no clip
def test_other_metrics_are_those_of_scikit_learn_with_weights(name, score):
    one, draws = outcome(2), weights(2)
    expected = [score(one.truth, one.predicted, sample_weight=own) for own in draws]
    np.testing.assert_allclose(METRICS[name].function(one, draws), expected)


def test_more_probability_for_a_class_everywhere_moves_its_recall_and_not_its_average_precision():
    one = outcome(3, digits=16)
    odds = one.probabilities * [1, 1, 50, 1]  # as if class 2 were more frequent
    odds[:, [0, 1, 3]] = odds[:, [0, 1, 3]].mean(axis=1, keepdims=True)  # so that only class 2 against the rest counts
    before = odds / [1, 1, 50, 1]
    shifted, plain = (
        Outcome(one.truth, (own := p / p.sum(axis=1, keepdims=True)).argmax(axis=1), own, 4, (2,))
        for p in (odds, before)
    )
    once = np.ones((1, 60))
    assert METRICS["rare_recall"].function(shifted, once) > METRICS["rare_recall"].function(plain, once)
    assert METRICS["rare_ap"].function(shifted, once) == pytest.approx(METRICS["rare_ap"].function(plain, once))


def test_the_first_headline_is_macro_f1_and_rare_recall_is_none():
    assert metrics.HEADLINES == ("macro_f1", "rare_ap")
    assert metrics.known(rare=False) == [name for name in METRICS if not name.startswith("rare_")]


def test_titles_are_words():
    assert metrics.title("rare_ap") == "rare AP"
    assert metrics.title("ap/street_music") == "average precision of street music"
    assert metrics.title("recall/bark") == "recall of bark"
    assert metrics.title("root_cosine") == "root cosine"
