"""What lies below a folder: sounds by name and by content, and a word on all else."""

import pytest
import soundfile
from settings import settings_of

from counterpoise.datasets import own, tree
from counterpoise.datasets.settings import Data


def put(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("format, kind", [("WAV", "WAV"), ("FLAC", "FLAC"), ("OGG", "Ogg"), ("AIFF", "AIFF or SVX")])
def test_a_sound_is_known_by_its_content_whatever_it_is_called(tmp_path, format, kind):
    for name in ("sound", "sound.dat", "sound.2021-05-03"):
        with open(tmp_path / name, "wb") as file:
            soundfile.write(file, [0.1] * 800, 8000, format=format)
        assert tree.container(tmp_path / name) == kind and tree.is_sound(tmp_path / name)


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"\0\0\0\x20ftypM4A ", "MPEG-4"),
        (b"#!AMR\n", "AMR"),
        (b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
        (b"RIFF\0\0\0\0AVI LIST", None),
        (b"plain text, and no sound", None),
        (b"", None),
    ],
)
def test_containers_are_known_by_their_first_bytes(tmp_path, content, kind):
    assert tree.container(put(tmp_path / "x", content)) == kind


def test_endings_of_other_things_are_not_opened(tmp_path):
    assert not tree.is_sound(put(tmp_path / "x.txt", b"fLaC")) and tree.is_sound(put(tmp_path / "x.xyz", b"fLaC"))
    assert tree.is_sound(tmp_path / "not there.wav") and not tree.is_sound(tmp_path / "not there.xyz")


def test_what_is_passed_over_is_summed_up_by_ending(tmp_path):
    for name in ("dog/1.wav", "dog/1.txt", "dog/2.TXT", "a.jpg", "strange", ".hidden.wav", ".git/x", "dog/odd\n.csv"):
        put(tmp_path / name)
    rejected = own.look(settings_of(Data, dataset="own", path=str(tmp_path))).passed_over
    assert dict(zip(rejected.path.str.removeprefix(f"{tmp_path}/"), rejected.reason)) == {
        "*": "no sound: 1 file without an ending: strange",
        "*.csv": r"no sound: 1 file ending in .csv: dog/odd\x0a.csv",
        "*.jpg": "no sound: 1 file ending in .jpg: a.jpg",
        "*.txt": "no sound: 2 files ending in .txt: dog/1.txt, dog/2.TXT",
        ".*": "no sound: 2 files, hidden: .git, .hidden.wav",
    }
    assert set(rejected.kind) == {"no sound"} and set(rejected.label) == {""}


def test_a_class_that_is_not_asked_for_is_named_once(tmp_path):
    for number in range(3):
        put(tmp_path / f"dog/{number}.wav")
        put(tmp_path / f"Sea cow/{number}.wav")
    listed = own.listed(settings_of(Data, dataset="own", path=str(tmp_path)), {"dog": "Dog"}, tmp_path)
    assert listed.others == ("Sea cow",)
    assert listed.passed_over[["label", "kind"]].to_numpy().tolist() == [["sea_cow", "left out"]]
    assert "3 file(s) or events of 'Sea cow'" in listed.passed_over.reason[0]
