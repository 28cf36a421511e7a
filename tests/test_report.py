"""The table of results: what it prints, what it marks, and that it claims no more than the seeds allow."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from counterpoise import evaluation, report

LABELS = ["bark", "howl", "whine"]
TRAIN_CLIPS = {"bark": 120, "howl": 60, "whine": 12}


def metrics_of(hits: dict[str, list[int]]) -> dict[str, dict]:
    """Metrics of a fabricated model: of 20 test clips of each class, each arm and seed gets so many right."""
    truth = np.repeat(LABELS, 20)
    wrong = dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True))
    tables = []
    for arm, seeds in hits.items():
        for seed, right in enumerate(seeds):
            predicted = [label if i % 20 < right else wrong[label] for i, label in enumerate(truth)]
            probabilities = np.array([[name == label for label in LABELS] for name in predicted], float)
            clips = pd.DataFrame({"clip_id": [f"c{i}" for i in range(60)], "label": truth})
            tables.append(evaluation.predictions(clips, probabilities, LABELS, "cnn", arm, seed))
    return evaluation.summarise(evaluation.score_runs(pd.concat(tables), LABELS), TRAIN_CLIPS)


def printed(metrics: dict[str, dict], width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    report.show(metrics, console)
    return console.file.getvalue()


CLEAR = {"none": [10, 11, 10], "diffusion": [17, 18, 18]}
NOISE = {"none": [10, 14, 12], "diffusion": [13, 11, 13]}


def test_the_table_shows_each_arm_with_mean_and_spread_and_marks_the_best():
    text = printed(metrics_of(CLEAR))
    assert "n = 3 seeds" in text
    row_none = next(line for line in text.splitlines() if line.startswith("none "))
    row_diffusion = next(line for line in text.splitlines() if line.startswith("diffusion "))
    assert "0.517 ±0.029" in row_none and "•" not in row_none
    assert row_diffusion.count("•0.883 ±0.029") == 4


def test_classes_stand_with_their_training_clips_largest_first():
    lines = printed(metrics_of(CLEAR)).splitlines()
    header = next(i for i, line in enumerate(lines) if "whine" in line)
    assert lines[header].split() == ["bark", "howl", "whine"]
    assert lines[header + 1].split() == ["arm", "120", "60", "12"]


def test_a_clear_gain_is_called_better_and_noise_cannot_be_told():
    assert "diffusion against none: macro-F1 +0.367" in printed(metrics_of(CLEAR))
    assert "(95 % interval, 3 seeds), better." in printed(metrics_of(CLEAR))
    noise = printed(metrics_of(NOISE))
    assert "cannot tell: the interval holds 0." in noise and "better" not in noise


def test_a_gain_smaller_than_the_spread_of_the_seeds_is_said_to_be_so():
    text = printed(metrics_of({"none": [8, 11, 14], "diffusion": [9, 12, 15]}))
    assert "cannot tell: smaller than the SD over seeds, 0.150." in text


def test_one_seed_and_a_missing_baseline_are_said_plainly():
    assert "1 seed has no spread" in printed(metrics_of({"none": [10], "diffusion": [18]}))
    assert "no arm `none` to compare with" in printed(metrics_of({"diffusion": [18, 17]}))
    assert "nothing to compare" in printed(metrics_of({"none": [18, 17]}))


def test_a_narrow_terminal_gets_several_tables_and_no_number_is_cut():
    text = printed(metrics_of(CLEAR), width=40)
    assert text.count("whine") >= 1
    classes = [line.split() for line in text.splitlines() if line.split()[:1] in (["bark"], ["whine"])]
    assert ["bark", "howl"] in classes and ["whine"] in classes


def test_the_report_says_where_to_look_next():
    text = printed(metrics_of(CLEAR))
    for place in ("dvc plots show", "metrics/*.json", "data/synthetic/<class>/", "dvc exp run -S aug.factor=3"):
        assert place in text


def test_the_command_prints_what_the_three_files_hold(tmp_path):
    for name, content in metrics_of(CLEAR).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    done = subprocess.run([sys.executable, "-m", "counterpoise.report", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0 and "diffusion against none" in done.stdout


def test_missing_or_broken_metrics_name_the_file_and_the_next_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "counterpoise.report", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "summary.json is missing" in done.stderr and "make run" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(report.ReportError, match="summary.json is not valid JSON"):
        report.read(tmp_path)
