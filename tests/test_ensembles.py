"""Systems of several models: what they say together, and which names mean something."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from settings import settings_of

from counterpoise.arms import arm
from counterpoise.classifiers.networks import NETWORKS
from counterpoise.ensembles import fusion, members, systems
from counterpoise.ensembles.settings import READINGS, SHALLOW, Ensembles
from counterpoise.ensembles.systems import Heard

LABELS = ["a", "b", "c"]
UNIFORM = np.full(3, 1 / 3)


def ensembles(prior="uniform", **members) -> Ensembles:
    return Ensembles(prior=prior, systems=members)


def noisy(truth: np.ndarray, noise: float, seed: int) -> np.ndarray:
    """Log-likelihoods of a classifier that sees the truth through independent normal noise: calibrated, `[N, K]`."""
    rng = np.random.default_rng(seed)
    seen = np.eye(3)[truth] + noise * rng.standard_normal((len(truth), 3))
    scores = seen / noise**2
    return scores - np.log(np.exp(scores).sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 3, 2000)


def accuracy(probabilities: np.ndarray, truth: np.ndarray) -> float:
    return float((probabilities.argmax(axis=1) == truth).mean())


def test_dividing_the_prior_out_and_putting_it_back_changes_nothing():
    prior = np.array([0.7, 0.2, 0.1])
    probabilities = np.array([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05]])
    member = fusion.log_likelihoods(probabilities, prior)
    np.testing.assert_allclose(fusion.combine([member], [1.0], prior), probabilities)
    adjusted = fusion.combine([member], [1.0], UNIFORM)
    expected = probabilities / prior
    np.testing.assert_allclose(adjusted, expected / expected.sum(axis=1, keepdims=True))


def test_independent_classifiers_together_are_the_bayes_classifier(truth):
    """Two looks through independent noise are one look through their mean, whose noise is smaller."""
    rng = np.random.default_rng(1)
    looks = np.eye(3)[truth] + 1.2 * rng.standard_normal((2, len(truth), 3))
    members = [look / 1.2**2 for look in looks]
    together = fusion.combine(members, [1.0, 1.0], UNIFORM)
    mean = looks.mean(axis=0) / (1.2**2 / 2)
    np.testing.assert_allclose(together, np.exp(mean) / np.exp(mean).sum(axis=1, keepdims=True))
    assert accuracy(together, truth) > max(accuracy(member, truth) for member in members) + 0.05


def test_fitted_weights_are_those_that_calibration_asks_for(truth):
    """One member is three times too sure, another knows nothing; fitting says so."""
    good, useless = noisy(truth, 1.0, 2), noisy(np.roll(truth, 7), 1.0, 3)
    sure, nothing = fusion.fit([3 * good, useless], truth)
    assert 0.28 < sure < 0.39
    assert nothing < 0.1


def test_a_rare_class_counts_as_much_as_a_frequent_one_in_a_fit():
    """A member that is right for the rare class alone keeps a weight."""
    truth = np.array([0] * 90 + [1] * 5 + [2] * 5)
    blind = np.log(np.full((100, 3), 1 / 3))
    rare = blind.copy()
    rare[90:95, 1] += 2.0
    rare[95:, 2] += 2.0
    rare[:90, 1:] += 0.05  # a little wrong, ninety times
    (weight,) = fusion.fit([rare], truth)
    assert weight > 1


def test_nothing_is_fitted_without_clips():
    with pytest.raises(ValueError, match="validation"):
        fusion.fit([np.empty((0, 3))], np.empty(0, int))


def test_a_system_takes_the_next_seeds_and_other_models(truth):
    networks = {
        (arm, model, seed): noisy(truth, 1.5, 10 * seed + len(arm + model))
        for arm in ("none", "classic")
        for model in ("cnn", "yamnet")
        for seed in (0, 4)
    }
    heard = Heard(networks, {"denoisers": noisy(truth, 1.0, 99)})
    own = ensembles(two={"none": [0.5, 0.25]}, both={"none": 1.0, "classic-yamnet": 0.5, "denoisers": 0.8})
    places, left_out = own.places(["none", "classic"], ["cnn", "yamnet"], 2, 50, {})
    assert not left_out
    found = {
        (each.system, each.model, each.seed): each
        for each in systems.answers(own, places, [0, 4], heard, truth, heard, UNIFORM)
    }
    assert set(found) == {(s, m, seed) for s in ("two", "both") for m in ("cnn", "yamnet") for seed in (0, 4)}
    last = found["two", "cnn", 4]
    assert last.weights == {"none-cnn/seed4": 0.5, "none-cnn/seed0": 0.25}
    expected = fusion.combine([networks["none", "cnn", 4], networks["none", "cnn", 0]], [0.5, 0.25], UNIFORM)
    np.testing.assert_array_equal(last.probabilities, expected)
    both = found["both", "cnn", 0]
    assert both.weights == {"none-cnn/seed0": 1.0, "classic-yamnet/seed0": 0.5, "denoisers": 0.8}
    assert systems.weights(list(found.values()))["cnn"]["both"]["0"] == both.weights


def test_weights_are_fitted_by_validation_clips_and_never_by_test_clips(truth):
    good, bad = noisy(truth, 0.8, 4), noisy(np.roll(truth, 3), 0.8, 5)
    val = Heard({("none", "cnn", 0): good}, {"denoisers": bad})
    test = Heard({("none", "cnn", 0): bad}, {"denoisers": good})  # the other way round: a fit by these would say so
    own = ensembles(best={"none": "fitted", "denoisers": "fitted"})
    (found,) = systems.answers(own, [("best", "cnn")], [0], val, truth, test, UNIFORM)
    assert found.weights["none-cnn/seed0"] > 5 * found.weights["denoisers"]


def test_what_is_not_trained_is_left_out_with_a_word():
    own = ensembles(
        two={"none": [0.5, 0.5]}, other={"classic": 1.0}, mixed={"none-yamnet": 1.0}, alone={"denoisers": 1}
    )
    own = own.model_copy(update={"systems": {**own.systems, "best": {"none": "fitted"}, "seen": {"features": 1.0}}})
    places, reasons = own.places(["none"], ["cnn"], 1, 0, {"features": "there is no base"})
    assert places == [("alone", "cnn")]
    assert len(reasons) == 5
    assert "needs 2 classifier.seeds" in reasons[0]
    assert "classic-cnn is not trained" in reasons[1]
    assert "none-yamnet is not trained" in reasons[2]
    assert "no validation clips" in reasons[3]
    assert "there is no base" in reasons[4]
    assert ("best", "cnn") in own.places(["none"], ["cnn"], 1, 9, {})[0]


def test_a_system_is_cheap_where_all_of_it_is():
    cheap = {"none": True, "diffusion": False}
    own = ensembles(a={"none": 1.0}, b={"none-cnn": 1.0, "diffusion-cnn": 1.0}, c={"none": 1.0, "denoisers": 1.0})
    assert [own.is_cheap(system, cheap) for system in "abc"] == [True, False, False]


@pytest.mark.parametrize("name", SHALLOW)
def test_a_classical_classifier_is_a_cheap_member_with_one_weight_for_every_seed(name):
    cheap = {"none": True, "diffusion": False}
    own = ensembles(a={name: 1.0}, b={"none": 1.0, name: 0.8}, c={name: 1.0, "denoisers": 1.0}, d={"diffusion": 1.0})
    assert [own.is_cheap(system, cheap) for system in "abcd"] == [True, True, False, False]
    assert own.problems(["none", "diffusion"], ["cnn"], LABELS) == []
    (problem,) = ensembles(x={name: [0.5, 0.5]}).problems(["none"], ["cnn"], LABELS)
    assert f"`{name}` is the same for every seed" in problem
    places, reasons = own.places(["none"], ["cnn"], 2, 9, {name: "it was not learned"})
    assert not places and [reason.count("it was not learned") for reason in reasons] == [1, 1, 1, 0]
    rng = np.random.default_rng(0)
    first, second, said = rng.standard_normal((3, 5, 3))
    heard = Heard({("none", "cnn", 0): first, ("none", "cnn", 1): second}, {name: said})
    found = list(systems.answers(own, [("b", "cnn")], [0, 1], heard, np.zeros(5, int), heard, UNIFORM))
    for answer, network in zip(found, (first, second), strict=True):
        np.testing.assert_allclose(answer.probabilities, fusion.combine([network, said], [1.0, 0.8], UNIFORM))


def test_no_reading_has_an_arms_name():
    assert not set(READINGS) & set(arm.names())


@pytest.mark.parametrize(
    ("section", "part"),
    [
        ({"x": {"nun": 1.0}}, "'nun' is no member"),
        ({"x": {"none-resnet": 1.0}}, "'none-resnet' is no member"),
        ({"none": {"none": 1.0}}, "an arm has this name"),
        ({"x": {"features": [0.5, 0.5]}}, "give it one weight"),
    ],
)
def test_names_that_mean_nothing_are_told(section, part):
    (problem,) = ensembles(**section).problems(["none"], ["cnn"], LABELS)
    assert part in problem


def test_a_prior_names_every_class():
    assert ensembles({"a": 1.0, "b": 1.0}).problems(["none"], ["cnn"], LABELS) == [
        "ensembles.prior: give c a share, too"
    ]


@pytest.mark.parametrize("weight", [0, -1.0, [], [0.5, 0.0], "free"])
def test_a_weight_is_positive_or_fitted(weight):
    with pytest.raises(ValidationError):
        ensembles(x={"none": weight})


def test_all_members_are_fitted_or_none_is():
    with pytest.raises(ValidationError, match="either all"):
        ensembles(x={"none": "fitted", "denoisers": 0.8})


def test_priors():
    clips = {"a": 6, "b": 3, "c": 1}
    np.testing.assert_allclose(systems.prior(ensembles(), LABELS, clips), UNIFORM)
    np.testing.assert_allclose(systems.prior(ensembles("training"), LABELS, clips), [0.6, 0.3, 0.1])
    np.testing.assert_allclose(systems.prior(ensembles({"a": 1, "b": 2, "c": 1}), LABELS, clips), [0.25, 0.5, 0.25])


def test_what_members_say_stands_in_the_order_of_the_clips():
    rows = [
        {"clip_id": clip, "partition": part, "arm": "none", "model": "cnn", "seed": seed}
        | {f"probability/{label}": seed + number / 10 + k / 100 for k, label in enumerate(LABELS)}
        for seed in (0, 4)
        for number, (clip, part) in enumerate([("c", "val"), ("a", "test"), ("b", "test")])
    ]
    table = pd.DataFrame(rows)
    found = members.networks(table, "test", ["b", "a"], LABELS)
    assert list(found) == [("none", "cnn", 0), ("none", "cnn", 4)]
    np.testing.assert_allclose(found["none", "cnn", 4], [[4.2, 4.21, 4.22], [4.1, 4.11, 4.12]])
    np.testing.assert_allclose(members.said(table[table.seed == 0], ["c"], LABELS[::-1]), [[0.02, 0.01, 0.0]])
    with pytest.raises(KeyError):
        members.networks(table, "test", ["c"], LABELS)


def test_the_committed_systems_mean_something():
    assert settings_of(Ensembles).problems(arm.names(), list(NETWORKS), LABELS) == []
