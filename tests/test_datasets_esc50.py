import dataclasses
import hashlib
import zipfile
from pathlib import Path

import pandas as pd
import pooch
import pytest
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets import esc50
from counterpoise.datasets.esc50 import COLLECTION, listing
from counterpoise.datasets.fetch import FetchError
from counterpoise.datasets.published import PublishedError
from counterpoise.datasets.settings import Data

CLASSES = {"dog": "Dog", "crackling_fire": "Crackling fire"}
RAW = Path("unused")


def data(path, **values):
    return settings_of(Data, dataset="esc50", path=str(path), **values)


def lay_out(root):
    """Fifteen files without sound: one of each of three classes in each fold; dog and rooster share recordings."""
    rows = []
    for target, category in ((0, "dog"), (1, "rooster"), (12, "crackling_fire")):
        for fold in range(1, 6):
            source = 100 * fold + (target if target > 1 else 0)
            name = f"{fold}-{source}-A-{target}.wav"
            rows.append((name, fold, target, category, True, source, "A"))
    (root / "audio").mkdir(parents=True)
    (root / "meta").mkdir()
    columns = ["filename", "fold", "target", "category", "esc10", "src_file", "take"]
    pd.DataFrame(rows, columns=columns).to_csv(root / "meta" / "esc50.csv", index=False)
    for name, *_ in rows:
        (root / "audio" / name).write_bytes(name.encode())
    return root


def publish(root, monkeypatch, folder="ESC-50-master"):
    """Put the collection at `root`, packed as GitHub does, into the cache, as if it had been fetched by hand."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: root.parent / "cache" / name)
    packed = root.parent / "cache" / "counterpoise" / "ESC-50.zip"
    packed.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(root.rglob("*")):
            archive.write(path, f"{folder}/{path.relative_to(root).as_posix()}")
    here = dataclasses.replace(COLLECTION.archive, urls=("http://127.0.0.1:1/closed",))
    monkeypatch.setattr(esc50, "COLLECTION", dataclasses.replace(COLLECTION, archive=here))


def take_as_published(root, monkeypatch):
    monkeypatch.setattr(esc50, "TABLE_MD5", hashlib.md5((root / "meta" / "esc50.csv").read_bytes()).hexdigest())
    lines = [
        f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted((root / "audio").iterdir())
    ]
    monkeypatch.setattr(esc50, "AUDIO_SHA256", hashlib.sha256("".join(lines).encode()).hexdigest())


def test_the_classes_asked_for_are_listed_with_their_official_folds(tmp_path):
    root = lay_out(tmp_path / "ESC-50-master")
    files = listing(data(root), CLASSES, RAW)
    assert dict(files.dtypes.astype(str)) == tables.FILES
    assert files.label.tolist() == ["dog"] * 5 + ["crackling_fire"] * 5
    assert files.fold.tolist() == [1, 2, 3, 4, 5] * 2
    assert files.path[5] == (root / "audio" / "1-112-A-12.wav").as_posix()
    assert files.source_id[5] == "fs112"


def test_two_classes_cut_from_one_recording_share_its_source(tmp_path):
    files = listing(data(lay_out(tmp_path)), {"dog": "Dog", "rooster": "Rooster"}, RAW)
    assert files.groupby("source_id").label.agg(set).tolist() == [{"dog", "rooster"}] * 5


@pytest.mark.parametrize("folder", ["ESC-50-master", "ESC-50", f"ESC-50-{esc50.COMMIT}"])
def test_the_folder_above_will_do(tmp_path, folder):
    lay_out(tmp_path / folder)
    assert listing(data(tmp_path), CLASSES, RAW).path.str.startswith((tmp_path / folder).as_posix()).all()


def test_a_missing_file_is_listed_all_the_same(tmp_path):
    root = lay_out(tmp_path)
    (root / "audio" / "1-112-A-12.wav").unlink()
    assert len(listing(data(root), CLASSES, RAW)) == 10


def test_a_class_that_the_data_set_lacks_is_named_beside_those_it_has(tmp_path):
    with pytest.raises(PublishedError, match="ESC-50 has no class cat; its classes are crackling_fire, dog, rooster"):
        listing(data(lay_out(tmp_path)), CLASSES | {"cat": "Cat"}, RAW)


def test_a_sixth_fold_is_an_error(tmp_path):
    root = lay_out(tmp_path)
    table = pd.read_csv(root / "meta" / "esc50.csv")
    table.assign(fold=table.fold + 1).to_csv(root / "meta" / "esc50.csv", index=False)
    with pytest.raises(PublishedError, match=r"3 row\(s\) have a fold that is not 1\.\.5: 5-500-A-0.wav"):
        listing(data(root), CLASSES, RAW)


def test_a_missing_data_set_says_what_was_looked_for_and_how_to_get_it(tmp_path):
    with pytest.raises(PublishedError) as caught:
        listing(data(tmp_path), CLASSES, RAW)
    for part in ("No ESC-50", "ESC-50-master/meta/esc50.csv", "data.download", "github.com/karolpiczak/ESC-50"):
        assert part in str(caught.value)


@pytest.mark.parametrize("folder", ["ESC-50-master", f"ESC-50-{esc50.COMMIT}"])
def test_with_download_the_published_content_is_unpacked_in_raw(tmp_path, monkeypatch, folder):
    root = lay_out(tmp_path / "made")
    publish(root, monkeypatch, folder)
    take_as_published(root, monkeypatch)
    files = listing(data("elsewhere", download=True), CLASSES, tmp_path / "raw")
    assert files.path[0] == (tmp_path / "raw" / "ESC-50" / folder / "audio" / "1-100-A-0.wav").as_posix()
    assert files.path.map(lambda path: Path(path).is_file()).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda root: (root / "audio" / "1-100-A-0.wav").write_bytes(b"other"), "15 audio files are not the 2000"),
        (lambda root: (root / "audio" / "1-100-A-0.wav").unlink(), "14 audio files are not the 2000"),
        (lambda root: (root / "audio" / "new.wav").write_bytes(b"new"), "16 audio files are not the 2000"),
        (lambda root: (root / "meta" / "esc50.csv").write_text("another"), "esc50.csv has the MD5"),
        (lambda root: (root / "meta" / "esc50.csv").unlink(), "is not ESC-50"),
    ],
)
def test_an_archive_with_other_content_is_refused_and_leaves_nothing(tmp_path, monkeypatch, change, reason):
    root = lay_out(tmp_path / "made")
    take_as_published(root, monkeypatch)
    change(root)
    publish(root, monkeypatch)
    with pytest.raises(FetchError, match=reason):
        listing(data("elsewhere", download=True), CLASSES, tmp_path / "raw")
    assert list((tmp_path / "raw").iterdir()) == []
