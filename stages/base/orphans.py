"""A stage whose `dvc` was killed ends, too: otherwise it would go on writing beside the next run."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil

EVERY = 1.0  # s between two looks
STAGE = "DVC_STAGE"  # DVC sets it for what it runs
INIT = 1  # the parent of processes that have lost theirs


def end_with_dvc() -> None:
    """Watch the `dvc` that runs this stage, if one does, and end this process when it has gone."""
    dvc = next((process for process in _ancestors() if _is_dvc(process)), None)
    if dvc:
        threading.Thread(target=_watch, args=(dvc,), daemon=True).start()
    elif STAGE in os.environ and os.getppid() == INIT:
        _end()  # it was killed while this process imported what it needs


def _ancestors() -> list[psutil.Process]:
    try:
        return psutil.Process().parents()
    except psutil.Error:
        return []


def _is_dvc(process: psutil.Process) -> bool:
    """Whether a process is `dvc`, `/some/python /some/bin/dvc` or `python -m dvc`."""
    try:
        return any(Path(argument).name == "dvc" for argument in process.cmdline()[:3])
    except psutil.Error:
        return False


def _watch(dvc: psutil.Process) -> None:
    while _lives(dvc):
        time.sleep(EVERY)
    _end()


def _end() -> None:
    print(
        f"\n{Path(sys.argv[0]).stem}: the dvc that ran this stage has gone, so it ends; `dvc repro` goes on", flush=True
    )
    os.kill(os.getpid(), signal.SIGTERM)  # at once: a kill at any moment is harmless


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
