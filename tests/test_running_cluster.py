"""Stages on other machines: everything but Ray itself, which a stand-in plays."""

import shutil
import sys
import types

import pipeline
import pytest
import yaml
from pipeline import sh
from typer.testing import CliRunner

from counterpoise.cli.app import app
from counterpoise.running import worker

STAGES = {
    "sound": {"cmd": "cat in.txt > sound.txt", "deps": ["in.txt"], "outs": ["sound.txt"]},
    "cached": {"cmd": "echo sound.txt > cached.txt", "deps": ["sound.txt"], "outs": ["cached.txt"]},  # names a file
    "score": {
        "cmd": "wc -c < $(cat cached.txt) > score.json",
        "deps": ["cached.txt"],
        "outs": [{"score.json": {"cache": False}}],
    },
}


@pytest.fixture
def ray(monkeypatch, tmp_path):
    """A cluster of one machine, which works when it is asked for results."""
    stand_in = types.ModuleType("ray")
    stand_in.init = lambda **_: None
    stand_in.shutdown = lambda: None
    stand_in.cancel = lambda reference, force: None
    stand_in.exceptions = types.SimpleNamespace(RayError=ZeroDivisionError)
    stand_in.cloudpickle = types.SimpleNamespace(register_pickle_by_value=lambda module: None)
    stand_in.remote = lambda function: types.SimpleNamespace(
        options=lambda **_: types.SimpleNamespace(remote=lambda order: (function, order))
    )
    stand_in.wait = lambda references, **_: (references, [])
    stand_in.get = lambda reference: reference[0](reference[1])
    monkeypatch.setitem(sys.modules, "ray", stand_in)
    monkeypatch.setenv(worker.WORK, str(tmp_path / "elsewhere"))
    monkeypatch.setattr(worker, "PAUSE", 0)
    return stand_in


@pytest.fixture
def repo(tmp_path, monkeypatch):
    repo = tmp_path / "repo"
    repo.mkdir()
    sh("git", "init", "-qb", "main", at=repo)
    sh("dvc", "init", "-q", at=repo)
    sh("dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "store"), at=repo)
    (repo / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False))
    (repo / "params.yaml").write_text("runtime: {device: cpu, precision: fp32, compile: off, threads: 1, workers: 0}\n")
    (repo / ".gitignore").write_text("/sound.txt\n/cached.txt\n/logs/\n")
    (repo / "in.txt").write_text("sound\n")
    monkeypatch.chdir(repo)
    return repo


def run(code: int = 0) -> str:
    done = CliRunner().invoke(app, ["run", "--address", "auto"])
    assert done.exit_code == code, done.output
    return done.output


def test_what_runs_elsewhere_leaves_the_same_here(repo, ray, tmp_path):
    serial = shutil.copytree(repo, tmp_path / "serial")
    sh("dvc", "repro", at=serial)
    assert "3 stages ran" in run()
    for name in ("dvc.lock", "score.json", "sound.txt", "cached.txt"):
        assert (repo / name).read_bytes() == (serial / name).read_bytes()
    assert not pipeline.ran(sh("dvc", "repro", at=repo))
    assert "Running stage 'score'" in (repo / "logs/score.log").read_text()


def test_sounds_that_a_worker_does_not_have_are_told(repo, ray):
    (repo / ".gitignore").write_text("/sound.txt\n/cached.txt\n/logs/\n/in.txt\n")
    told = run(code=1)
    assert "sound: failed" in told and "Not run, because they need it: cached, score" in told


def test_without_ray_or_a_remote_the_next_command_is_named(repo, ray, monkeypatch):
    sh("dvc", "remote", "remove", "store", at=repo)
    assert "dvc remote add -d store" in run(code=1)
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "pip install -r requirements-ray.txt" in run(code=1)
