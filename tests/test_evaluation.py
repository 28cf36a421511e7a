"""Scores against hand-computed cases and scikit-learn, means over seeds, and what may be concluded from them."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from counterpoise import evaluation

LABELS = ["bark", "howl", "whine"]


def runs_of(arm: str, values: list[float]) -> list[dict]:
    return [{"model": "cnn", "arm": arm, "seed": seed, "macro_f1": value} for seed, value in enumerate(values)]


def test_scores_agree_with_a_case_computed_by_hand():
    truth = ["bark", "bark", "bark", "bark", "howl", "howl", "whine", "whine"]
    predicted = ["bark", "bark", "bark", "howl", "howl", "bark", "whine", "whine"]
    found = evaluation.scores(truth, predicted, LABELS)
    assert found["confusion"] == [[3, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert found["accuracy"] == 6 / 8
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["per_class"]["bark"] == {"precision": 3 / 4, "recall": 3 / 4, "f1": 3 / 4, "support": 4}


def test_scores_agree_with_scikit_learn_on_random_labels():
    rng = np.random.default_rng(0)
    truth, predicted = rng.choice(LABELS, 200), rng.choice(LABELS, 200)
    found = evaluation.scores(truth, predicted, LABELS)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["per_class"]["howl"]["precision"] == pytest.approx(
        metrics.precision_score(truth, predicted, labels=["howl"], average="macro")
    )


def test_a_class_that_is_never_predicted_scores_zero_without_a_warning(recwarn):
    found = evaluation.scores(["bark", "howl", "whine"], ["bark", "bark", "whine"], LABELS)
    assert found["per_class"]["howl"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert not recwarn.list


def test_a_class_without_test_clips_is_left_out_of_the_balanced_accuracy_only():
    found = evaluation.scores(["bark", "howl"], ["bark", "howl"], LABELS)
    assert found["balanced_accuracy"] == 1.0
    assert found["macro_f1"] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        (["bark"], ["bark", "howl"], "1 true labels and 2 predictions"),
        ([], [], "at least 1"),
        (["meow"], ["bark"], "unknown label.*meow.*bark, howl, whine"),
        (["bark"], ["meow"], "unknown label.*meow"),
    ],
)
def test_labels_that_do_not_fit_are_named(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        evaluation.scores(truth, predicted, LABELS)


def test_predictions_hold_the_most_likely_class_and_the_probability_of_the_true_one():
    clips = pd.DataFrame({"clip_id": ["a", "b"], "label": ["howl", "bark"]}, index=[7, 3])
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    found = evaluation.predictions(clips, probabilities, LABELS, "cnn", "none", 4)
    assert list(found.columns) == list(evaluation.PREDICTIONS)
    assert found.predicted.tolist() == ["bark", "whine"]
    assert found.true_probability.tolist() == [0.3, 0.1]
    assert found[["model", "arm", "seed"]].drop_duplicates().values.tolist() == [["cnn", "none", 4]]


def test_probabilities_of_another_shape_are_refused():
    clips = pd.DataFrame({"clip_id": ["a"], "label": ["howl"]})
    with pytest.raises(ValueError, match=r"\[1, 2\]; expected \[1 clips, 3 classes\]"):
        evaluation.predictions(clips, np.ones((1, 2)) / 2, LABELS, "cnn", "none", 0)


def test_a_class_is_rare_below_half_of_the_largest():
    assert evaluation.rare_classes({"bark": 100, "howl": 50, "whine": 49}) == ["whine"]
    assert evaluation.rare_classes({"bark": 10, "howl": 10}) == []


def two_seeds_of_one_arm() -> list[dict]:
    truth = ["bark", "bark", "howl", "howl", "whine", "whine"]
    answers = {0: truth, 1: ["bark", "bark", "howl", "bark", "bark", "bark"]}
    clips = pd.DataFrame({"clip_id": list("abcdef"), "label": truth})
    tables = [
        evaluation.predictions(
            clips, np.array([[a == label for label in LABELS] for a in answer], float), LABELS, "cnn", "none", seed
        )
        for seed, answer in answers.items()
    ]
    return evaluation.score_runs(pd.concat(tables), LABELS)


def test_summaries_are_means_over_the_seeds():
    views = evaluation.summarise(two_seeds_of_one_arm(), {"bark": 100, "howl": 20, "whine": 10})
    assert list(views["summary"]["cnn"]["none"]) == list(evaluation.METRICS)
    assert views["summary"]["cnn"]["none"]["accuracy"] == 0.75
    assert views["summary"]["cnn"]["none"]["rare_recall"] == pytest.approx((1.0 + (0.5 + 0.0) / 2) / 2)
    assert views["per_class"]["cnn"]["none"]["howl"]["recall"] == 0.75
    assert views["per_class"]["cnn"]["none"]["bark"]["precision"] == pytest.approx((1 + 2 / 5) / 2)
    assert views["seeds"]["rare"] == ["howl", "whine"]
    assert [run["seed"] for run in views["seeds"]["runs"]] == [0, 1]
    assert views["seeds"]["runs"][1]["confusion"] == [[2, 0, 0], [1, 1, 0], [2, 0, 0]]
    assert json.loads(json.dumps(views)) == views


def test_without_a_rare_class_there_is_no_rare_recall():
    views = evaluation.summarise(two_seeds_of_one_arm(), {"bark": 10, "howl": 10, "whine": 10})
    assert "rare_recall" not in views["summary"]["cnn"]["none"]


def test_the_paired_interval_is_students():
    found = evaluation.paired_difference(
        runs_of("none", [0.50, 0.52, 0.51]) + runs_of("diffusion", [0.60, 0.61, 0.63]), "diffusion", "none"
    )
    differences = np.array([0.10, 0.09, 0.12])
    assert found["mean"] == pytest.approx(differences.mean())
    assert found["half_width"] == pytest.approx(4.302653 * differences.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert (found["seeds"], found["verdict"]) == (3, "better")


def test_a_consistent_gain_smaller_than_the_seeds_spread_cannot_be_told():
    found = evaluation.paired_difference(
        runs_of("none", [0.40, 0.50, 0.60]) + runs_of("diffusion", [0.42, 0.52, 0.62]), "diffusion", "none"
    )
    assert found["half_width"] < found["mean"] < found["seed_sd"]
    assert found["verdict"] == "cannot tell"


def test_noise_and_a_single_seed_cannot_be_told():
    noise = runs_of("none", [0.50, 0.58, 0.53]) + runs_of("diffusion", [0.56, 0.52, 0.55])
    assert evaluation.paired_difference(noise, "diffusion", "none")["verdict"] == "cannot tell"
    single = runs_of("none", [0.1]) + runs_of("diffusion", [0.9])
    assert evaluation.paired_difference(single, "diffusion", "none")["verdict"] == "cannot tell"


def test_only_seeds_that_both_arms_have_are_paired():
    runs = runs_of("none", [0.5, 0.51]) + runs_of("diffusion", [0.4, 0.41, 0.99])
    found = evaluation.paired_difference(runs, "diffusion", "none")
    assert (found["seeds"], found["verdict"]) == (2, "worse")
    with pytest.raises(ValueError, match="share no seed"):
        evaluation.paired_difference(runs_of("none", [0.5]), "diffusion", "none")
