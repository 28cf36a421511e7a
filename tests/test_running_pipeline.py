"""`counterpoise run` in small repositories of DVC, beside `dvc repro`."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pipeline
import pytest
import yaml
from pipeline import sh
from typer.testing import CliRunner

from counterpoise.cli.app import app

DIAMOND = {
    "top": {"cmd": "cat in.txt > top.txt", "deps": ["in.txt"], "outs": ["top.txt"]},
    "left": {"cmd": "cat top.txt > left.txt", "deps": ["top.txt"], "outs": ["left.txt"]},
    "right": {"cmd": "wc -c < top.txt > right.txt", "deps": ["top.txt"], "outs": ["right.txt"]},
    "each": {
        "foreach": "${classes}",
        "do": {"cmd": "echo ${key} > all/${key}", "deps": ["in.txt"], "outs": ["all/${key}"]},
    },
    "grid": {
        "matrix": {"a": [1], "b": ["x"]},
        "cmd": "cat all/* > ${item.a}${item.b}.txt",
        "deps": ["all"],
        "params": ["classes"],
        "outs": [{"${item.a}${item.b}.txt": {"cache": False}}],
    },
    "bottom": {
        "cmd": "cat left.txt right.txt 1x.txt > bottom.txt",
        "deps": ["left.txt", "right.txt", "1x.txt"],
        "outs": ["bottom.txt"],
    },
}
RUN = (sys.executable, "-P", "-m", "counterpoise", "run")
LIBRARY = {**pipeline.ENVIRONMENT, "PYTHONPATH": str(pipeline.ROOT)}


def toy(folder: Path, stages: dict) -> Path:
    folder.mkdir()
    sh("git", "init", "-qb", "main", at=folder)
    sh("dvc", "init", "-q", at=folder)
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    (folder / "params.yaml").write_text("classes: {one: 1, two: 2}\n")
    (folder / "in.txt").write_text("sound\n")
    (folder / ".gitignore").write_text("/all/\n")  # else DVC writes one into `all`, and `grid` reads it
    (folder / "all").mkdir()
    return folder


@pytest.fixture
def run(monkeypatch):
    """The command in a folder, in this process: what it says."""

    def command(at: Path, *options: str, code: int = 0) -> str:
        monkeypatch.chdir(at)
        done = CliRunner().invoke(app, ["run", "--jobs", "3", *options])
        assert done.exit_code == code, done.output
        return done.output

    return command


def locks(at: Path) -> dict:
    path = at / ".dvc/tmp/rwlock"
    return {key: value for key, value in json.loads(path.read_text()).items() if value} if path.exists() else {}


def test_the_lock_is_that_of_a_serial_run_and_nothing_is_left_to_do(tmp_path, run):
    beside = toy(tmp_path / "beside", DIAMOND)
    serial = shutil.copytree(beside, tmp_path / "serial")
    sh("dvc", "repro", at=serial)
    foretold = run(beside, "--dry-run")
    assert foretold == "1. top, each@one, each@two\n2. left, right, grid@1-x\n3. bottom\n"
    assert not (beside / "dvc.lock").exists() and not (beside / "logs").exists()
    assert "7 stages ran" in run(beside)
    assert (beside / "dvc.lock").read_bytes() == (serial / "dvc.lock").read_bytes()
    assert (beside / "bottom.txt").read_bytes() == (serial / "bottom.txt").read_bytes()
    assert run(beside) == "Everything is up to date.\n"
    assert locks(beside) == {}

    # a change runs what it touches, and what is made again as it was runs no further
    for repo in (beside, serial):
        change = (repo / "dvc.yaml").read_text().replace("wc -c < top.txt", "wc -c < top.txt | cat")
        (repo / "dvc.yaml").write_text(change)
    assert run(beside, "--dry-run") == "1. right\n2. bottom?\n? runs only if what it reads changes\n"
    assert "1 stage ran, 6 up to date" in run(beside)
    assert pipeline.ran(sh("dvc", "repro", at=serial)) == {"right"}
    assert (beside / "dvc.lock").read_bytes() == (serial / "dvc.lock").read_bytes()


def test_a_target_runs_with_what_it_needs_and_an_unknown_one_is_told(tmp_path, run):
    repo = toy(tmp_path / "repo", DIAMOND)
    assert "2 stages ran" in run(repo, "left")
    assert list(yaml.safe_load((repo / "dvc.lock").read_text())["stages"]) == ["top", "left"]
    (repo / "dvc.lock").unlink()
    assert "2 restored" in run(repo, "left")
    assert "nowhere" in run(repo, "nowhere", code=1)


def test_stages_really_run_side_by_side_and_a_failure_leaves_the_others_alone(tmp_path, run):
    os.mkfifo(tmp_path / "meeting")  # neither of two gets past it alone
    stages = {
        "bad": {"cmd": "echo no sound here; exit 3", "outs": ["bad.txt"]},
        "one": {"cmd": "echo hello > ../meeting; touch one.txt", "outs": ["one.txt"]},
        "other": {"cmd": "cat ../meeting > other.txt", "outs": ["other.txt"]},
        "after_bad": {"cmd": "touch after.txt", "deps": ["bad.txt"], "outs": ["after.txt"]},
    }
    repo = toy(tmp_path / "repo", stages)
    told = run(repo, code=1)
    assert "bad: failed" in told and "  no sound here\n" in told and "exited with 3" in told
    assert "Not run, because they need it: after_bad" in told and "2 stages ran, 1 failed, 1 left" in told
    assert (repo / "other.txt").read_text() == "hello\n"
    assert "no sound here" in (repo / "logs/bad.log").read_text()

    # mended, the rest goes on, and dvc.lock is in the order of a serial run
    stages["bad"]["cmd"] = "touch bad.txt"
    (repo / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    assert "2 stages ran, 2 up to date" in run(repo)
    assert list(yaml.safe_load((repo / "dvc.lock").read_text())["stages"]) == list(stages)


@pytest.mark.parametrize("deaf", [False, True])
def test_an_interrupted_run_leaves_no_process_and_no_lock(tmp_path, run, deaf):
    os.mkfifo(tmp_path / "begun")
    os.mkfifo(tmp_path / "never")
    waiting = "echo $$ > ../begun; cat ../never; touch long.txt"
    if deaf:  # `trap ''` is inherited, so `cat` does not listen either
        waiting = f"trap '' INT TERM; {waiting}"
    stages = {
        "quick": {"cmd": "touch quick.txt", "outs": ["quick.txt"]},
        "long": {"cmd": waiting, "deps": ["quick.txt"], "outs": ["long.txt"]},
    }
    repo = toy(tmp_path / "repo", stages)
    running = subprocess.Popen([*RUN, "--jobs", "2"], cwd=repo, env=LIBRARY, stdout=subprocess.PIPE, text=True)
    stage = int((tmp_path / "begun").read_text())
    number = signal.SIGINT if deaf else signal.SIGTERM
    running.send_signal(number)
    if deaf:  # what does not listen is ended by the second signal
        assert any("once more" in line for line in running.stdout)
        running.send_signal(number)
    told, _ = running.communicate()
    assert running.returncode == 128 + number and "1 stage ran, 1 left" in told
    with pytest.raises(ProcessLookupError):
        os.kill(stage, 0)
    assert locks(repo) == {}

    stages["long"]["cmd"] = "touch long.txt"
    (repo / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    assert "1 stage ran, 1 up to date" in run(repo)


@pytest.mark.slow
def test_the_whole_pipeline_ends_as_a_serial_run_does(first, tmp_path):
    repo = tmp_path / "repo"
    repo.mkdir()
    sh(sys.executable, "-m", "counterpoise", "run", "--jobs", "2", at=pipeline.clone(repo))
    for name in ("dvc.lock", "metrics/summary.json"):
        assert (repo / name).read_bytes() == (first / name).read_bytes()
    assert not pipeline.ran(sh("dvc", "repro", at=repo))
