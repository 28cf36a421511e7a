import dataclasses
import hashlib
import tarfile
from pathlib import Path

import pandas as pd
import pooch
import pytest
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets import urbansound8k
from counterpoise.datasets.published import PublishedError
from counterpoise.datasets.settings import Data
from counterpoise.datasets.urbansound8k import COLLECTION, listing

CLASSES = {"dog_bark": "Dog bark", "siren": "Siren"}
RAW = Path("unused")


def data(path, **values):
    return settings_of(Data, dataset="urbansound8k", path=str(path), **values)


def lay_out(root):
    """Twelve files without sound: two of each of three classes in folds 1 and 10."""
    rows = []
    for label, number in (("dog_bark", 3), ("siren", 8), ("drilling", 4)):
        for fold in (1, 10):
            (root / "audio" / f"fold{fold}").mkdir(parents=True, exist_ok=True)
            for clip in range(2):
                freesound_id = 1000 * number + fold
                name = f"{freesound_id}-{number}-0-{clip}.wav"
                (root / "audio" / f"fold{fold}" / name).write_bytes(b"")
                rows.append((name, freesound_id, 0.0, 0.25, 1, fold, number, label))
    columns = ["slice_file_name", "fsID", "start", "end", "salience", "fold", "classID", "class"]
    (root / "metadata").mkdir()
    pd.DataFrame(rows, columns=columns).to_csv(root / "metadata" / "UrbanSound8K.csv", index=False)
    return root


def change_metadata(root, change):
    path = root / "metadata" / "UrbanSound8K.csv"
    change(pd.read_csv(path, dtype=str)).to_csv(path, index=False)


def test_the_classes_asked_for_are_listed_in_the_table_s_order(tmp_path):
    root = lay_out(tmp_path)
    files = listing(data(root), CLASSES, RAW)
    assert dict(files.dtypes.astype(str)) == tables.FILES
    assert files.label.tolist() == ["dog_bark"] * 4 + ["siren"] * 4
    assert files.fold.tolist() == [1, 1, 10, 10] * 2
    assert files.path[3] == (root / "audio" / "fold10" / "3010-3-0-1.wav").as_posix()
    assert files.path.map(lambda path: Path(path).is_file()).all()


def test_files_of_the_same_freesound_recording_have_one_source(tmp_path):
    files = listing(data(lay_out(tmp_path)), CLASSES, RAW)
    assert files.groupby("source_id").size().to_dict() == {"fs3001": 2, "fs3010": 2, "fs8001": 2, "fs8010": 2}


def test_a_missing_file_is_listed_all_the_same(tmp_path):
    root = lay_out(tmp_path)
    before = listing(data(root), CLASSES, RAW)
    (root / "audio" / "fold1" / "3001-3-0-0.wav").unlink()
    pd.testing.assert_frame_equal(listing(data(root), CLASSES, RAW), before)


def test_the_folder_above_will_do_and_a_relative_path_stays_relative(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sounds" / "UrbanSound8K").mkdir(parents=True)
    lay_out(tmp_path / "sounds" / "UrbanSound8K")
    files = listing(data("sounds"), CLASSES, RAW)
    assert files.path.str.startswith("sounds/UrbanSound8K/audio/fold").all()


def test_with_download_the_archive_is_unpacked_in_raw_and_listed_from_there(tmp_path, monkeypatch):
    lay_out(tmp_path / "UrbanSound8K")
    packed = tmp_path / "cache" / "counterpoise" / "UrbanSound8K.tar.gz"
    packed.parent.mkdir(parents=True)
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tmp_path / "UrbanSound8K", "UrbanSound8K")
    checksum = f"md5:{hashlib.md5(packed.read_bytes()).hexdigest()}"
    here = dataclasses.replace(COLLECTION.archive, urls=("http://127.0.0.1:1/closed",), checksum=checksum)
    monkeypatch.setattr(urbansound8k, "COLLECTION", dataclasses.replace(COLLECTION, archive=here))
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    files = listing(data("elsewhere", download=True), CLASSES, tmp_path / "raw")
    assert files.path.str.startswith((tmp_path / "raw" / "UrbanSound8K" / "UrbanSound8K" / "audio").as_posix()).all()
    assert len(files) == 8 and files.path.map(lambda path: Path(path).is_file()).all()


def test_a_missing_data_set_says_what_was_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(PublishedError) as caught:
        listing(data(tmp_path / "nowhere"), CLASSES, RAW)
    message = str(caught.value)
    for part in ("nowhere/metadata/UrbanSound8K.csv", "nowhere/UrbanSound8K/metadata", "data.path", "data.download"):
        assert part in message
    assert COLLECTION.archive.homepage in message and COLLECTION.archive.licence in message


def test_a_class_that_the_data_set_lacks_is_named_beside_those_it_has(tmp_path):
    with pytest.raises(PublishedError, match=r"no class cat; its classes are dog_bark, drilling, siren"):
        listing(data(lay_out(tmp_path)), CLASSES | {"cat": "Cat"}, RAW)


@pytest.mark.parametrize("fold", ["11", "0", "one", ""])
def test_a_fold_outside_one_to_ten_is_an_error_that_names_the_row(tmp_path, fold):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: table.assign(fold=[fold, *table.fold[1:]]))
    with pytest.raises(PublishedError, match=rf"1 row\(s\).*1\.\.10: 3001-3-0-0.wav \(source 3001, fold {fold}\)"):
        listing(data(root), CLASSES, RAW)


@pytest.mark.parametrize("source", ["", "unknown", "-1"])
def test_a_row_without_its_recording_is_an_error(tmp_path, source):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: table.assign(fsID=[*table.fsID[:-1], source]))
    with pytest.raises(PublishedError, match=r"no Freesound id in fsID: 4010-4-0-1.wav"):
        listing(data(root), CLASSES, RAW)


def test_a_file_named_twice_is_an_error(tmp_path):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: pd.concat([table, table.head(1)]))
    with pytest.raises(PublishedError, match="repeat a file that an earlier row has: 3001-3-0-0.wav"):
        listing(data(root), CLASSES, RAW)


def test_metadata_of_another_form_is_an_error(tmp_path):
    root = lay_out(tmp_path)
    change_metadata(root, lambda table: table.drop(columns=["fsID", "fold"]))
    with pytest.raises(PublishedError, match=r"lacks the column\(s\) fsID, fold"):
        listing(data(root), CLASSES, RAW)
    for content in (b"", b"\xff\xfe\x00", b'a,b\n"c'):
        (root / "metadata" / "UrbanSound8K.csv").write_bytes(content)
        with pytest.raises(PublishedError, match="not a readable table"):
            listing(data(root), CLASSES, RAW)


def test_a_collection_that_others_have_repacked_is_found(tmp_path):
    root = lay_out(tmp_path / "official")
    before = listing(data(root), CLASSES, RAW)
    repacked = tmp_path / "repacked/archive"
    for fold in (1, 10):
        (repacked / f"fold{fold}").parent.mkdir(parents=True, exist_ok=True)
        (root / "audio" / f"fold{fold}").rename(repacked / f"fold{fold}")
    (root / "metadata/UrbanSound8K.csv").rename(repacked / "UrbanSound8K.csv")
    files = listing(data(tmp_path / "repacked"), CLASSES, RAW)
    assert files.path.tolist() == [path.replace(f"{root}/audio", str(repacked)) for path in before.path]
    pd.testing.assert_frame_equal(files.drop(columns="path"), before.drop(columns="path"))


def test_of_two_tables_none_is_guessed(tmp_path):
    for name in "ab":
        lay_out(tmp_path / name)
    with pytest.raises(PublishedError, match="holds 2 tables of UrbanSound8K"):
        listing(data(tmp_path), CLASSES, RAW)
