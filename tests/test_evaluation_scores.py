"""Scores and errors against hand-computed cases and scikit-learn, and means over seeds."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from counterpoise.core import tables
from counterpoise.evaluation import scores
from counterpoise.splits import balance

LABELS = ["bark", "howl", "whine"]


def run_of(truth: list[str], predicted: list[str], seed: int = 0) -> pd.DataFrame:
    """A table of predictions of one run, which is sure of each."""
    ids = [f"c{i}" for i in range(len(truth))]
    clips = pd.DataFrame({"clip_id": ids, "label": truth, "source_id": ids})
    sure = np.array([[name == label for label in LABELS] for name in predicted], float)
    return scores.predictions(clips, sure, LABELS, "cnn", "none", seed, 1)


def test_scores_agree_with_a_case_computed_by_hand():
    truth = ["bark", "bark", "bark", "bark", "howl", "howl", "whine", "whine"]
    predicted = ["bark", "bark", "bark", "howl", "howl", "bark", "whine", "whine"]
    found = scores.scores(run_of(truth, predicted), LABELS)
    assert found["confusion"] == [[3, 1, 0], [1, 1, 0], [0, 0, 2]]
    assert found["accuracy"] == 6 / 8
    assert found["balanced_accuracy"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    assert found["macro_f1"] == pytest.approx((3 / 4 + 1 / 2 + 1) / 3)
    # Of the 4 clips that pass for barks 3 are, and all 4 tie; the fourth bark comes with the 4 others
    ap = 3 / 4 * 3 / 4 + 1 / 4 * 4 / 8
    assert found["per_class"]["bark"] == {"recall": 3 / 4, "precision": 3 / 4, "f1": 3 / 4, "ap": ap, "support": 4}


def test_scores_agree_with_scikit_learn_on_random_labels():
    rng = np.random.default_rng(0)
    truth, predicted = rng.choice(LABELS, 200), rng.choice(LABELS, 200)
    found = scores.scores(run_of(truth, predicted), LABELS)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, predicted, average="macro"))
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, predicted))
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, predicted))
    assert found["per_class"]["howl"]["precision"] == pytest.approx(
        metrics.precision_score(truth, predicted, labels=["howl"], average="macro")
    )


def test_a_class_that_is_never_predicted_scores_zero_without_a_warning(recwarn):
    found = scores.scores(run_of(["bark", "howl", "whine"], ["bark", "bark", "whine"]), LABELS)
    howl = {"recall": 0.0, "precision": 0.0, "f1": 0.0, "ap": pytest.approx(1 / 3), "support": 1}
    assert found["per_class"]["howl"] == howl
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert not recwarn.list


def test_a_class_without_test_clips_is_left_out_of_the_balanced_accuracy_only():
    found = scores.scores(run_of(["bark", "howl"], ["bark", "howl"]), LABELS)
    assert found["balanced_accuracy"] == 1.0
    assert found["macro_f1"] == found["mean_ap"] == pytest.approx(2 / 3)


def test_labels_that_do_not_fit_are_named():
    run = run_of(["bark", "howl"], ["bark", "bark"])
    with pytest.raises(ValueError, match="at least 1"):
        scores.scores(run[:0], LABELS)
    for column in ("label", "predicted"):
        with pytest.raises(ValueError, match="unknown label.*meow.*bark, howl, whine"):
            scores.scores(run.assign(**{column: "meow"}), LABELS)
    with pytest.raises(ValueError, match="unknown label.*meow"):
        scores.scores(run, LABELS, ["meow"])


def test_predictions_hold_the_most_likely_class_and_the_probability_of_each():
    clips = pd.DataFrame({"clip_id": ["a", "b"], "label": ["howl", "bark"], "source_id": ["r", "s"]}, index=[7, 3])
    probabilities = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    found = scores.predictions(clips, probabilities, LABELS, "cnn", "none", 4, 2)
    assert list(found.columns) == list(scores.columns(LABELS))
    assert found.predicted.tolist() == ["bark", "whine"]
    assert found.true_probability.tolist() == [0.3, 0.1]
    assert found.confidence.tolist() == [0.5, 0.7]
    assert found[[f"probability/{label}" for label in LABELS]].to_numpy().tolist() == probabilities.tolist()
    assert found.source_id.tolist() == ["r", "s"] and found.fold.tolist() == [2, 2]
    assert found[["model", "arm", "seed"]].drop_duplicates().values.tolist() == [["cnn", "none", 4]]


def test_probabilities_of_another_shape_are_refused():
    clips = pd.DataFrame({"clip_id": ["a"], "label": ["howl"], "source_id": ["r"]})
    with pytest.raises(ValueError, match=r"\[1, 2\]; expected \[1 clips, 3 classes\]"):
        scores.predictions(clips, np.ones((1, 2)) / 2, LABELS, "cnn", "none", 0, 1)


def test_probabilities_that_six_digits_cannot_tell_apart_rank_the_same_when_read_again(tmp_path):
    rest = np.array([1e-7, 2e-7, 3e-7, 4e-7])  # clips in the wrong order for a bark, all with probabilities near 1
    clips = pd.DataFrame(
        {"clip_id": list("abcd"), "label": ["howl", "bark", "howl", "bark"], "source_id": list("rstu")}
    )
    probabilities = np.column_stack([1 - rest, rest, 0 * rest])
    run = scores.predictions(clips, probabilities, LABELS, "cnn", "none", 0, 1)
    tables.write(run, tmp_path / "predictions.csv", exact=True)
    again = tables.read(tmp_path / "predictions.csv", scores.columns(LABELS))
    assert scores.scores(again, LABELS) == scores.scores(run, LABELS)
    assert scores.scores(again, LABELS)["per_class"]["bark"]["ap"] == (1 / 2 + 2 / 4) / 2


def test_a_class_is_rare_below_half_of_the_largest():
    assert balance.rare_classes({"bark": 100, "howl": 50, "whine": 49}) == ["whine"]
    assert balance.rare_classes({"bark": 10, "howl": 10}) == []


def test_classes_made_scarce_on_purpose_are_the_rare_ones_even_where_they_are_whole():
    assert balance.rare_classes({"bark": 100, "howl": 100, "whine": 9}, ["howl"]) == ["howl"]


def two_seeds_of_one_arm(rare=()) -> list[dict]:
    truth = ["bark", "bark", "howl", "howl", "whine", "whine"]
    answers = {0: truth, 1: ["bark", "bark", "howl", "bark", "bark", "bark"]}
    return scores.score_runs(pd.concat([run_of(truth, own, seed) for seed, own in answers.items()]), LABELS, rare)


def test_summaries_are_means_over_the_seeds():
    views = scores.summarise(
        two_seeds_of_one_arm(["howl", "whine"]), {"bark": 100, "howl": 20, "whine": 10}, ["howl", "whine"]
    )
    assert list(views["summary"]["cnn"]["none"]) == list(scores.METRICS)
    assert views["summary"]["cnn"]["none"]["accuracy"] == 0.75
    assert views["summary"]["cnn"]["none"]["rare_recall"] == pytest.approx((1.0 + (0.5 + 0.0) / 2) / 2)
    assert views["per_class"]["cnn"]["none"]["howl"]["recall"] == 0.75
    assert views["per_class"]["cnn"]["none"]["bark"]["precision"] == pytest.approx((1 + 2 / 5) / 2)
    howl = 1 / 2 * 1 + 1 / 2 * 2 / 6  # average precision of the second seed: one howl is sure, the other last of all
    assert views["per_class"]["cnn"]["none"]["howl"]["ap"] == pytest.approx((1 + howl) / 2, abs=1e-4)
    assert views["seeds"]["runs"][1]["per_class"]["howl"]["ap"] == pytest.approx(howl, abs=1e-6)
    whine = 2 / 6  # all clips tie
    assert views["summary"]["cnn"]["none"]["rare_ap"] == pytest.approx((1 + (howl + whine) / 2) / 2, abs=1e-4)
    assert views["seeds"]["rare"] == ["howl", "whine"]
    assert [run["seed"] for run in views["seeds"]["runs"]] == [0, 1]
    assert views["seeds"]["runs"][1]["confusion"] == [[2, 0, 0], [1, 1, 0], [2, 0, 0]]
    assert json.loads(json.dumps(views)) == views


def test_without_a_rare_class_there_is_no_mean_of_the_rare():
    views = scores.summarise(two_seeds_of_one_arm(), {"bark": 10, "howl": 10, "whine": 10}, [])
    assert set(scores.METRICS) - set(views["summary"]["cnn"]["none"]) == {"rare_ap", "rare_recall"}


def errors_of_two_arms() -> dict:
    """Four clips; `none` takes both howls for barks with confidence 0.9, `classic` one of them with 0.6."""
    labels = ["bark", "bark", "howl", "howl"]
    clips = pd.DataFrame({"clip_id": list("abcd"), "label": labels, "source_id": list("rrst")})
    bark, howl, doubt = [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.6, 0.4, 0.0]
    answers = {"none": [bark, bark, bark, bark], "classic": [bark, bark, howl, doubt]}
    tables = [
        scores.predictions(clips, np.array(rows), LABELS, "cnn", arm, seed, 1)
        for arm, rows in answers.items()
        for seed in (0, 1)
    ]
    found = scores.errors(pd.concat(tables), {clip: f"raw/{clip}.flac" for clip in "abcd"})
    assert json.loads(json.dumps(found)) == found
    return found["cnn"]


def test_the_calibration_error_is_guos():
    arms = errors_of_two_arms()["arms"]
    assert arms["none"]["ece"] == pytest.approx(0.9 - 0.5)
    assert arms["classic"]["ece"] == pytest.approx(3 / 4 * (1 - 0.9) + 1 / 4 * 0.6)
    assert arms["classic"]["reliability"] == [  # of 15 bins, 0.6 = 9/15 closes the ninth
        {"bin": 9, "clips": 2, "confidence": 0.6, "accuracy": 0.0},
        {"bin": 14, "clips": 6, "confidence": 0.9, "accuracy": 1.0},
    ]


def test_the_calibration_error_is_the_mean_of_the_runs_and_not_that_of_their_mixture():
    clips = pd.DataFrame({"clip_id": list("ab"), "label": ["bark", "bark"], "source_id": list("rs")})
    sure = {0: [[1.0, 0, 0]] * 2, 1: [[0, 1.0, 0]] * 2}  # all right, all wrong, always sure
    tables = [scores.predictions(clips, np.array(p), LABELS, "cnn", "none", seed, 1) for seed, p in sure.items()]
    assert scores.errors(pd.concat(tables), {"a": "a", "b": "b"})["cnn"]["arms"]["none"]["ece"] == 0.5


def test_confused_pairs_have_their_share_and_their_change_against_none():
    arms = errors_of_two_arms()["arms"]
    assert arms["none"]["confused"] == [{"actual": "howl", "predicted": "bark", "share": 1.0, "change": 0.0}]
    assert arms["classic"]["confused"] == [{"actual": "howl", "predicted": "bark", "share": 0.5, "change": -0.5}]


def test_the_clips_most_often_wrong_are_named_with_each_arms_share():
    worst = errors_of_two_arms()["clips"]
    assert [clip["clip_id"] for clip in worst] == ["d", "c"]
    assert worst[1] == {
        "clip_id": "c",
        "path": "raw/c.flac",
        "source_id": "s",
        "label": "howl",
        "taken_for": "bark",
        "wrong": 0.5,
        "arms": {"none": 1.0, "classic": 0.0},
    }


def test_without_the_arm_none_and_without_errors_nothing_is_compared():
    clips = pd.DataFrame({"clip_id": ["a"], "label": ["bark"], "source_id": ["r"]})
    right = scores.predictions(clips, np.array([[1.0, 0, 0]]), LABELS, "cnn", "classic", 0, 1)
    found = scores.errors(right, {"a": "a"})["cnn"]
    assert found["clips"] == [] and found["arms"]["classic"]["confused"] == []
    wrong = scores.predictions(clips, np.array([[0, 1.0, 0]]), LABELS, "cnn", "classic", 0, 1)
    assert scores.errors(wrong, {"a": "a"})["cnn"]["arms"]["classic"]["confused"][0]["change"] is None
