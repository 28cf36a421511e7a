"""Stages as processes of this machine: one `dvc repro --single-item` each."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import psutil

END = 4096  # bytes of a log in which its last line is looked for
PATIENCE = 10.0  # s that an interrupted stage has to end by itself
ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}


class AtWork(Protocol):
    """A stage at work: its name, a log that grows, and when it started, by time.monotonic()."""

    stage: str
    log: Path
    started: float


@dataclass
class Process:
    """A stage at work.

    Attributes:
        started: by time.monotonic().
    """

    stage: str
    log: Path
    started: float
    popen: subprocess.Popen


@dataclass(frozen=True)
class Ended:
    """A stage that is done, or has failed.

    Attributes:
        code: the exit code of `dvc repro`; 0 means that DVC has recorded its results.
        seconds: how long it took.
        restored: its results came from DVC's run cache.
    """

    stage: str
    log: Path
    code: int
    seconds: float
    restored: bool


class Processes:
    """The stages at work. Each is the leader of a session of its own, so that signals of the terminal pass it by.

    Args:
        logs: a folder; a stage's output goes to `<stage>.log` in it.
        force: run what is up to date, too.
    """

    def __init__(self, logs: Path, force: bool = False) -> None:
        self._logs, self._force = logs, force
        self._killed: float | None = None
        self.running: dict[str, Process] = {}

    def start(self, stage: str) -> None:
        """Run a stage; DVC restores it from its run cache, if it can, and records it."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = log_of(self._logs, stage)
        command = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", "repro", "--single-item"]
        with open(log, "wb") as output:
            popen = subprocess.Popen(
                [*command, *(["--force"] if self._force else []), "--", stage],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**ENVIRONMENT, **os.environ},
                start_new_session=True,
            )
        self.running[stage] = Process(stage, log, time.monotonic(), popen)

    def ended(self) -> list[Ended]:
        """Those that have ended since the last call."""
        done = [process for process in self.running.values() if process.popen.poll() is not None]
        for process in done:
            del self.running[process.stage]
            if process.popen.returncode:
                _signal(process, signal.SIGKILL)  # where DVC was killed, the stage's own process may live on
        return [
            Ended(
                each.stage,
                each.log,
                each.popen.returncode,
                time.monotonic() - each.started,
                f"Stage '{each.stage}' is cached" in each.log.read_text(encoding="utf-8", errors="replace"),
            )
            for each in done
        ]

    def interrupt(self) -> None:
        """What Ctrl-C does to `dvc repro`: its command ends, then DVC gives its locks back."""
        for process in self.running.values():
            _signal(process, signal.SIGINT)

    def kill(self) -> None:
        """End at once what they run, so that DVC gives its locks back; and DVC, too, if that takes long."""
        self._killed = self._killed or time.monotonic()
        for process in self.running.values():
            if time.monotonic() - self._killed > PATIENCE:
                _signal(process, signal.SIGKILL)
                continue
            with contextlib.suppress(psutil.NoSuchProcess):
                for child in psutil.Process(process.popen.pid).children(recursive=True):
                    child.kill()

    def stop(self) -> None:
        """Interrupt them, and wait until they have ended; those that have not ended in time are killed."""
        for step in (self.interrupt, self.kill):
            step()
            deadline = time.monotonic() + PATIENCE
            for process in self.running.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.popen.wait(max(0.0, deadline - time.monotonic()))
        for process in self.running.values():
            _signal(process, signal.SIGKILL)
            process.popen.wait()


def _signal(process: Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.popen.pid, number)


def log_of(logs: Path, stage: str) -> Path:
    """The file for a stage's output."""
    return logs / f"{quote(stage, safe='@')}.log"


def last_line(log: Path) -> str:
    """The last line of a log that is not empty, or ""."""
    with open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - END))
        return next(iter(last_lines(file.read().decode(errors="replace"), 1)), "")


def last_lines(text: str, number: int) -> list[str]:
    """The last lines that are not empty."""
    return [line.rstrip() for line in text.splitlines() if line.strip()][-number:]
