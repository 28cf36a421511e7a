from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from counterpoise import catalog
from counterpoise.datasets import urbansound8k
from counterpoise.datasets.urbansound8k import UrbanSound8KError, collect
from counterpoise.params import Data

CLASSES = {"dog_bark": "Dog bark", "siren": "Siren"}
RAW = Path("unused")


def data(path):
    return Data(dataset="urbansound8k", path=str(path))


def lay_out(root, rate=8000, channels=1):
    """Twelve clips: two of each of three classes in folds 1 and 10."""
    rows = []
    for label, number in (("dog_bark", 3), ("siren", 8), ("drilling", 4)):
        for fold in (1, 10):
            (root / "audio" / f"fold{fold}").mkdir(parents=True, exist_ok=True)
            for clip in range(2):
                freesound_id = 1000 * number + fold
                name = f"{freesound_id}-{number}-0-{clip}.wav"
                wave = np.random.default_rng(freesound_id + clip).normal(0, 0.1, (rate // 4 * (clip + 1), channels))
                soundfile.write(root / "audio" / f"fold{fold}" / name, wave, rate, subtype="PCM_16")
                rows.append((name, freesound_id, 0.0, 0.25, 1, fold, number, label))
    columns = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    (root / "metadata").mkdir()
    pd.DataFrame(rows, columns=columns).to_csv(root / "metadata" / "UrbanSound8K.csv", index=False)
    return root


def change_metadata(root, change):
    path = root / "metadata" / "UrbanSound8K.csv"
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def test_the_classes_asked_for_become_a_catalogue(tmp_path):
    root = lay_out(tmp_path, rate=22050, channels=2)
    clips, rejected = collect(data(root), CLASSES, RAW)
    assert dict(clips.dtypes.astype(str)) == catalog.CLIPS and len(clips) == 8
    assert dict(rejected.dtypes.astype(str)) == catalog.REJECTED and rejected.empty
    assert set(clips.label) == {"dog_bark", "siren"}
    catalog.check_clips(clips)
    clip = clips.set_index("clip_id").loc["3010-3-0-1"]
    assert clip.source_id == "fs3010" and clip.fold == 10 and clip.label == "dog_bark"
    assert clip.path == (root / "audio" / "fold10" / "3010-3-0-1.wav").as_posix()
    assert (clip.sample_rate, clip.channels) == (22050, 2)
    assert clip.seconds == pytest.approx(0.5, abs=1e-3)


def test_the_folder_above_will_do_and_a_relative_path_stays_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds" / "UrbanSound8K").mkdir(parents=True)
    lay_out(tmp_path / "sounds" / "UrbanSound8K")
    clips, _ = collect(data("sounds"), CLASSES, RAW)
    assert clips.path.str.startswith("sounds/UrbanSound8K/audio/fold").all()


def test_the_same_recording_in_the_metadata_is_one_source(tmp_path):
    clips, _ = collect(data(lay_out(tmp_path)), CLASSES, RAW)
    assert clips.groupby("source_id").size().to_dict() == {"fs3001": 2, "fs3010": 2, "fs8001": 2, "fs8010": 2}


def test_files_that_cannot_be_used_are_listed_with_the_reason(tmp_path):
    root = lay_out(tmp_path)
    folder = root / "audio" / "fold1"
    (folder / "3001-3-0-0.wav").unlink()
    (folder / "3001-3-0-1.wav").write_bytes(b"no sound at all")
    soundfile.write(folder / "8001-8-0-0.wav", np.zeros(0), 8000)
    soundfile.write(folder / "8001-8-0-1.wav", np.full(100, np.nan), 8000, subtype="FLOAT")
    clips, rejected = collect(data(root), CLASSES, RAW)
    assert clips.fold.tolist() == [10] * 4
    reasons = {Path(row.path).stem: row.reason for row in rejected.itertuples()}
    assert reasons["3001-3-0-0"] == "the file is missing"
    assert reasons["3001-3-0-1"].startswith("not readable as audio")
    assert reasons["8001-8-0-0"] == "holds no samples"
    assert reasons["8001-8-0-1"] == "holds NaN or infinite samples"
    assert rejected.label.tolist() == ["dog_bark", "dog_bark", "siren", "siren"]


def test_a_file_cut_short_has_the_length_that_can_be_read(tmp_path):
    root = lay_out(tmp_path)
    path = root / "audio" / "fold1" / "3001-3-0-1.wav"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    clips, rejected = collect(data(root), CLASSES, RAW)
    assert rejected.empty
    assert clips.set_index("clip_id").seconds["3001-3-0-1"] == pytest.approx(0.25, abs=0.01)


def test_more_than_half_of_the_files_unusable_is_an_error_with_the_first_reasons(tmp_path):
    root = lay_out(tmp_path)
    for path in [*(root / "audio" / "fold1").iterdir(), root / "audio" / "fold10" / "3010-3-0-0.wav"]:
        path.unlink()
    with pytest.raises(UrbanSound8KError, match="5 of 8 files") as caught:
        collect(data(root), CLASSES, RAW)
    assert "3001-3-0-0.wav: the file is missing" in str(caught.value)
    assert urbansound8k.ARCHIVE in str(caught.value)


def test_a_missing_data_set_says_what_was_looked_for_and_where_to_get_it(tmp_path):
    with pytest.raises(UrbanSound8KError) as caught:
        collect(data(tmp_path / "nowhere"), CLASSES, RAW)
    message = str(caught.value)
    for part in ("nowhere/metadata/UrbanSound8K.csv", "nowhere/UrbanSound8K/metadata", "data.path"):
        assert part in message
    assert urbansound8k.URL in message and urbansound8k.LICENCE in message


def test_a_class_that_the_data_set_lacks_is_named_beside_those_it_has(tmp_path):
    with pytest.raises(UrbanSound8KError, match=r"no class cat; its classes are dog_bark, drilling, siren"):
        collect(data(lay_out(tmp_path)), CLASSES | {"cat": "Cat"}, RAW)


@pytest.mark.parametrize("fold", ["11", "0", "one", ""])
def test_a_fold_outside_one_to_ten_is_an_error_that_names_the_row(tmp_path, fold):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: table.assign(fold=[fold, *table.fold[1:]]))
    with pytest.raises(UrbanSound8KError, match=rf"1 row\(s\).*3001-3-0-0.wav \(fold {fold}\)"):
        collect(data(root), CLASSES, RAW)


def test_a_file_named_twice_is_an_error(tmp_path):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: pd.concat([table, table.head(1)]))
    with pytest.raises(UrbanSound8KError, match="3001-3-0-0.wav"):
        collect(data(root), CLASSES, RAW)


def test_metadata_of_another_form_is_an_error(tmp_path):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: table.drop(columns=["fsID", "fold"]))
    with pytest.raises(UrbanSound8KError, match=r"lacks the column\(s\) fsID, fold"):
        collect(data(root), CLASSES, RAW)
    (root / "metadata" / "UrbanSound8K.csv").write_bytes(b"")
    with pytest.raises(UrbanSound8KError, match="not a readable table"):
        collect(data(root), CLASSES, RAW)
