"""A stage whose `dvc` was killed ends; one that nobody started by `dvc` is left alone."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil

from stages.base import orphans

ROOT = Path(__file__).parent.parent
STAGE = (
    "import time; from stages.base import orphans; orphans.end_with_dvc(); print('begun', flush=True); time.sleep(60)"
)
DVC = """#!/bin/sh
{python} -c "{stage}" &
echo $!
wait
"""


def test_a_stage_ends_with_the_dvc_that_runs_it(tmp_path):
    (tmp_path / "dvc").write_text(DVC.format(python=sys.executable, stage=STAGE))
    dvc = subprocess.Popen(["/bin/sh", str(tmp_path / "dvc")], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    stage = psutil.Process(int(dvc.stdout.readline()))
    assert dvc.stdout.readline() == "begun\n"
    dvc.send_signal(signal.SIGKILL)
    dvc.wait()
    try:
        assert (
            "the dvc that ran this stage has gone" in dvc.stdout.read()
        )  # to the end, that is, until the stage is gone
    finally:
        if stage.is_running():
            stage.kill()


def test_a_stage_that_has_lost_its_dvc_before_it_began_ends(monkeypatch):
    ended = []
    monkeypatch.setattr(orphans, "_ancestors", list)
    monkeypatch.setattr(orphans, "_end", lambda: ended.append(True))
    monkeypatch.setattr(orphans.os, "getppid", lambda: 1)
    orphans.end_with_dvc()
    assert not ended  # a stage that a user runs in a container, say
    monkeypatch.setenv("DVC_STAGE", "train_diffusion@bark")
    orphans.end_with_dvc()
    assert ended


def test_a_stage_that_no_dvc_runs_watches_nobody(monkeypatch):
    monkeypatch.setattr(orphans, "_ancestors", lambda: [psutil.Process()])
    assert not orphans._is_dvc(psutil.Process())
    orphans.end_with_dvc()
