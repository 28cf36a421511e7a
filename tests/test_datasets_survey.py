"""What headers tell of a collection is what intake then finds in it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets import collect, dogs, intake, survey
from counterpoise.datasets.published import PublishedError
from counterpoise.datasets.settings import Data


def put(path, seconds=1.0, rate=16000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)) + round(1000 * seconds))
    soundfile.write(path, 0.1 * rng.standard_normal((round(seconds * rate), channels)), rate)
    return path


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    Path("unlabelled").mkdir()
    return settings_of(Data, dataset="own", path="own", unlabelled="unlabelled", folds=2)


CLASSES = {"cat": "Cat", "dog": "Dog"}
RAW = Path("raw")


def test_headers_foretell_what_intake_finds(data):
    for number in range(3):
        for label in CLASSES:
            put(Path("own", label, f"{number}.wav"), 0.3 + 0.1 * number, 8000 * (1 + number), 1 + number % 2)
    long = {"a": 1.0, "b": 1.24, "c": 1.26, "d": 0.99, "e": 2.1}  # the rest of b is too short a clip, that of c is not
    for name, seconds in long.items():
        put(Path("own/cat", f"long_{name}.flac"), seconds, 8000)
    put(Path("own/cat/short.wav"), 0.04)
    put(Path("own/cat/low.wav"), 1.0, 500)
    put(Path("own/outside.wav"))
    Path("own/dog/none.wav").write_bytes(b"no sound")
    Path("own/dog/empty.wav").touch()
    soundfile.write("own/dog/nothing.wav", np.zeros(0), 16000)
    data = data.model_copy(update={"max_seconds": 0.9, "clip_seconds": 0.5, "max_rejected": 0.9})
    files = collect.LISTINGS["own"](data, CLASSES, RAW).files
    told, found = intake.foresee(files, RAW, data), intake.admit(files, RAW, data)
    columns = [column for column in tables.CLIPS if column != "path"]
    pd.testing.assert_frame_equal(told.clips[columns], found.clips[columns])
    pd.testing.assert_frame_equal(told.rejected, found.rejected)
    pd.testing.assert_frame_equal(told.mended, found.mended)
    assert set(told.clips.path) <= set(files.path)
    assert set(told.rejected.kind) == {"too short", "sample rate", "no label", "not audio", "empty"}
    assert len(told.mended) == len(long) and not RAW.joinpath("dog").exists()


def test_folds_are_those_that_will_be_dealt(data):
    for label, many in (("cat", 9), ("dog", 5)):
        for number in range(many):
            put(Path("own", label, f"{number}.wav"), 0.5 + 0.01 * number + 0.2 * (label == "cat"))
    told = survey.deal(survey.survey(data, CLASSES, RAW).admitted.clips, data)
    found = collect.collect(data, CLASSES, RAW).clips
    assert told.set_index("clip_id").fold.to_dict() == found.set_index("clip_id").fold.to_dict()


def test_fewer_recordings_than_folds_lie_in_the_first_folds(data):
    put(Path("own/cat/0.wav"), 2.0)
    put(Path("own/dog/0.wav"), 2.0)
    data = data.model_copy(update={"max_seconds": 1.0, "clip_seconds": 0.2, "folds": 3})
    clips = survey.survey(data, CLASSES, RAW).admitted.clips
    assert set(survey.deal(clips, data).fold) == {1}  # each class's only recording can be tested, or trained on


def test_dogs_are_foretold(data):
    data = data.model_copy(update={"dataset": "dogs", "scale": 0.05})
    classes = {"drink": "Drink", "sneeze": "Sneeze"}
    found = survey.survey(data, classes, RAW)
    made, _ = dogs.collect(data, classes, RAW)
    columns = [column for column in tables.CLIPS if column != "seconds"]
    pd.testing.assert_frame_equal(found.admitted.clips[columns], made[columns])
    assert found.state == "made" and found.files.empty and found.admitted.clips.seconds.isna().all()
    with pytest.raises(dogs.DogsError, match="no class 'cat'"):
        survey.survey(data, CLASSES, RAW)


def test_what_will_be_fetched_is_not_fetched_and_what_was_is_looked_at(data, monkeypatch):
    monkeypatch.setattr("requests.Session.send", lambda *_, **__: pytest.fail("the network was asked"))
    data = data.model_copy(update={"dataset": "esc50", "download": True})
    found = survey.survey(data, {"dog": "Dog", "cat": "Cat"}, RAW)
    assert (found.state, found.archive.name, len(found.files)) == ("fetched", "ESC-50", 0)
    (RAW / "ESC-50").mkdir(parents=True)
    with pytest.raises(PublishedError, match="No ESC-50 at raw/ESC-50"):
        survey.survey(data, {"dog": "Dog", "cat": "Cat"}, RAW)


@pytest.mark.parametrize(
    "labels, alone",
    [
        ({}, 4),
        ({"labels": "pattern", "pattern": "^(?P<label>[a-z]+)/"}, 4),
        ({"labels": "pattern", "pattern": "^(?P<label>[a-z]+)/(?P<source>[a-z])"}, 0),
        ({"labels": "table", "table": "all.csv"}, 1),
    ],
)
def test_files_that_are_their_own_recording_are_counted(data, labels, alone):
    for label in CLASSES:
        for name in ("a1", "a2"):
            put(Path("own", label, f"{name}.wav"))
    rows = ["cat/a1.wav,cat,x", "cat/a2.wav,cat,x", "dog/a1.wav,dog,y", "dog/a2.wav,dog,"]
    Path("own/all.csv").write_text("\n".join(["file,label,source", *rows]))
    assert survey.survey(data.model_copy(update=labels), CLASSES, RAW).alone == alone


def test_classes_that_are_left_out_and_sounds_without_labels_are_found(data):
    for label in (*CLASSES, "newt"):
        put(Path("own", label, "a.wav"))
    put(Path("unlabelled/a.wav"), 2.0)
    Path("unlabelled/b.wav").touch()
    found = survey.survey(data, CLASSES, RAW)
    assert list(found.listed.others) == ["newt"] and found.added_files == 2
    assert found.added.clips.seconds.tolist() == [2.0] and found.added.rejected.kind.tolist() == ["empty"]


def test_lengths_against_a_window():
    seconds = pd.Series([1.0] * 18 + [2.0, 11.0])
    told = survey.lengths(seconds, 2.0)
    assert (told.shortest, told.median, told.most, told.longest) == (1.0, 1.0, 2.0, 11.0)
    assert told.longer == 1 and told.at_once == pytest.approx(22 / 31) and told.padding == pytest.approx(18 / 40)
    assert survey.lengths(seconds, 10.995).longer == 0  # the rounding of a resampler
    assert survey.lengths(pd.Series([np.nan]), 2.0) is None and survey.lengths(pd.Series(dtype=float), 2.0) is None


def test_counts_begin_with_the_most_frequent():
    assert list(survey.counts(pd.Series([8, 16, 16, 4, 8])).items()) == [(8, 2), (16, 2), (4, 1)]
