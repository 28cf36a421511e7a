"""The table of results: what it prints, what it marks, and that it claims no more than luck allows."""

import io
import json
import re
import subprocess
import sys

import pytest
from fabricated import LABELS, SYSTEMS, metrics_of
from rich.console import Console
from typer.testing import CliRunner

from counterpoise.cli.app import app
from counterpoise.evaluation import report


def printed(metrics: dict[str, dict], width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    report.show(metrics, console)
    return console.file.getvalue()


CLEAR = {"none": [10, 11, 10], "diffusion": [17, 18, 18]}
NOISE = {"none": [10, 14, 12], "diffusion": [13, 11, 13]}


def test_the_table_shows_each_arm_with_its_interval_and_marks_the_best():
    metrics = metrics_of(CLEAR)
    text = printed(metrics)
    assert "mean of 3 seed(s) [95 % interval]" in text
    row_none = next(line for line in text.splitlines() if line.startswith("none "))
    row_diffusion = next(line for line in text.splitlines() if line.startswith("diffusion "))
    low, high = (f"{end:.2f}"[1:] for end in metrics["answer"]["scores"]["cnn"]["diffusion"]["macro_f1"][1:])
    assert f"•.883 [{low}, {high}]" in row_diffusion
    assert ".517 [" in row_none and "•" not in row_none
    assert row_diffusion.count("•.883") == 3  # macro-F1, rare recall, balanced accuracy
    ap = metrics["summary"]["cnn"]["diffusion"]
    assert f"•{ap['rare_ap']:.3f} [".replace("0.", ".") in row_diffusion
    assert f"•{ap['mean_ap']:.3f}  ".replace("0.", ".") in row_diffusion
    assert row_diffusion.split()[-1] == "•.117"  # calibration: lowest is best


def test_a_perfect_score_takes_no_more_room_than_any_other():
    text = printed(metrics_of({"none": [10, 11, 10], "ensemble_of_all_arms": [20, 20, 20]}))
    row = next(line for line in text.splitlines() if line.startswith("ensemble_of_all_arms "))
    assert row.count("•1.00 [") == 2 and row.count(", 1.0]") == 2
    assert row.split()[-4:] == ["•1.00", "•1.00", "•1.00", "•.000"]  # mean AP, rare recall, balanced accuracy, ECE
    assert max(map(len, text.splitlines())) <= 80


def test_each_class_has_its_recall_and_its_average_precision():
    metrics = metrics_of(CLEAR)
    for kind, title in (("recall", "recall"), ("ap", "average precision")):
        below = printed(metrics).partition(f"{title}, by training clips")[2].splitlines()
        row = next(line for line in below if line.startswith("none ")).split()
        own = metrics["per_class"]["cnn"]["none"]
        assert row == ["none", *(f"{own[label][kind]:.3f}".removeprefix("0") for label in LABELS)]


def test_classes_stand_with_their_training_clips_largest_first():
    lines = printed(metrics_of(CLEAR)).splitlines()
    header = next(i for i, line in enumerate(lines) if "whine" in line)
    assert lines[header].split() == ["bark", "howl", "whine"]
    assert lines[header + 1].split() == ["arm", "120", "60", "12"]


def answer_of(metrics: dict[str, dict]) -> str:
    """The part of the report under its last rule, in one line."""
    return " ".join(printed(metrics).partition("Does it help? cnn")[2].split())


def test_the_answer_stands_last():
    metrics = metrics_of(CLEAR)
    text = answer_of(metrics)
    row = next(row for row in metrics["answer"]["differences"] if row["metric"] == "rare_ap")
    low, mean, high = (f"{row[key]:+.2f}".replace("0.", ".") for key in ("corrected_low", "mean", "corrected_high"))
    rare = text.partition("rare AP: difference [corrected interval]")[2]
    assert f"diffusion {mean} [{low}, {high}] helps" in rare
    assert "diffusion +.37 [" in text.partition("macro-F1: difference [corrected interval]")[2]
    assert "diffusion against none, recall of each class: bark, howl, whine (helps)." in text
    assert "95 %, over recordings and seeds, corrected, as are the verdicts, for 1 comparison(s); for 3 where" in text
    assert "Rare classes: whine." in text


def test_noise_is_not_called_a_gain():
    text = answer_of(metrics_of(NOISE))
    assert "cannot tell" in text and "helps" not in text and "hurts" not in text


def test_cheap_arms_are_summed_up_and_the_best_of_them_is_what_diffusion_must_beat():
    text = answer_of(metrics_of({**CLEAR, "classic": [16, 17, 17], "mixup": [2, 1, 2], "oversample": [10, 10, 11]}))
    table = text.partition("macro-F1: difference")[2].partition("rare AP: difference")[0]
    assert "arm to none to the best cheap one which" in table
    assert re.search(r"diffusion \+\.37 \[.*?\] helps \+\.05 \[", table)
    assert "Cheap ones against none, macro-F1: classic (helps); mixup (hurts); oversample (cannot tell)." in text


def test_a_system_is_cheap_if_the_answer_says_so():
    text = answer_of(metrics_of({"none": [10, 11, 10], "ensemble_of_all_arms": [17, 18, 18], "denoisers": [4, 5, 3]}))
    table = text.partition("macro-F1: difference")[2].partition("rare AP: difference")[0]
    assert re.search(r"denoisers -\.\d+ \[.*?\] hurts -\.\d+ \[.*?\] hurts ensemble_of_all_arms", table)
    assert not re.search(r"ensemble_of_all_arms [+-]\.", table)
    assert "Cheap ones against none, macro-F1: ensemble_of_all_arms (helps)." in text


def test_one_seed_and_nothing_to_compare_are_said_plainly():
    assert "seeds or recordings are too few" not in answer_of(metrics_of(NOISE))
    assert "seeds or recordings are too few" in answer_of(metrics_of({"none": [2], "diffusion": [19]}))
    assert "Nothing to compare: add `none`" in answer_of(metrics_of({"diffusion": [18, 17]}))


def test_errors_are_named():
    text = " ".join(printed(metrics_of(CLEAR)).split())
    assert "Confused most under none: bark for howl 48%, howl for whine 48%" in text
    assert "Confused most under diffusion: bark for howl 12% (-37), howl for whine 12% (-37)" in text
    assert text.count("Wrong in 100% of all runs: data/raw/c") == 3


def test_sixteen_rows_fit_into_eighty_columns():
    arms = ["none", "class_weights", "oversample", "undersample", "mixup", "classic", "roundtrip", "diffusion"]
    arms += ["diffusion_classic", *SYSTEMS, *(f"arm_{i}" for i in range(5))]
    text = printed(metrics_of({arm: [4 + i, 11, 10] for i, arm in enumerate(arms)}))
    assert max(map(len, text.splitlines())) <= 80 and "…" not in text
    for kind in ("scores on the test split", "recall, by training clips", "average precision, by training clips"):
        rows = [line.split()[0] for line in text.partition(kind)[2].splitlines()[1:] if line.strip()]
        start = rows.index("none")
        assert rows[start : start + 16] == arms


def test_a_narrow_terminal_gets_several_tables_of_recall():
    text = printed(metrics_of(CLEAR), width=24)
    classes = [line.split() for line in text.splitlines() if line.split()[:1] in (["bark"], ["whine"])]
    assert ["bark", "howl"] in classes and ["whine"] in classes


def test_the_report_says_where_to_look_next():
    text = printed(metrics_of(CLEAR))
    for place in ("dvc plots show", "metrics/*.json", "report/index.html", "dvc exp run -S aug.factor=3"):
        assert place in text


def test_the_command_prints_what_the_files_hold(tmp_path):
    for name, content in metrics_of(CLEAR).items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    done = subprocess.run([sys.executable, "-m", "counterpoise", "report", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0 and "diffusion against none, recall" in done.stdout
    told = CliRunner().invoke(app, ["report", "--json", str(tmp_path)])
    assert told.exit_code == 0
    assert json.loads(told.stdout) == json.loads(json.dumps(metrics_of(CLEAR)))


def test_missing_or_broken_metrics_name_the_file_and_the_next_command(tmp_path):
    done = subprocess.run([sys.executable, "-m", "counterpoise", "report", tmp_path], capture_output=True, text=True)
    assert done.returncode == 1
    assert "summary.json is missing" in done.stderr and "make run" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(report.ReportError, match="summary.json is not valid JSON"):
        report.read(tmp_path)


def test_metrics_of_an_older_version_ask_for_a_run(tmp_path):
    metrics = metrics_of(CLEAR)
    del metrics["answer"]["cheap"]
    for name, content in metrics.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    with pytest.raises(report.ReportError, match="answer.json is of an older version.*make run"):
        report.read(tmp_path)
