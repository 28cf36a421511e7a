"""Sounds without labels: which files are listed, how they come in, and that they change nothing of labelled clips."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from settings import settings_of
from test_datasets_duplicates import RATE, sound

from counterpoise.core import tables
from counterpoise.datasets import unlabelled
from counterpoise.datasets.collect import Collected, collect
from counterpoise.datasets.intake import IntakeError
from counterpoise.datasets.own import OwnError
from counterpoise.datasets.settings import Data
from counterpoise.datasets.unlabelled import UnlabelledError

CLASSES = {"bark": "Bark", "howl": "Howl"}


def put(path: Path, wave: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave.T, RATE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labelled sounds in `own`, and an empty folder `unlabelled`."""
    for number in range(8):
        put(tmp_path / "own" / list(CLASSES)[number % 2] / f"{number}.wav", sound(number))
    (tmp_path / "unlabelled").mkdir()
    return tmp_path


def data(folder: Path, **values: object) -> Data:
    places = {"path": str(folder / "own"), "unlabelled": str(folder / "unlabelled")}
    return settings_of(Data, **{"dataset": "own", "folds": 2, "max_rejected": 0.9, **places, **values})


def collected(folder: Path, **values: object) -> Collected:
    shutil.rmtree(folder / "raw", ignore_errors=True)
    return collect(data(folder, **values), CLASSES, folder / "raw")


def labelled(found: Collected) -> list[pd.DataFrame]:
    """All that is said of labelled clips."""
    ids, apart = set(found.unlabelled.clip_id), found.rejected.label == "unlabelled"
    pairs = found.duplicates[~found.duplicates[["clip_id", "twin"]].isin(ids).any(axis=1)]
    return [table.reset_index(drop=True) for table in (found.clips, found.rejected[~apart], pairs)]


def test_every_sound_below_the_folder_is_listed_as_its_own_recording(folder):
    root = folder / "unlabelled"
    for name in ("b.wav", "day 1/a.flac", "day 1/phone.m4a", "README.md", ".hidden.wav", ".git/a.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).touch()
    (root / "up").symlink_to("..")
    files = unlabelled.listing(data(folder))
    assert files.dtypes.astype(str).to_dict() == tables.FILES
    names = ["b.wav", "day 1/a.flac", "day 1/phone.m4a", "up"]
    assert files.path.tolist() == [(root / name).as_posix() for name in names]
    assert files.source_id.tolist() == [f"unlabelled/{name}" for name in names]
    assert set(files.label) == {"unlabelled"} and set(files.fold) == {tables.NO_FOLD}


def test_a_missing_folder_and_one_that_lies_in_the_other_are_told(folder):
    with pytest.raises(UnlabelledError, match=r"No folder at data.unlabelled .*nowhere"):
        unlabelled.listing(data(folder, unlabelled=str(folder / "nowhere")))
    for path, apart in (("own", "own/bark"), ("own/bark", "own"), ("own", "own")):
        with pytest.raises(UnlabelledError, match="one lies in the other"):
            unlabelled.listing(data(folder, path=str(folder / path), unlabelled=str(folder / apart)))


def test_a_folder_that_cannot_be_listed_is_told(folder, monkeypatch):
    def failing(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.scandir", failing)
    with pytest.raises(OwnError, match="unlabelled cannot be listed: Input/output error"):
        unlabelled.listing(data(folder))


def test_without_any_there_are_empty_tables(folder):
    found = collected(folder)
    assert found.unlabelled.empty and list(found.unlabelled.columns) == list(tables.CLIPS)
    assert found.related.empty and list(found.related.columns) == list(tables.RELATED)
    assert len(found.clips) == 8


def test_they_pass_the_intake_and_get_names_of_their_own(folder):
    put(folder / "unlabelled/bark/0.wav", sound(30) + np.float32(0.1))  # the path of a labelled clip, and an offset
    put(folder / "unlabelled/long.wav", sound(31, 9.0))
    put(folder / "unlabelled/short.wav", sound(32, 0.01))
    found = collected(folder, max_seconds=5.0, clip_seconds=3.0)
    assert found.unlabelled.source_id.tolist() == ["unlabelled/bark/0.wav", *["unlabelled/long.wav"] * 3]
    assert set(found.unlabelled.label) == {"unlabelled"} and set(found.unlabelled.fold) == {tables.NO_FOLD}
    assert not set(found.unlabelled.clip_id) & set(found.clips.clip_id)
    assert all(Path(path).parent == folder / "raw/unlabelled" for path in found.unlabelled.path)  # mended, and cut
    assert found.rejected[["label", "kind"]].to_numpy().tolist() == [["unlabelled", "too short"]]
    assert set(found.mended.kind) == {"constant offset subtracted", "cut into clips"}
    assert found.related.empty


def test_too_large_a_share_of_rejected_files_names_their_folder(folder):
    put(folder / "unlabelled/a.wav", np.zeros((1, RATE), dtype=np.float32))
    with pytest.raises(IntakeError, match=r"(?s)1 of 1 files.*correct data.unlabelled"):
        collected(folder, max_rejected=0.5)


def test_recordings_that_share_sound_with_labelled_ones_are_related_to_them_also_through_others(folder):
    both = np.concatenate([sound(0), sound(1), sound(50)], axis=1)  # of a bark and of a howl
    put(folder / "unlabelled/copy.wav", sound(2))
    put(folder / "unlabelled/other.wav", sound(60))
    put(folder / "unlabelled/session.wav", both)
    put(folder / "unlabelled/through.wav", sound(50))
    found = collected(folder, max_seconds=5.0, clip_seconds=3.0)
    assert found.related.to_numpy().tolist() == [
        ["unlabelled/copy.wav", "bark/2.wav"],
        ["unlabelled/session.wav", "bark/0.wav"],
        ["unlabelled/session.wav", "howl/1.wav"],
        ["unlabelled/through.wav", "bark/0.wav"],
        ["unlabelled/through.wav", "howl/1.wav"],
    ]
    assert len(found.unlabelled) == 6  # whether they may be learned is decided by the split
    assert collected(folder, duplicates=False).related.empty


def test_labelled_clips_are_the_same_with_them_and_without(folder):
    put(folder / "own/bark/0 again.wav", 0.5 * sound(0))  # one recording with its original
    put(folder / "own/howl/3 clash.wav", sound(2))  # a bark, so that neither is taken
    without = collected(folder, max_seconds=5.0, clip_seconds=3.0)
    assert len(without.clips) == 8 and without.clips.source_id.nunique() == 7
    put(folder / "unlabelled/session.wav", np.concatenate([sound(0), sound(1), sound(2)], axis=1))
    put(folder / "unlabelled/copy.wav", sound(3))
    found = collected(folder, max_seconds=5.0, clip_seconds=3.0)
    assert len(found.unlabelled) == 4
    for table, expected in zip(labelled(found), labelled(without)):
        pd.testing.assert_frame_equal(table, expected)
    # What was left out of the labelled clips names no recording that there is
    assert set(found.related.labelled) <= set(found.clips.source_id)
    assert set(found.related.labelled) == {"bark/0 again.wav", "howl/1.wav", "howl/3.wav"}


def test_duplicates_of_dogs_are_found_too(folder):
    dogs = {"dataset": "dogs", "scale": 0.01}
    without = collect(data(folder, **dogs), CLASSES, folder / "raw")
    twin = without.clips.iloc[3]
    shutil.copy(twin.path, folder / "unlabelled/dog.flac")
    put(folder / "unlabelled/other.wav", sound(9))
    found = collect(data(folder, **dogs), CLASSES, folder / "raw")
    pd.testing.assert_frame_equal(found.clips, without.clips)
    assert found.unlabelled.source_id.tolist() == ["unlabelled/dog.flac", "unlabelled/other.wav"]
    assert found.related.to_numpy().tolist() == [["unlabelled/dog.flac", twin.source_id]]
    (pair,) = found.duplicates.itertuples()
    assert {pair.clip_id, pair.twin} == {twin.clip_id, found.unlabelled.clip_id[0]} and pair.kind == "exact"
