"""What every format says, read back."""

import csv
import io
import json

import numpy as np
import pytest

from counterpoise.inference.classify import Heard
from counterpoise.inference.formats import FORMATS, NONE, RAVEN, Shown

LABELS = ["bark", "howl", "pant"]
NAMES = {"bark": "Bark", "howl": "Long\thowl", "pant": "Pant"}
WINDOWS = [np.array(row) for row in ([0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.1, 0.8, 0.1])]
HEARD = Heard('a, "b"\n.wav', 44100, 2.5, None, np.mean(WINDOWS, axis=0), [0.0, 1.0, 1.5], [1.0, 2.0, 2.5], WINDOWS)
FILE = Heard("dir/c.wav", 8000, 0.5, None, np.array([0.2, 0.3, 0.5]), [0.0], [0.5], [np.array([0.2, 0.3, 0.5])])


def shown(threshold=None, windows=False, top=None):
    return Shown(LABELS, NAMES, threshold, windows, top, 8000.0)


def written(style, heard, how):
    return "".join(f"{line}\n" for one in [FORMATS[style]] for line in [*one.head(how), *one.lines(heard, how)])


def test_json_holds_everything():
    found = json.loads(written("jsonl", HEARD, shown(0.5, windows=True)))
    assert found["file"] == HEARD.name and found["seconds"] == 2.5
    assert found["label"] is None and found["confidence"] == pytest.approx(0.45)
    assert list(found["probabilities"]) == ["howl", "bark", "pant"]  # the most probable first
    assert [one["label"] for one in found["windows"]] == ["bark", None, "howl"]
    assert [(one["start"], one["end"]) for one in found["windows"]] == [(0, 1), (1, 2), (1.5, 2.5)]
    for one, said in zip(found["windows"], WINDOWS, strict=True):
        assert [one["probabilities"][label] for label in LABELS] == pytest.approx(said)


def test_json_is_one_line_and_says_no_more_than_was_asked_for():
    text = written("jsonl", HEARD, shown(top=1))
    assert text.count("\n") == 1
    assert json.loads(text)["probabilities"] == {"howl": 0.45} and "windows" not in json.loads(text)


def test_csv_has_a_row_a_file_or_a_row_a_window():
    (row,) = csv.DictReader(io.StringIO(written("csv", HEARD, shown(0.3)), newline=""))
    assert row["file"] == HEARD.name and row["label"] == "howl" and float(row["end"]) == 2.5
    rows = list(csv.DictReader(io.StringIO(written("csv", HEARD, shown(0.5, windows=True, top=2)), newline="")))
    assert [row["label"] for row in rows] == ["bark", "", "howl"]
    assert [(float(row["start"]), float(row["end"])) for row in rows] == [(0, 1), (1, 2), (1.5, 2.5)]
    assert float(rows[0]["probability/howl"]) == 0.2 and rows[0]["probability/pant"] == ""
    assert [float(row["confidence"]) for row in rows] == [0.7, 0.4, 0.8]


def test_audacity_gets_a_label_for_each_window_that_has_one():
    lines = [line.split("\t") for line in written("audacity", HEARD, shown(0.5)).splitlines()]
    assert [(float(start), float(end), label) for start, end, label in lines] == [
        (0, 1, "Bark"),
        (1.5, 2.5, "Long\\x09howl"),  # a tab would be a further column
    ]


@pytest.mark.parametrize(("heard", "highest"), [(HEARD, 8000), (FILE, 4000)])
def test_raven_gets_its_columns(heard, highest):
    rows = list(csv.DictReader(io.StringIO(written("raven", heard, shown())), delimiter="\t"))
    assert list(rows[0])[: len(RAVEN)] == list(RAVEN)
    assert [int(row["Selection"]) for row in rows] == list(range(1, len(heard.windows) + 1))
    assert [float(row["Begin Time (s)"]) for row in rows] == heard.starts
    assert [float(row["End Time (s)"]) for row in rows] == heard.ends
    assert {float(row["High Freq (Hz)"]) for row in rows} == {highest}
    assert [float(row["Confidence"]) for row in rows] == [said.max() for said in heard.windows]
    assert rows[-1]["Class"] == {HEARD.name: "Long\\x09howl", FILE.name: "Pant"}[heard.name]
    assert None not in rows[0] and rows[0]["Begin File"] in ('a, "b"\\x0a.wav', "c.wav")


def test_the_table_has_a_line_a_file_and_a_line_a_window():
    lines = written("table", HEARD, shown(0.45, windows=True, top=2)).splitlines()
    assert len(lines) == 1 + 1 + 3
    assert lines[1].startswith("Long\thowl") and "[Bark 0.400]" in lines[1]
    assert lines[3].lstrip().startswith(NONE) and "[Bark 0.400, Long\thowl 0.350]" in lines[3]
    assert "1.00 to 2.00 s" in lines[3]


def test_a_confidence_on_the_threshold_is_a_label():
    assert shown(0.7).label(WINDOWS[0]) == "bark" and shown(0.7001).label(WINDOWS[0]) is None
    assert shown(None).label(WINDOWS[1]) == "bark" and shown(0.0).label(WINDOWS[1]) == "bark"
