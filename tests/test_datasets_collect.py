"""What becomes of a whole collection: folds that it has, classes that vanish, and what was taken to be so."""

import numpy as np
import pytest
import soundfile
from settings import settings_of

from counterpoise.datasets.collect import collect, folds_of
from counterpoise.datasets.intake import IntakeError
from counterpoise.datasets.settings import Data

CLASSES = {"cat": "Cat", "dog": "Dog"}


def put(path, seed, silent=False):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, (not silent) * 0.1 * np.random.default_rng(seed).standard_normal(4000), 8000)


def data(folder, **values):
    (folder / "unlabelled").mkdir(exist_ok=True)
    places = {"path": str(folder / "own"), "unlabelled": str(folder / "unlabelled")}
    return settings_of(Data, **{"dataset": "own", "max_rejected": 0.9, "folds": 3} | places | values)


def test_folders_that_are_a_split_become_folds_and_that_is_said(tmp_path):
    for fold, part in enumerate(("train", "val", "test"), start=1):
        for number in range(2):
            put(tmp_path / f"own/{part}/cat/{part}{number}.wav", 10 * fold + number)
            put(tmp_path / f"own/{part}/dog/{part}{number}.wav", 100 * fold + number)
    (tmp_path / "own/README.txt").touch()
    found = collect(data(tmp_path), CLASSES, tmp_path / "raw")
    assert found.clips.groupby("fold").path.agg(lambda own: own.str.split("/").str[-3].unique().tolist()).to_dict() == {
        1: ["train"],
        2: ["val"],
        3: ["test"],
    }
    assert [one.about for one in found.remarks] == ["split_folders"] == found.mended.kind.tolist()
    assert found.rejected.kind.tolist() == ["no sound"]
    assert folds_of(data(tmp_path)) == {1, 2, 3}


def test_a_class_that_is_all_silent_stops_the_run_by_name(tmp_path):
    for number in range(4):
        put(tmp_path / f"own/cat/{number}.wav", number)
        put(tmp_path / f"own/dog/{number}.wav", number, silent=True)
    with pytest.raises(IntakeError, match=r"dog: 4 files \(4 silent\)"):
        collect(data(tmp_path), CLASSES, tmp_path / "raw")


def test_what_lies_beside_sounds_without_labels_is_told(tmp_path):
    for number in range(6):
        put(tmp_path / f"own/{list(CLASSES)[number % 2]}/{number}.wav", number)
    settings = data(tmp_path)
    for name in ("README.md", "notes.txt"):
        (tmp_path / "unlabelled" / name).touch()
    rejected = collect(settings, CLASSES, tmp_path / "raw").rejected
    assert rejected[["label", "kind"]].to_numpy().tolist() == [["unlabelled", "no sound"]]
    assert "notes.txt" in rejected.reason.iloc[0]


def test_the_folds_of_a_source_are_known_before_anything_is_read(tmp_path):
    put(tmp_path / "own/cat/1.wav", 0)
    put(tmp_path / "own/dog/1.wav", 1)
    assert folds_of(data(tmp_path, folds=4)) == {1, 2, 3, 4}
    assert folds_of(data(tmp_path, dataset="dogs")) == {1, 2, 3}
    assert folds_of(data(tmp_path, dataset="urbansound8k")) == set(range(1, 11))
    (tmp_path / "own/all.csv").write_text("file,label,fold\ncat/1.wav,cat,0\ndog/1.wav,dog,7\n")
    assert folds_of(data(tmp_path, labels="table", table="all.csv")) == {0, 7}
