"""Which network is given away."""

import numpy as np
import pytest
import sklearn.metrics

from counterpoise.release.choice import choose, threshold

TRUTH = np.repeat([0, 1, 2], 10)
RUNS = [(arm, model, seed) for model in ("cnn", "yamnet") for arm in ("none", "mixup") for seed in (0, 1)]


def said(noise, seed=0):
    """Probabilities of TRUTH's clips; the more noise, the worse."""
    scores = 2 * np.eye(3)[TRUTH] + noise * np.random.default_rng(seed).standard_normal((30, 3))
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def everything(noise):
    """What all runs say, each with its noise, else with much."""
    return {run: said(noise.get(run, 6.0), number) for number, run in enumerate(RUNS)}


def test_the_best_arm_and_model_by_their_mean_and_of_these_the_best_seed():
    found = everything({("none", "cnn", 0): 0.1, ("mixup", "yamnet", 0): 1.5, ("mixup", "yamnet", 1): 1.2})
    chosen = choose(RUNS, found, TRUTH)
    assert (chosen.arm, chosen.model) == ("mixup", "yamnet")  # though one seed of `none` is better than both
    own = {seed: found["mixup", "yamnet", seed] for seed in (0, 1)}
    scores = {seed: sklearn.metrics.average_precision_score(np.eye(3)[TRUTH], own[seed]) for seed in own}
    assert chosen.seed == max(scores, key=scores.get)
    assert chosen.mean_ap == pytest.approx(scores[chosen.seed])
    expected = sklearn.metrics.f1_score(TRUTH, own[chosen.seed].argmax(axis=1), average="macro")
    assert chosen.macro_f1 == pytest.approx(expected)
    assert chosen.threshold == threshold(own[chosen.seed]) and chosen.clips == 30


def test_equal_average_precision_is_decided_by_macro_f1():
    right = said(0.0)
    wrong = right * [1.0, 0.05, 1.0]  # sorts every class's clips as well, but never gives class 1
    wrong /= wrong.sum(axis=1, keepdims=True)
    found = {run: right if run[:2] == ("none", "yamnet") else wrong for run in RUNS}
    chosen = choose(RUNS, found, TRUTH)
    assert chosen.mean_ap == 1.0 and (chosen.arm, chosen.model, chosen.seed) == ("none", "yamnet", 0)


def test_what_is_equal_altogether_is_decided_by_name_and_the_lowest_seed():
    chosen = choose(RUNS[::-1], dict.fromkeys(RUNS, said(0.0)), TRUTH)
    assert (chosen.arm, chosen.model, chosen.seed) == ("mixup", "cnn", 0)


def test_without_validation_clips_it_is_the_baseline_or_the_first():
    chosen = choose(RUNS, {}, np.array([], int))
    assert (chosen.arm, chosen.model, chosen.seed) == ("none", "cnn", 0)
    assert chosen.threshold is None and chosen.mean_ap is None and chosen.macro_f1 is None
    others = [("mixup", "yamnet", 3), ("crt", "yamnet", 3)]
    assert choose(others, {}, np.array([], int)).arm == "mixup"


@pytest.mark.parametrize(("clips", "below"), [(1, 0), (19, 0), (20, 1), (48, 2), (100, 5)])
def test_at_least_95_percent_of_the_clips_reach_the_threshold(clips, below):
    rng = np.random.default_rng(clips)
    found = rng.dirichlet([1, 1, 1], clips)
    limit = threshold(found)
    confidence = found.max(axis=1)
    assert (confidence < limit).sum() == below and (confidence >= limit).mean() >= 0.95
    assert limit == round(limit, 4)
