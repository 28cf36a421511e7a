"""The tables between stages: what is written is what is read."""

import hashlib

import pandas as pd
import pytest

from counterpoise.core import tables


def clip(clip_id, **change):
    return {
        "clip_id": clip_id,
        "path": f"data/{clip_id}.wav",
        "label": "bark",
        "source_id": "s",
        "fold": 1,
        "seconds": 1.25,
        "sample_rate": 16000,
        "channels": 1,
    } | change


@pytest.mark.parametrize("text", ["007", "1e5", "", "NA", "nan", "True", "-inf", "a,b", 'say "bow"', "ü 犬", " x "])
def test_text_stays_the_text_that_it_was(tmp_path, text):
    clips = tables.table([clip("a", source_id=text), clip(text)], tables.CLIPS)
    tables.write(clips, tmp_path / "clips.csv")
    back = tables.read(tmp_path / "clips.csv", tables.CLIPS)
    assert back.source_id.iloc[0] == text and back.clip_id.iloc[1] == text
    pd.testing.assert_frame_equal(back, clips)


@pytest.mark.parametrize(
    "columns", [getattr(tables, name) for name in ("CLIPS", "REJECTED", "LINEAGE", "BALANCE", "EXAMPLES")]
)
@pytest.mark.parametrize("count", [0, 2])
def test_every_table_keeps_its_types(tmp_path, columns, count):
    values = {"str": "x", "int64": 2**62 + 1, "float64": 0.5, "bool": True}
    rows = [{name: values[kind] for name, kind in columns.items()}] * count
    table = tables.table(rows, columns)
    tables.write(table, tmp_path / "table.csv")
    back = tables.read(tmp_path / "table.csv", columns)
    assert {name: str(kind) for name, kind in back.dtypes.items()} == columns
    pd.testing.assert_frame_equal(back, table)


def test_false_stays_false(tmp_path):
    row = dict.fromkeys(tables.EXAMPLES, "x")
    examples = tables.table([row | {"synthetic": False}, row | {"synthetic": True}], tables.EXAMPLES)
    tables.write(examples, tmp_path / "examples.csv")
    assert tables.read(tmp_path / "examples.csv", tables.EXAMPLES).synthetic.tolist() == [False, True]


def test_writing_is_byte_identical_and_makes_the_folder(tmp_path):
    clips = tables.table([clip("b", seconds=1 / 3), clip("a")], tables.CLIPS)
    tables.write(clips, tmp_path / "new" / "one.csv")
    tables.write(tables.read(tmp_path / "new" / "one.csv", tables.CLIPS), tmp_path / "two.csv")
    assert (tmp_path / "new" / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert (tmp_path / "two.csv").read_text().splitlines()[1] == "b,data/b.wav,bark,s,1,0.333333,16000,1"


def test_a_missing_table_is_named_with_the_next_command(tmp_path):
    with pytest.raises(tables.TableError, match=r"clips.csv is missing: run `dvc repro`"):
        tables.read(tmp_path / "clips.csv", tables.CLIPS)


def test_other_columns_are_named(tmp_path):
    tables.write(tables.table([], tables.REJECTED), tmp_path / "clips.csv")
    with pytest.raises(tables.TableError, match=r"clips.csv has the columns.*reason.*expected.*clip_id.*dvc repro"):
        tables.read(tmp_path / "clips.csv", tables.CLIPS)


@pytest.mark.parametrize("content", ["", "path,label,reason\na,b,c\n1,2,3,4\n"])
def test_a_file_that_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "rejected.csv").write_text(content)
    with pytest.raises(tables.TableError, match="rejected.csv"):
        tables.read(tmp_path / "rejected.csv", tables.REJECTED)


def test_a_word_where_a_number_should_be_is_refused(tmp_path):
    tables.write(tables.table([clip("a")], tables.CLIPS).assign(fold="one"), tmp_path / "c.csv")
    with pytest.raises(tables.TableError, match="c.csv.*one"):
        tables.read(tmp_path / "c.csv", tables.CLIPS)


def test_clip_ids_that_occur_twice_are_named():
    tables.check_clips(tables.table([clip("a"), clip("b")], tables.CLIPS))
    with pytest.raises(tables.TableError, match=r"1 clip ids occur more than once.*'a'"):
        tables.check_clips(tables.table([clip("a"), clip("b"), clip("a")], tables.CLIPS))


def test_sha256_is_that_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"bark" * 100_000)
    assert tables.sha256(tmp_path / "a") == hashlib.sha256(b"bark" * 100_000).hexdigest()


def test_changed_and_missing_files_are_named_and_the_others_are_not(tmp_path):
    paths = [tmp_path / name for name in ("same.wav", "changed.wav", "gone.wav")]
    for path in paths:
        path.write_bytes(path.name.encode())
    examples = pd.DataFrame({"path": [str(p) for p in paths], "sha256": [tables.sha256(p) for p in paths]})
    tables.check_contents(examples)
    paths[1].write_bytes(b"other")
    paths[2].unlink()
    with pytest.raises(tables.TableError, match="2 audio files.*changed.wav.*gone.wav.*dvc repro") as caught:
        tables.check_contents(examples)
    assert "same.wav" not in str(caught.value)
