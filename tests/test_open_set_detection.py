"""How well a score tells known from foreign clips, against scikit-learn and against shares counted by hand."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from benchmarks import open_set
from counterpoise.open_set import detection


def test_the_area_is_scikit_learns_with_ties_and_weights():
    rng = np.random.default_rng(0)
    known, foreign = rng.integers(3, 10, 40).astype(float), rng.integers(0, 8, 30).astype(float)
    of_known, of_foreign = rng.integers(0, 4, (5, 40)).astype(float), rng.integers(0, 4, (5, 30)).astype(float)
    found = detection.auroc(detection.order(known, foreign), of_known, of_foreign)
    truth, scores = np.repeat([1, 0], [40, 30]), np.concatenate([known, foreign])
    wanted = [
        roc_auc_score(truth, scores, sample_weight=np.concatenate(weights)) for weights in zip(of_known, of_foreign)
    ]
    np.testing.assert_allclose(found, wanted)
    assert np.ptp(found) > 0.01  # weights matter


def test_the_area_between_two_normal_distributions_is_a_formula():
    rng = np.random.default_rng(0)
    known, foreign = rng.standard_normal(2000) + 1.5, rng.standard_normal(2000)
    found = detection.auroc(detection.order(known, foreign), np.ones((1, 2000)), np.ones((1, 2000)))
    assert found[0] == pytest.approx(scipy.stats.norm.cdf(1.5 / 2**0.5), abs=0.01)


def test_the_mean_order_of_seeds_has_their_mean_area():
    rng = np.random.default_rng(0)
    known, foreign, weights = rng.standard_normal((3, 20)), rng.standard_normal((3, 10)), np.ones((1, 20))
    ordered = detection.order(known, foreign)
    alone = [detection.auroc(one, weights, weights[:, :10]) for one in ordered]
    np.testing.assert_allclose(detection.auroc(ordered.mean(axis=0), weights, weights[:, :10]), np.mean(alone, axis=0))


@pytest.mark.parametrize(("clips", "accepted", "passed"), [(40, 0.95, 38), (50, 0.95, 48), (20, 0.95, 19), (5, 1, 5)])
def test_no_higher_threshold_lets_as_many_pass(clips, accepted, passed):
    scores = np.random.default_rng(0).permutation(clips).astype(float)
    least = detection.threshold(scores, accepted)
    assert (scores >= least).sum() == passed
    assert detection.share_accepted(scores, least) == passed / clips


def test_every_seed_has_its_own_threshold():
    scores = np.arange(40.0).reshape(2, 20)
    least = detection.threshold(scores)
    assert least.tolist() == [1, 21]
    assert detection.share_accepted(scores, least).tolist() == [0.95, 0.95]


@pytest.fixture
def clips() -> pd.DataFrame:
    """20 validation clips, 30 known ones of 15 recordings, 20 foreign ones of 10."""
    partition = np.repeat(["val", "test", "foreign"], [20, 30, 20])
    recordings = [f"{part}{at // 2}" for at, part in enumerate(partition)]
    return pd.DataFrame({"partition": partition, "source_id": recordings})


@pytest.fixture
def weights(clips) -> pd.DataFrame:
    columns = clips.source_id[clips.partition != "val"].unique()
    return pd.DataFrame(np.ones((4, len(columns))), columns=columns)


def test_thresholds_come_from_validation_clips_alone(clips, weights):
    """Test and foreign clips that move change what passes, each its own share, and no threshold."""
    scores = np.random.default_rng(0).standard_normal((2, len(clips)))
    before = open_set.measured(scores, clips, weights)
    moved = np.where(clips.partition == "foreign", 100.0, scores)
    after = open_set.measured(moved, clips, weights)
    assert (after.known_accepted, after.foreign_accepted) == (before.known_accepted, 1)
    moved = np.where(clips.partition == "test", 100.0, scores)
    after = open_set.measured(moved, clips, weights)
    assert (after.known_accepted, after.foreign_accepted) == (1, before.foreign_accepted)
    moved = np.where(clips.partition == "val", 100.0, scores)
    after = open_set.measured(moved, clips, weights)
    assert (after.known_accepted, after.foreign_accepted) == (0, 0)
    assert (after.area, after.foreign_at_95) == (before.area, before.foreign_at_95)


def test_clips_of_a_recording_are_drawn_together(clips, weights):
    """Only the last known recording is confused with a foreign one: without it the area is 1."""
    scores = np.where(clips.partition == "foreign", 0.0, 1.0)[None]
    scores[0, 48:50] = 0.0
    weights.loc[1, "test24"] = 0.0
    weights.loc[2, "test24"] = 15.0
    found = open_set.measured(scores, clips, weights)
    assert found.area == found.areas[0] == pytest.approx(1 - 2 / 30 / 2)
    assert found.areas[1] == 1
    assert found.areas[2] == pytest.approx(1 - 15 / 29 / 2)
