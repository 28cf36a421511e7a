"""The user's own folder: which files are found, what they are called, and what is said when that cannot be told."""

import csv
import json
import os
import shutil
import unicodedata
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError
from settings import settings_of

from counterpoise.core import tables
from counterpoise.core.naming import slug
from counterpoise.datasets import own, tree
from counterpoise.datasets.own import OwnError, find_classes, listing
from counterpoise.datasets.settings import Data

RAW = Path("unused")
AWKWARD = [
    "a b.wav",
    "quote'\"s.wav",
    "new\nline.wav",
    "$(touch gone).wav",
    "-rf.wav",
    "comma,;tab\t.wav",
    unicodedata.normalize("NFC", "café.wav"),
    unicodedata.normalize("NFD", "naïve.wav"),
    "犬の声.wav",
    "#null.wav",
    "NA.wav",
    "%20*?.wav",
]


def lay_out(root, *files):
    """Empty files: the listing must not look into them."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def data(root, **values):
    return settings_of(Data, dataset="own", path=str(root), **values)


def listed(root, classes=None, **values):
    """What is found, by its path below the folder."""
    settings = data(root, **values)
    files = listing(settings, classes or find_classes(settings), RAW)
    return {Path(row.path).relative_to(root).as_posix(): row for row in files.itertuples()}


def message(root, classes=None, **values):
    with pytest.raises(OwnError) as caught:
        listed(root, classes, **values)
    return str(caught.value)


def test_every_sound_below_the_folder_is_found_and_nothing_else(tmp_path):
    sounds = [f"cat/{number}.{ending}" for number, ending in enumerate(tree.EXTENSIONS)]
    lay_out(tmp_path, *sounds, "cat/LOUD.WAV", "cat/phone.m4a", "cat/notes.txt", "README.md", "cat/README.md")
    lay_out(tmp_path, "cat/.hidden.wav", ".git/a.wav", "cat/._0.wav", "cat/wav")
    assert set(listed(tmp_path)) == {*sounds, "cat/LOUD.WAV", "cat/phone.m4a"}


def test_the_listing_has_its_columns_and_is_sorted(tmp_path):
    lay_out(tmp_path, "b/2.wav", "a/1.wav", "b/1.wav")
    files = listing(data(tmp_path), {"a": "A", "b": "B"}, RAW)
    assert files.dtypes.astype(str).to_dict() == tables.FILES
    assert files.path.tolist() == [f"{tmp_path.as_posix()}/{file}" for file in ("a/1.wav", "b/1.wav", "b/2.wav")]
    assert files.fold.tolist() == [tables.NO_FOLD] * 3
    assert files.source_id.tolist() == ["a/1.wav", "b/1.wav", "b/2.wav"]


def test_the_direct_parent_is_the_label(tmp_path):
    lay_out(tmp_path, "dogs/Loud Bark/day 1/x.wav", "dogs/Loud Bark/y.wav", "z.wav")
    assert {file: row.label for file, row in listed(tmp_path).items()} == {
        "dogs/Loud Bark/day 1/x.wav": "day_1",
        "dogs/Loud Bark/y.wav": "loud_bark",
        "z.wav": "",
    }
    assert find_classes(data(tmp_path)) == {"day_1": "day 1", "loud_bark": "Loud Bark"}


def test_classes_choose_among_the_labels(tmp_path):
    lay_out(tmp_path, "cat/1.wav", "dog/1.wav", "cow/1.wav")
    assert set(listed(tmp_path, {"cat": "Cat", "cow": "Cow"})) == {"cat/1.wav", "cow/1.wav"}


def test_a_class_without_files_is_an_error_that_names_what_is_there(tmp_path):
    lay_out(tmp_path, "Cat/1.wav", "Cat/2.wav", "dog/1.wav")
    text = message(tmp_path, {"cat": "Cat", "bird": "Bird", "fish": "Fish"})
    assert "bird, fish" in text and "cat (2 files), dog (1 files)" in text


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Dog bark", "dog_bark"),
        ("  Dog--Bark!  ", "dog_bark"),
        ("Geräusch", "gerausch"),
        (unicodedata.normalize("NFD", "Geräusch"), "gerausch"),
        ("STRASSE Straße", "strasse_strasse"),
        ("ﬁre ２", "fire_2"),
        ("../../etc", "etc"),
        ("$(rm -rf ~)", "rm_rf"),
        ("犬", "u1e82f9b0"),
        ("x" * 300, "x" * 64),
    ],
)
def test_a_slug_is_plain(text, expected):
    assert slug(text) == expected


def test_names_without_any_ascii_keep_apart():
    names = ["犬", "猫", "!!!", "", "🐶"]
    assert len({slug(name) for name in names}) == len(names)


def test_two_labels_with_one_slug_are_an_error_that_names_both(tmp_path):
    lay_out(tmp_path, "Dog bark/1.wav", "dog_bark/2.wav")
    text = message(tmp_path)
    assert "'Dog bark'" in text and "'dog_bark'" in text


def test_a_label_in_both_unicode_forms_is_one_class(tmp_path):
    lay_out(tmp_path, *(f"{n}/{unicodedata.normalize(form, 'Hähne')}/1.wav" for n, form in enumerate(("NFC", "NFD"))))
    assert find_classes(data(tmp_path)) == {"hahne": unicodedata.normalize("NFC", "Hähne")}
    assert len(listed(tmp_path)) == 2


def test_awkward_names_survive_the_table_and_reach_the_file(tmp_path):
    lay_out(tmp_path, *(f"cat/{name}" for name in AWKWARD))
    files = listing(data(tmp_path), {"cat": "Cat"}, RAW)
    files = files.drop(columns=["begin", "end"])  # which no table on disk has
    tables.write(files, tmp_path / "files.csv")
    again = tables.read(tmp_path / "files.csv", {column: tables.FILES[column] for column in files})
    pd.testing.assert_frame_equal(again, files)
    assert all(os.path.exists(path) for path in again.path)
    assert files.source_id.nunique() == len(AWKWARD)
    assert all(unicodedata.is_normalized("NFC", source) for source in files.source_id)


def test_a_folder_whose_name_is_no_utf8_is_found(tmp_path):
    folder = os.fsencode(tmp_path) + b"/Ger\xe4usch"
    os.mkdir(folder)
    open(folder + b"/1.wav", "w").close()
    (row,) = listing(data(tmp_path), find_classes(data(tmp_path)), RAW).itertuples()
    assert os.path.exists(row.path)
    assert row.label == "ger_udce4usch"
    row.source_id.encode()


def test_links_to_files_are_followed_and_those_to_folders_are_listed_without_a_label(tmp_path):
    """DVC hashes what a link to a file leads to, and does not look behind a link to a folder."""
    lay_out(tmp_path, "elsewhere/miau/1.wav", "elsewhere/2.wav", "own/dog/1.wav")
    (tmp_path / "own/cat").symlink_to(tmp_path / "elsewhere/miau")
    (tmp_path / "own/dog/3.wav").symlink_to(tmp_path / "elsewhere/2.wav")
    files = listed(tmp_path / "own")
    assert {file: row.label for file, row in files.items()} == {"cat": "", "dog/1.wav": "dog", "dog/3.wav": "dog"}
    shutil.rmtree(tmp_path / "own/dog")
    assert "1 links to folders are not followed" in message(tmp_path / "own")


@pytest.mark.parametrize("target", ["own/cat", "own", "own/dog", ".", "/"])
def test_a_link_in_a_circle_is_not_followed(tmp_path, target):
    lay_out(tmp_path, "own/cat/1.wav", "own/dog/1.wav", "other.wav")
    (tmp_path / "own/cat/again").symlink_to(tmp_path / target)
    files = listed(tmp_path / "own")
    assert {file: row.label for file, row in files.items()} == {"cat/1.wav": "cat", "dog/1.wav": "dog", "cat/again": ""}
    there = tree.walk(tmp_path / "own")  # as for sounds that are only classified
    assert tmp_path / "own/dog/1.wav" in there.files and there.loops == [tmp_path / "own/cat/again"]


def test_folders_that_link_to_each_other_are_entered_once(tmp_path):
    names = [f"c{n}" for n in range(12)]
    for name in names:
        lay_out(tmp_path, f"out/{name}/1.wav")
        for other in names:
            (tmp_path / "out" / name / f"to_{other}").symlink_to(tmp_path / "out" / other)
    (tmp_path / "own").mkdir()
    (tmp_path / "own/c0").symlink_to(tmp_path / "out/c0")
    assert len([file for file in tree.walk(tmp_path / "own").files if file.suffix == ".wav"]) == len(names)


def test_a_file_that_links_to_itself_is_listed_for_the_intake(tmp_path):
    lay_out(tmp_path, "cat/1.wav")
    (tmp_path / "cat/2.wav").symlink_to("2.wav")
    assert set(listed(tmp_path)) == {"cat/1.wav", "cat/2.wav"}


def test_a_pattern_gives_label_and_source(tmp_path):
    lay_out(tmp_path, "2024/bark-017-a.wav", "2024/bark-017-b.wav", "2025/howl-003.wav", "2025/strange.wav")
    files = listed(tmp_path, labels="pattern", pattern=r"(?P<label>[a-z]+)-(?P<source>\d+)(-[a-z])?\.wav$")
    assert {file: (row.label, row.source_id) for file, row in files.items()} == {
        "2024/bark-017-a.wav": ("bark", "017"),
        "2024/bark-017-b.wav": ("bark", "017"),
        "2025/howl-003.wav": ("howl", "003"),
        "2025/strange.wav": ("", "2025/strange.wav"),
    }


def test_a_pattern_can_take_the_first_folder(tmp_path):
    lay_out(tmp_path, "birds/day 1/a.wav", "frogs/day 1/a.wav")
    assert set(find_classes(data(tmp_path, labels="pattern", pattern=r"^(?P<label>[^/]+)/"))) == {"birds", "frogs"}


@pytest.mark.parametrize(
    "pattern, told", [(None, "must be"), ("(?P<label>", "no regular"), ("(.*)", "no group `label`")]
)
def test_a_pattern_that_cannot_work_is_an_error_with_an_example(tmp_path, pattern, told):
    lay_out(tmp_path, "cat/1.wav")
    text = message(tmp_path, labels="pattern", pattern=pattern)
    assert told in text and "(?P<label>...)" in text


def table(root, rows, name="labels.csv", header=("file", "label", "source", "fold")):
    delimiter = "\t" if name.endswith("tsv") else ","
    with open(root / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows([header[: len(rows[0])], *rows])
    return {"labels": "table", "table": name}


ROWS = [("x/1.wav", "Cat", "r1", "3"), ("x/2.wav", "Dog, loud", "r2", "1")]


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv", "labels.JSON"])
def test_a_table_gives_label_source_and_fold(tmp_path, name):
    lay_out(tmp_path, "x/1.wav", "x/2.wav", "x/unlisted.wav")
    settings = table(tmp_path, ROWS, name)
    if name.endswith("JSON"):
        objects = [dict(zip(("file", "label", "source", "fold"), (*row[:3], int(row[3])))) for row in ROWS]
        (tmp_path / name).write_text(json.dumps(objects))
    files = listed(tmp_path, **settings)
    assert {file: row[2:5] for file, row in files.items()} == {
        "x/1.wav": ("cat", "r1", 3),
        "x/2.wav": ("dog_loud", "r2", 1),
    }


@pytest.mark.parametrize("file", ["../meta/2.wav", "linked/2.wav", "{}/meta/2.wav", "1.wav/../../meta/2.wav"])
def test_a_row_that_leads_out_of_the_folder_is_an_error(tmp_path, file):
    """DVC hashes data.path alone, so a change in such a file would never be seen."""
    lay_out(tmp_path, "own/1.wav", "meta/2.wav")
    (tmp_path / "own/linked").symlink_to(tmp_path / "meta")
    rows = [("1.wav", "a"), (str(tmp_path / "own/1.wav"), "a"), (file.format(tmp_path), "b")]
    text = message(tmp_path / "own", **table(tmp_path / "own", rows))
    assert "1 row(s)" in text and "row 3" in text and "lies outside" in text and "copy files into data.path" in text


def test_a_table_outside_the_folder_is_an_error(tmp_path):
    lay_out(tmp_path, "own/1.wav")
    settings = table(tmp_path, [("1.wav", "a")]) | {"table": "../labels.csv"}
    assert "lies outside data.path" in message(tmp_path / "own", **settings)


def test_a_pattern_that_would_never_end_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(own, "PATIENCE", 0.1)
    lay_out(tmp_path, "a" * 60 + "!.wav")
    text = message(tmp_path, labels="pattern", pattern=r"^(?P<label>(a|aa)+)$")
    assert "takes longer than 0.1 s" in text and "aaa!.wav" in text


def test_a_table_from_a_spreadsheet_is_read(tmp_path):
    lay_out(tmp_path, "1.wav", "2.wav")
    (tmp_path / "labels.csv").write_bytes("\ufefffile;label;fold\r\n1.wav;Hähne;1.0\r\n2.wav;b;\r\n\r\n".encode())
    files = listed(tmp_path, labels="table", table="labels.csv")
    assert {file: (row.label, row.fold) for file, row in files.items()} == {
        "1.wav": ("hahne", 1),
        "2.wav": ("b", tables.NO_FOLD),
    }


def test_a_tables_columns_can_have_other_names_and_be_few(tmp_path):
    lay_out(tmp_path, "1.wav", "2.wav")
    settings = table(tmp_path, [("1.wav", "cat"), ("2.wav", "dog")], header=("slice_name", "Class"))
    files = listed(tmp_path, **settings, columns={"file": "slice_name", "label": "Class"})
    assert [row[2:4] for row in files.values()] == [("cat", "1.wav"), ("dog", "2.wav")]


@pytest.mark.parametrize("columns", [{}, {"file": "name", "label": "kind", "source": "tape"}])
def test_a_missing_column_is_an_error_that_names_those_there(tmp_path, columns):
    lay_out(tmp_path, "1.wav")
    text = message(tmp_path, columns=columns, **table(tmp_path, [("1.wav", "cat")], header=("name", "kind")))
    assert ("tape" in text if columns else "file, label" in text) and "name, kind" in text


def test_files_are_found_beside_the_table_and_in_the_other_unicode_form(tmp_path):
    nfd = unicodedata.normalize("NFD", "Hähne.wav")
    lay_out(tmp_path, "own/1.wav", f"own/{nfd}", "own/meta/2.wav")
    rows = [("1.wav", "a"), (unicodedata.normalize("NFC", nfd), "a"), ("2.wav", "b")]
    settings = table(tmp_path / "own/meta", rows) | {"table": "meta/labels.csv"}
    files = listing(data(tmp_path / "own", **settings), {"a": "A", "b": "B"}, RAW)
    assert all(os.path.exists(path) for path in files.path)


def test_a_row_whose_file_is_missing_is_left_to_the_intake(tmp_path):
    lay_out(tmp_path, "1.wav")
    files = listing(data(tmp_path, **table(tmp_path, [("1.wav", "a"), ("gone.wav", "a")])), {"a": "A"}, RAW)
    assert [os.path.exists(path) for path in files.path] == [True, False]


def test_a_file_in_two_rows_is_one_file_or_an_error(tmp_path):
    lay_out(tmp_path, "1.wav", "2.wav")
    same = [("1.wav", "cat", "r1"), ("1.wav", "cat", "r1"), ("2.wav", "dog", "r2")]
    assert len(listed(tmp_path, **table(tmp_path, same))) == 2
    text = message(tmp_path, **table(tmp_path, [*same, ("2.wav", "cat", "r2")]))
    assert "row 4" in text and "2.wav" in text and "'cat'" in text and "'dog'" in text


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("labels.xlsx", b"", ".csv, .tsv, .json"),
        ("gone.csv", None, "No such file"),
        ("labels.csv", b"", "no rows"),
        ("labels.csv", b"file,label\n", "no rows"),
        ("labels.csv", b"file,label\na,b.wav,cat\n", "row 1"),
        ("labels.csv", b"file,label\na.wav\n", "row 1"),
        ("labels.csv", b"file,label,fold\na.wav,cat,first\n", "'first'"),
        ("labels.csv", b"file,label\n,cat\n", "row 1"),
        ("labels.csv", "file,label\nä.wav,cat\n".encode("latin-1"), "UTF-8"),
        ("labels.json", b'{"file": "a.wav"}', "list of objects"),
        ("labels.json", b"[1, 2]", "list of objects"),
        ("labels.json", b"nonsense", "cannot be read"),
        ("labels.json", b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_table_that_cannot_be_used_is_an_error_that_says_why(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    text = message(tmp_path, labels="table", table=name)
    assert told in text and name in text


def test_labels_from_a_table_need_one(tmp_path):
    assert "data.table must name one" in message(tmp_path, labels="table")


def test_a_folder_without_sounds_says_what_it_holds_instead(tmp_path):
    lay_out(tmp_path, "a/1.txt", "a/2.txt", "a/README.md")
    text = message(tmp_path)
    assert "2 .txt" in text and "wav, flac" in text


def test_sounds_without_labels_are_an_error_that_says_how_to_label(tmp_path):
    lay_out(tmp_path, "1.wav", "2.wav")
    assert "None of the 2 sound files" in message(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    assert str(tmp_path / "gone") in message(tmp_path / "gone")


# Folders that are a split


def split_of(root, **values):
    found = own.look(data(root, **values))
    return {Path(one.path).relative_to(root).as_posix(): (one.label, one.fold) for one in found.found}


@pytest.mark.parametrize(
    "train, val, test",
    [("train", "val", "test"), ("Train", "validation", "TEST"), ("training", "eval", "test"), ("dev", None, "eval")],
)
def test_folders_that_are_a_split_are_folds_and_no_classes(tmp_path, train, val, test):
    folds = {train: 1, val: 2, test: 3}
    folds.pop(None, None)
    for name in folds:
        lay_out(tmp_path, f"{name}/dog/1.wav", f"{name}/cat/1.wav")
    assert split_of(tmp_path) == {
        f"{name}/{label}/1.wav": (label, fold) for name, fold in folds.items() for label in ("dog", "cat")
    }
    assert [one.about for one in own.look(data(tmp_path)).remarks] == ["split_folders"]
    assert find_classes(data(tmp_path, split_folders=False)) == {"cat": "cat", "dog": "dog"}


def test_the_split_may_lie_above_or_below_the_classes(tmp_path):
    lay_out(tmp_path, "audio/train/dog/day 1/1.wav", "audio/test/dog/day 2/2.wav")
    assert set(split_of(tmp_path, label_level=2).values()) == {("dog", 1), ("dog", 3)}
    lay_out(tmp_path / "other", "dog/train/1.wav", "dog/test/2.wav", "cat/train/1.wav", "cat/test/2.wav")
    assert set(split_of(tmp_path / "other").values()) == {(label, fold) for label in ("dog", "cat") for fold in (1, 3)}


def test_a_class_called_train_among_others_is_no_split(tmp_path):
    lay_out(tmp_path, "train/1.wav", "airplane/1.wav", "car/1.wav")
    assert list(find_classes(data(tmp_path))) == ["airplane", "car", "train"]


def test_a_split_without_classes_and_sounds_outside_of_it_are_told(tmp_path):
    lay_out(tmp_path, "train/1.wav", "test/2.wav")
    assert "without a folder for each class" in message(tmp_path, {})
    assert set(listed(tmp_path, labels="pattern", pattern="(?P<label>[0-9])[.]wav")) == {"train/1.wav", "test/2.wav"}
    assert list(find_classes(data(tmp_path, split_folders=False))) == ["test", "train"]
    lay_out(tmp_path / "other", "dog/1.wav", "dog/train/1.wav", "dog/test/2.wav")
    assert "1 sound(s) lie in none of them, e.g. dog/1.wav" in message(tmp_path / "other", {})


# Levels and recordings


@pytest.mark.parametrize(
    "level, labels", [(-1, ["2021", "2022"]), (1, ["cat", "dog"]), (-2, ["cat", "dog"]), (3, None)]
)
def test_the_label_can_be_any_folder(tmp_path, level, labels):
    lay_out(tmp_path, *(f"{label}/{year}/{n}.wav" for label in ("dog", "cat") for year in (2021, 2022) for n in "12"))
    if labels is None:
        assert {row.label for row in own.look(data(tmp_path, label_level=level)).found} == {""}
        return
    found = own.look(data(tmp_path, label_level=level))
    assert list(found.names) == labels
    said = {one.about: one for one in found.remarks}
    assert ("label_level" in said) == (level == -1)
    if level == -1:
        assert said["label_level"].settings == {"data.label_level": 1} and "cat, dog" in said["label_level"].what


def test_level_0_is_none(tmp_path):
    with pytest.raises(ValidationError, match="levels count from 1"):
        data(tmp_path, label_level=0)


def test_folders_above_the_classes_are_no_reason_to_ask(tmp_path):
    lay_out(tmp_path, *(f"{place}/{label}/1.wav" for place, label in (("a", "dog"), ("a", "cat"), ("b", "cow"))))
    assert own.look(data(tmp_path)).remarks == ()


def test_a_pattern_gives_the_recording_whatever_gives_the_label(tmp_path):
    lay_out(tmp_path, "dog/a_1.wav", "dog/a_2.wav", "cat/b_1.wav", "cat/c.wav")
    (tmp_path / "all.csv").write_text("file,label\ndog/a_1.wav,x\ndog/a_2.wav,y\n")
    pattern = "(?P<source>[a-z])_[0-9]"
    assert {row.source_id for row in listed(tmp_path, source_pattern=pattern).values()} == {"a", "b", "cat/c.wav"}
    by_table = listed(tmp_path, source_pattern=pattern, labels="table", table="all.csv")
    assert {row.source_id for row in by_table.values()} == {"a"}
    assert "data.source_pattern 'x' has no group `source`" in message(tmp_path, source_pattern="x")


def test_names_that_share_a_recording_bring_a_pattern_to_set(tmp_path):
    lay_out(tmp_path, *(f"{label}/{rec:02}_{n}.wav" for label in ("dog", "cat") for rec in range(9) for n in range(3)))
    (one,) = own.look(data(tmp_path)).remarks
    assert one.about == "groups" and "9 recordings instead of 54" in one.what
    assert own.look(data(tmp_path, source_pattern=one.settings["data.source_pattern"])).remarks == ()
    assert (
        len({row.source_id for row in listed(tmp_path, source_pattern=one.settings["data.source_pattern"]).values()})
        == 9
    )
