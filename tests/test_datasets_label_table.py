"""Tables of labels and events: their forms, the files that they mean, and rows that are refused."""

import json
from pathlib import Path

import pytest
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets import own
from counterpoise.datasets.own import OwnError
from counterpoise.datasets.settings import Data


def put(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def look(root: Path, text: str, name: str = "all.csv", **values: object) -> own.Collection:
    (root / name).write_text(text)
    return own.look(
        settings_of(Data, **{"dataset": "own", "path": str(root), "labels": "table", "table": name} | values)
    )


def labels(found: own.Collection) -> dict[str, str]:
    return {Path(one.path).name: found.slugs.get(one.label, "") for one in found.found}


def events(found: own.Collection) -> list[tuple]:
    return [(Path(one.path).name, one.label, one.begin, one.end) for one in found.found]


def remarks(found: own.Collection) -> dict[str, str]:
    return {one.about: one.text for one in found.remarks}


# Labels


def test_json_lines_and_lists_of_one_label_are_read(tmp_path):
    put(tmp_path, "1.wav", "2.wav")
    rows = [{"file": "1.wav", "label": ["dog"]}, {"file": "2.wav", "label": "cat", "fold": 0}]
    found = look(tmp_path, "\n".join(map(json.dumps, rows)), "all.jsonl")
    assert labels(found) == {"1.wav": "dog", "2.wav": "cat"}
    assert [one.fold for one in found.found] == [tables.NO_FOLD, 0]


@pytest.mark.parametrize("cell", ['"[""dog""]"', "['dog']", "dog", " dog "])
def test_a_list_as_text_is_its_label(tmp_path, cell):
    put(tmp_path, "1.wav")
    assert labels(look(tmp_path, f"file,label\n1.wav,{cell}\n")) == {"1.wav": "dog"}


@pytest.mark.parametrize("cell", ["nan", "NaN", "NA", "null", "", "[]", "N/A"])
def test_what_stands_for_no_label_is_none(tmp_path, cell):
    put(tmp_path, "1.wav", "2.wav")
    found = look(tmp_path, f"file,label\n1.wav,{cell}\n2.wav,cat\n")
    assert labels(found) == {"1.wav": "", "2.wav": "cat"} and list(found.names) == ["cat"]


@pytest.mark.parametrize("cell", ['"[""dog"", ""Animal""]"', "\"['dog', 'Animal']\""])
def test_a_list_of_several_labels_is_refused_by_row(tmp_path, cell):
    put(tmp_path, "1.wav")
    with pytest.raises(OwnError, match="row 1: it has the labels 'dog', 'Animal', and a clip has one"):
        look(tmp_path, f"file,label\n1.wav,{cell}\n")


def test_labels_that_share_parts_are_several_each_and_refused(tmp_path):
    put(tmp_path, "1.wav", "2.wav", "3.wav")
    with pytest.raises(OwnError, match="'cat, Animal', 'dog, Animal' would be several labels"):
        look(tmp_path, 'file,label\n1.wav,"dog, Animal"\n2.wav,"cat, Animal"\n3.wav,rain\n')
    assert labels(look(tmp_path, 'file,label\n1.wav,"Dog, loud"\n2.wav,cat\n3.wav,rain\n'))["1.wav"] == "dog_loud"


@pytest.mark.parametrize(
    "one, other, slugs",
    [("-1", "1", {"minus_1", "1"}), ("C", "C#", {"c", "c_sharp"}), ("C", "C++", {"c", "c_plus_plus"})],
)
def test_labels_that_differ_by_signs_are_two_classes(tmp_path, one, other, slugs):
    put(tmp_path, "1.wav", "2.wav")
    found = look(tmp_path, f"file,label\n1.wav,{one}\n2.wav,{other}\n")
    assert set(found.names) == slugs and set(found.names.values()) == {one, other}


# Where files are


def test_files_are_found_by_windows_paths_without_endings_and_in_folders(tmp_path):
    put(tmp_path, "a/1.wav", "b/2.wav", "b/2.txt", "c/deep/3.WAV", "d/4.flac")
    rows = ["C:\\data\\a\\1.wav,x", "2,x", "3.wav,x", "audio/4.flac,x"]
    found = look(tmp_path, "\n".join(["file,label", *rows]))
    assert sorted(labels(found)) == ["1.wav", "2.wav", "3.WAV", "4.flac"]
    assert "4 file(s) lie elsewhere" in remarks(found)["located"]


def test_of_several_files_that_one_is_meant_whose_folders_fit_best(tmp_path):
    put(tmp_path, "x/a/1.wav", "x/b/1.wav")
    assert [one.path for one in look(tmp_path, "file,label\nold/b/1.wav,x\n").found] == [f"{tmp_path}/x/b/1.wav"]
    with pytest.raises(OwnError, match=r"'1.wav' may be one of 2 files: .*/x/a/1.wav, .*/x/b/1.wav"):
        look(tmp_path, "file,label\n1.wav,x\n")


def test_sounds_that_no_row_names_are_told(tmp_path):
    put(tmp_path, "1.wav", "2.wav", "notes.txt")
    rejected = look(tmp_path, "file,label\n1.wav,x\n").passed_over
    assert rejected.path.tolist() == [f"{tmp_path}/2.wav", f"{tmp_path}/*.txt"]
    assert rejected.kind.tolist() == ["left out", "no sound"] and "not in the table" in rejected.reason[0]


# Recordings and folds


def test_a_source_of_most_rows_is_a_provider_unless_it_is_asked_for(tmp_path):
    put(tmp_path, *(f"{n}.wav" for n in range(6)))
    text = "file,label,source\n" + "".join(f"{n}.wav,x,{'freesound' if n else 'mine'}\n" for n in range(6))
    found = look(tmp_path, text)
    assert len({one.source for one in found.found}) == 6 and all(found.alone)
    assert "5 of 6 rows" in remarks(found)["source"] and "data.columns: {source: source}" in remarks(found)["source"]
    asked = look(tmp_path, text, columns={"source": "source"})
    assert {one.source for one in asked.found} == {"freesound", "mine"} and not asked.remarks


def test_words_are_folds_and_so_is_a_column_split(tmp_path):
    put(tmp_path, "1.wav", "2.wav", "3.wav")
    rows = "1.wav,x,train\n2.wav,x,Test\n3.wav,x,validation\n"
    for column, said in (("fold", set()), ("split", {"fold_words"})):
        found = look(tmp_path, f"file,label,{column}\n{rows}")
        assert [one.fold for one in found.found] == [1, 3, 2] and set(remarks(found)) == said
    with pytest.raises(OwnError, match="row 1: the fold is 'first'"):
        look(tmp_path, "file,label,fold\n1.wav,x,first\n")


# Events

TWICE = "file,label,onset,offset\n1.wav,owl,1,2.5\n1.wav,frog,4,5\n"


def test_rows_with_begin_and_end_are_events_of_one_recording(tmp_path):
    put(tmp_path, "1.wav")
    found = look(tmp_path, TWICE, columns={"begin": "onset", "end": "offset"})
    assert events(found) == [("1.wav", "owl", 1.0, 2.5), ("1.wav", "frog", 4.0, 5.0)]
    assert {one.source for one in found.found} == {"1.wav"} and not any(found.alone)


def test_times_that_are_not_read_stop_where_files_are_named_twice_and_are_told_elsewhere(tmp_path):
    put(tmp_path, "1.wav", "2.wav")
    with pytest.raises(OwnError, match=r"Set data.columns: \{begin: onset, end: offset\}"):
        look(tmp_path, TWICE)
    found = look(tmp_path, "file,label,start_time,end_time\n1.wav,owl,1,2\n2.wav,frog,1,2\n")
    assert "{begin: start_time, end: end_time}" in remarks(found)["times"]


@pytest.mark.parametrize("begin, end", [("2", "1"), ("1", "1"), ("-1", "1"), ("1", ""), ("now", "2")])
def test_an_event_that_has_no_length_is_refused_by_row(tmp_path, begin, end):
    put(tmp_path, "1.wav")
    with pytest.raises(OwnError, match="row 1: it"):
        look(tmp_path, f"file,label,begin,end\n1.wav,owl,{begin},{end}\n")


def test_one_stretch_with_two_labels_is_refused_and_overlaps_are_told(tmp_path):
    put(tmp_path, "1.wav", "2.wav")
    with pytest.raises(OwnError, match="1.wav from 1 to 2 s is 'frog', but an earlier row says 'owl'"):
        look(tmp_path, "file,label,begin,end\n1.wav,owl,1,2\n1.wav,frog,1,2\n")
    text = "file,label,begin,end\n1.wav,owl,1,3\n1.wav,frog,2,4\n1.wav,owl,2.5,3.5\n2.wav,owl,1,2\n2.wav,frog,2,3\n"
    noted = look(tmp_path, text).noted
    assert noted.path.tolist() == [f"{tmp_path}/1.wav"]
    assert noted.note[0].startswith("2 pair(s) of its events overlap") and "owl from 1 to 3 s" in noted.note[0]


def test_audacity_s_labels_are_of_the_sounds_that_they_are_named_after(tmp_path):
    put(tmp_path, "rec/1.wav", "rec/2.wav")
    (tmp_path / "rec/2.txt").write_text("0,5\t1.5\tfrog\n")
    found = look(tmp_path, "1.0\t2.0\towl\n\\\t200\t900\n3\t4\t\n", "rec/1.txt", table="rec/*.txt")
    assert events(found) == [("1.wav", "owl", 1.0, 2.0), ("1.wav", "", 3.0, 4.0), ("2.wav", "frog", 0.5, 1.5)]
    assert found.passed_over.empty


RAVEN = "Selection\tView\tBegin Time (s)\tEnd Time (s)\tFile Offset (s)\tBegin File\tSpecies\n"


def test_raven_s_selections_count_once_and_from_the_beginning_of_their_file(tmp_path):
    put(tmp_path, "1.wav", "2.wav")
    rows = [f"1\t{view}\t1\t2\t1\t1.wav\towl\n" for view in ("Waveform 1", "Spectrogram 1")]
    rows += ["2\tSpectrogram 1\t61\t62.5\t1\t2.wav\tfrog\n"]
    found = look(tmp_path, RAVEN + "".join(rows), "x.selections.txt")
    assert events(found) == [("1.wav", "owl", 1.0, 2.0), ("2.wav", "frog", 1.0, 2.5)]
    with pytest.raises(OwnError, match="which column is the label"):
        look(tmp_path, RAVEN.replace("Species", "Kind") + rows[0], "x.selections.txt")
    named = look(tmp_path, RAVEN.replace("Species", "Kind") + rows[0], "x.selections.txt", columns={"label": "Kind"})
    assert events(named) == [("1.wav", "owl", 1.0, 2.0)]


def test_a_selection_table_without_a_file_is_of_the_sound_that_it_is_named_after(tmp_path):
    put(tmp_path, "1.wav")
    text = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n1\t1\t2\towl\n"
    assert events(look(tmp_path, text, "1.Table.1.selections.txt")) == [("1.wav", "owl", 1.0, 2.0)]
