"""How familiar clips are: known answers, and losses of a Gaussian's optimal denoiser, which are a formula."""

import numpy as np
import pytest
import scipy.stats
from sklearn.metrics import roc_auc_score

from counterpoise.open_set import familiarity
from counterpoise.open_set.familiarity import Clusters, Explanations

SIGMAS = np.array([0.3, 1.0, 3.0])
MEANS, STD, ELEMENTS = np.array([-3.0, 3.0]), 0.5, 200  # of two classes; of both


def losses(clips: np.ndarray, seed: int = 0) -> np.ndarray:
    """Of clips `[N, elements]`: `[N, K, L, D]`, one draw of noise n for both classes.

    The optimal denoiser gives m + s^2 (x - m) / (s^2 + sigma^2) of x = y + sigma n. Its error, by sigma, is
    (s^2 n - sigma (y - m)) / (s^2 + sigma^2).
    """
    y, m = clips[:, None, None], MEANS[:, None, None]
    noise = np.random.default_rng([1, seed]).standard_normal((len(clips), 1, len(SIGMAS), clips.shape[1]))
    sigma = SIGMAS[:, None]
    return (((STD**2 * noise - sigma * (y - m)) / (STD**2 + sigma**2)) ** 2).mean(axis=3)[..., None]


def clips_of(mean: float, std: float, amount: int = 40, seed: int = 0) -> np.ndarray:
    return mean + std * np.random.default_rng(seed).standard_normal((amount, ELEMENTS))


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    return np.concatenate([clips_of(mean, STD, seed=k) for k, mean in enumerate(MEANS)])


@pytest.fixture(scope="module")
def usual() -> Explanations:
    return Explanations.fit(
        losses(np.concatenate([clips_of(mean, STD, seed=7 + k) for k, mean in enumerate(MEANS)]), 1)
    )


def told_apart(known: np.ndarray, foreign: np.ndarray) -> float:
    return roc_auc_score(np.repeat([1, 0], [len(known), len(foreign)]), np.concatenate([known, foreign]))


def test_the_largest_probability_is_that_of_the_softmax_and_knows_no_common_offset():
    probabilities = np.array([[0.7, 0.2, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    for offset in (0.0, -40.0):
        np.testing.assert_allclose(familiarity.largest_probability(np.log(probabilities) + offset), [0.7, 1 / 3])


def test_the_energy_knows_what_the_softmax_forgets():
    """log(e^a + e^b + e^c), and with a small temperature the largest logit."""
    logits = np.log([[1.0, 2.0, 5.0], [10.0, 20.0, 50.0]])
    np.testing.assert_allclose(familiarity.energy(logits), np.log([8, 80]))
    np.testing.assert_allclose(familiarity.energy(logits, 0.01), np.log([5, 50]))
    np.testing.assert_allclose(familiarity.energy(logits, 2.0), 2 * np.log(np.sqrt([1, 10]) * (1 + 2**0.5 + 5**0.5)))


def test_the_class_with_the_least_mean_loss_explains_and_draws_are_averaged():
    found = np.array([[[[1.0, 3.0], [4.0, 4.0]], [[5.0, 5.0], [0.0, 0.0]]]])  # means [2, 4] and [5, 0]
    assert familiarity.explanation(found).tolist() == [[5.0, 0.0]]
    assert familiarity.explained(found).tolist() == [-2.5]


@pytest.mark.parametrize("score", ["explained", "no_worse", "typical"])
@pytest.mark.parametrize("foreign", [0.0, 9.0], ids=["between the classes", "beyond them"])
def test_a_clip_from_far_away_is_less_familiar(score, foreign, known, usual):
    of = getattr(usual, score, None) or getattr(familiarity, score)
    assert told_apart(of(losses(known)), of(losses(clips_of(foreign, STD, seed=5)))) == 1


def test_what_is_simpler_than_any_known_clip_is_foreign_to_typicality_alone(known, usual):
    """Silence at a class's mean is explained better than the class's own clips, as simple images are."""
    silence = losses(clips_of(MEANS[0], 0.0))
    ours = losses(known)
    for score in (familiarity.explained, usual.no_worse):
        assert told_apart(score(ours), score(silence)) == 0
    assert told_apart(usual.typical(ours), usual.typical(silence)) == 1


def test_known_clips_have_the_z_scores_of_a_normal_distribution(usual, known):
    """Their mean loss has a normal distribution, nearly; the mean over levels has a mean of 0, typicality of -0.8."""
    ours = losses(known)
    assert usual.no_worse(ours).mean() == pytest.approx(0, abs=0.3)
    assert usual.typical(ours).mean() == pytest.approx(-scipy.stats.halfnorm.mean(), abs=0.2)


def test_a_level_counts_no_more_for_larger_losses(usual, known):
    scale = np.array([1.0, 100.0, 0.01])[:, None]
    ours = losses(clips_of(MEANS[0], STD, seed=3))  # of one class, so that no other one can win
    validation = losses(known[:40])
    alike = Explanations.fit(validation).no_worse(ours)
    one = np.stack([validation[:, 0]] * 2, axis=1), np.stack([ours[:, 0]] * 2, axis=1)
    scaled = Explanations.fit(one[0] * scale).no_worse(one[1] * scale)
    np.testing.assert_allclose(scaled, alike)


def test_one_validation_clip_has_no_spread(known):
    with pytest.raises(ValueError, match="expected at least 2"):
        Explanations.fit(losses(known[:1]))


def test_clusters_measure_the_mahalanobis_distance_to_the_nearest_class():
    """With many clips shrinking is slight, and the distance is a formula; scales and shears of features cancel."""
    rng = np.random.default_rng(0)
    shear, means = np.array([[2.0, 0.0], [30.0, 5.0]]), np.array([[0.0, 0.0], [6.0, 0.0]])
    truth = np.repeat(["a", "b"], 5000)
    features = (np.repeat(means, 5000, axis=0) + rng.standard_normal((10000, 2))) @ shear.T
    asked = np.array([[0.0, 0.0], [6.0, 2.0], [3.0, 0.0], [9.0, 4.0]])
    found = Clusters(features, truth).nearness(asked @ shear.T)
    np.testing.assert_allclose(found, [0, -4, -9, -25], atol=0.6)


def test_clusters_take_more_features_than_clips():
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 15)
    features = rng.standard_normal((30, 60)) + 3 * truth[:, None]
    found = Clusters(features, truth)
    ours, foreign = rng.standard_normal((20, 60)), rng.standard_normal((20, 60)) - 3
    assert told_apart(found.nearness(ours), found.nearness(foreign)) == 1


def test_scores_together_count_the_same_and_only_validation_clips_say_how_much():
    validation = np.array([True, True, False, False])
    one, other = np.array([[1.0, 3.0, 5.0, 2.0]]), np.array([100.0, 200.0, 150.0, 250.0])
    total = familiarity.together([one, other], validation)
    np.testing.assert_allclose(total, [[-2.0, 2.0, 3.0, 2.0]])  # z-scores -1, 1, 3, 0 and -1, 1, 0, 2
    one[0, 2] = 1000.0
    np.testing.assert_allclose(familiarity.together([one, other], validation)[0, [0, 1, 3]], total[0, [0, 1, 3]])
