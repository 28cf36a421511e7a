"""Classical classifiers, on features whose right answer is known."""

import numpy as np
import pandas as pd
import pytest
import scipy.special
from pydantic import ValidationError
from settings import settings_of

from counterpoise.core import tables
from counterpoise.shallow import classifiers
from counterpoise.shallow.classifiers import KINDS
from counterpoise.shallow.features import MFCC
from counterpoise.shallow.settings import NAMES, Shallow

LABELS = ["a", "b", "c"]
EVERY = pytest.mark.parametrize("name", NAMES)
PER_RECORDING = 3  # clips


def clips_of(truth: np.ndarray) -> pd.DataFrame:
    """Clips of these classes, three of a recording; of six recordings one is for validation and one for the test."""
    recording = np.arange(len(truth)) // PER_RECORDING
    clips = pd.DataFrame({"clip_id": [f"c{i}" for i in range(len(truth))], "label": np.array(LABELS)[truth]})
    clips["source_id"] = [f"r{i}" for i in recording]
    return clips.assign(partition=np.select([recording % 6 == 1, recording % 6 == 3], ["val", "test"], "train"))


def population(seed: int, amounts: tuple[int, ...], apart: float) -> tuple[np.ndarray, pd.DataFrame]:
    """Ten independent normal features, in odd units; one for each class says it."""
    truth = np.repeat(np.arange(len(amounts)), amounts)
    found = np.random.default_rng(seed).standard_normal((len(truth), 10))
    found[np.arange(len(truth)), truth] += apart
    return found * np.geomspace(0.1, 100, 10) + 3, clips_of(truth)


def said_of(rows: pd.DataFrame) -> np.ndarray:
    return rows.filter(like=tables.PROBABILITY).to_numpy()


@EVERY
@pytest.mark.parametrize("amounts", [(120, 60, 36), (120, 48)], ids=["3 classes", "2 classes"])
def test_classes_that_are_apart_are_told(name, amounts):
    found, clips = population(0, amounts, apart=5.0)
    labels = LABELS[: len(amounts)]
    rows, card = classifiers.classify(name, found, clips, labels)
    held_out = clips[clips.partition != "train"]
    assert list(rows.columns) == list(tables.members(labels))
    assert rows.clip_id.tolist() == held_out.clip_id.tolist()
    assert rows.partition.tolist() == held_out.partition.tolist() and set(rows.member) == {name}
    np.testing.assert_allclose(said_of(rows).sum(axis=1), 1)
    assert (np.array(labels)[said_of(rows).argmax(axis=1)] == held_out.label).mean() > 0.95
    assert card["C"] in KINDS[name].grid and 0 < card["log_loss"] < 0.3


@pytest.mark.parametrize(("name", "unit"), [("lda", 1.0), ("nearest_mean", 1 / 10)])
def test_probabilities_are_those_of_bayes_rule(name, unit):
    """Of normal classes with one spread, the class frequencies taken as equal; `unit` of scores is one nat."""
    units = np.geomspace(0.1, 100, 10)
    found, clips = population(1, (900, 450, 450), apart=2.0)
    rows, card = classifiers.classify(name, found, clips, LABELS)
    standard = ((found - 3) / units)[(clips.partition != "train").to_numpy()]
    expected = scipy.special.softmax(2.0 * standard[:, :3], axis=1)
    assert np.abs(said_of(rows) - expected).mean() < 0.03
    assert card["temperature"] == pytest.approx(unit, rel=0.15)


def test_discriminants_know_what_features_share_and_means_do_not():
    truth = np.repeat([0, 1], 120)
    rng = np.random.default_rng(2)
    shared = 3 * rng.standard_normal(240)
    found = np.stack([shared + truth + 0.2 * rng.standard_normal(240), shared], axis=1)
    loss = {
        name: classifiers.classify(name, found, clips_of(truth), LABELS[:2])[1]["log_loss"]
        for name in ("lda", "nearest_mean")
    }
    assert loss["lda"] < 0.1 and loss["nearest_mean"] > 0.6


def test_support_vectors_know_a_ring_and_discriminants_do_not():
    truth = np.repeat([0, 1], 120)
    rng = np.random.default_rng(3)
    angle, radius = rng.uniform(0, 2 * np.pi, 240), 1 + 2 * truth + 0.2 * rng.standard_normal(240)
    found = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    loss = {
        name: classifiers.classify(name, found, clips_of(truth), LABELS[:2])[1]["log_loss"]
        for name in ("mfcc_svm", "lda")
    }
    assert loss["mfcc_svm"] < 0.1 and loss["lda"] > 0.6


@EVERY
def test_held_out_clips_choose_and_teach_nothing(name):
    found, clips = population(4, (120, 60, 36), apart=2.0)
    rows, card = classifiers.classify(name, found, clips, LABELS)
    held_out, is_val = clips.partition != "train", (clips.partition == "val").to_numpy()
    wrong = clips.assign(label=clips.label.where(~held_out, "a"))
    changed = np.where(is_val[:, None], found[::-1], found)
    again, same = classifiers.classify(name, changed, wrong, LABELS)
    is_test = (rows.partition == "test").to_numpy()
    assert same == card
    np.testing.assert_array_equal(said_of(again)[is_test], said_of(rows)[is_test])
    assert (said_of(again)[~is_test] != said_of(rows)[~is_test]).any()
    taught = clips.assign(label=clips.label.where(held_out | (clips.index % 4 > 0), "c"))
    assert classifiers.classify(name, found, taught, LABELS)[1] != card


@EVERY
def test_all_classes_count_the_same(name):
    found, clips = population(5, (360, 72, 72), apart=0.0)
    rows, _ = classifiers.classify(name, found, clips, LABELS)
    np.testing.assert_allclose(said_of(rows).mean(axis=0), 1 / 3, atol=0.1)


@EVERY
def test_what_tells_recordings_apart_is_worth_nothing(name):
    """Features of the recording, and not of the class: whoever has a recording on both sides looks perfect."""
    truth = np.repeat([0, 1], 90)
    clips = clips_of(truth)
    recording = np.arange(180) // PER_RECORDING
    rng = np.random.default_rng(6)
    found = rng.standard_normal((60, 40))[recording] + 1e-3 * rng.standard_normal((180, 40))
    assert classifiers.classify(name, found, clips, LABELS[:2])[1]["log_loss"] > 0.55


@EVERY
def test_the_same_clips_say_the_same(name):
    found, clips = population(7, (60, 36, 36), apart=1.0)
    first, second = (classifiers.classify(name, found, clips, LABELS) for _ in range(2))
    pd.testing.assert_frame_equal(first[0], second[0], check_exact=True)
    assert first[1] == second[1]


@EVERY
def test_a_class_of_one_recording_gets_the_usual_numbers(name):
    found, clips = population(8, (60, 36, 36), apart=3.0)
    clips.loc[(clips.label == "c") & (clips.partition == "train"), "source_id"] = "one"
    rows, card = classifiers.classify(name, found, clips, LABELS)
    assert card == {"C": KINDS[name].usual, "temperature": KINDS[name].temperature, "log_loss": None}
    right = np.array(LABELS)[said_of(rows).argmax(axis=1)] == clips.label[clips.partition != "train"].to_numpy()
    assert right.mean() > 0.8


@EVERY
def test_one_clip_a_class_and_features_that_never_change_give_probabilities(name):
    found, clips = population(9, (18, 18, 18), apart=3.0)
    train = (clips.partition == "train").to_numpy()
    first = train & ~clips.label.where(train).duplicated().to_numpy()
    kept = first | ~train
    found = np.concatenate([found, np.full((len(found), 2), 7.0)], axis=1)
    rows, card = classifiers.classify(name, found[kept], clips[kept], LABELS)
    assert np.isfinite(said_of(rows)).all() and card["log_loss"] is None
    np.testing.assert_allclose(said_of(rows).sum(axis=1), 1)


def test_no_recording_is_on_both_sides_of_a_fold():
    truth = np.repeat([0, 1, 2], [60, 30, 9])
    recordings = np.array([f"r{i // PER_RECORDING}" for i in range(99)])
    found = classifiers.folds(truth, recordings)
    assert len(found) == 3  # as many as the smallest class has recordings
    for train, held_out in found:
        assert not set(recordings[train]) & set(recordings[held_out])
        assert set(truth[train]) == {0, 1, 2}
    assert sorted(np.concatenate([held_out for _, held_out in found])) == list(range(99))


def test_there_are_no_folds_where_a_class_would_be_missing():
    assert classifiers.folds(np.array([0, 0, 1, 1]), np.array(["r0", "r1", "r2", "r2"])) == []
    assert len(classifiers.folds(np.array([0, 0, 1, 1]), np.array(["r0", "r1", "r2", "r3"]))) == 2


def test_a_temperature_undoes_what_scores_are_too_large_by():
    rng = np.random.default_rng(10)
    truth = rng.integers(0, 3, 3000)
    right = np.eye(3)[truth] + rng.standard_normal((3000, 3))  # scores that are log-likelihoods
    temperature, loss = classifiers.calibrate(4 * right, truth, 1.0)
    assert 3.7 < temperature < 4.3
    best = -scipy.special.log_softmax(right, axis=1)[np.arange(3000), truth].mean()
    assert loss == pytest.approx(best, abs=0.01)


def test_a_few_clips_that_are_all_right_do_not_make_one_sure():
    scores, truth = np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1])
    temperature, _ = classifiers.calibrate(scores, truth, 0.3)
    assert 0.1 < temperature < 0.3


def test_large_scores_that_are_worth_nothing_say_nothing():
    rng = np.random.default_rng(12)
    scores, truth = 1e4 * rng.standard_normal((20, 3)), np.arange(20) % 3
    temperature, loss = classifiers.calibrate(scores, truth, 1.0)
    assert loss == pytest.approx(np.log(3), abs=0.05)
    assert temperature > 1e4


def test_each_hears_its_own_features():
    good, clips = population(11, (60, 36, 36), apart=6.0)
    useless = np.random.default_rng(0).standard_normal((len(good), 4))
    rows, card = classifiers.learn(["lda", "mfcc_svm"], {MFCC: useless, "AudioSet YAMNet": good}, clips, LABELS)
    assert list(card) == list(dict.fromkeys(rows.member)) == ["lda", "mfcc_svm"]
    assert [card[name]["embedding"] for name in card] == ["AudioSet YAMNet", MFCC]
    assert [card[name]["features"] for name in card] == [10, 4]
    assert card["lda"]["log_loss"] < 0.2 < 0.9 < card["mfcc_svm"]["log_loss"]
    alone, _ = classifiers.learn(["lda"], {MFCC: good}, clips, LABELS)
    np.testing.assert_array_equal(said_of(alone), said_of(rows[rows.member == "lda"]))


def test_names_stand_in_the_settings_and_in_the_code():
    assert tuple(KINDS) == NAMES
    assert settings_of(Shallow, classifiers=[]).classifiers == []
    with pytest.raises(ValidationError, match="mfcc_svm"):
        settings_of(Shallow, classifiers=["svm"])
