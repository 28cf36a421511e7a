"""A stage on another machine of a Ray cluster: pull what it needs, run it, push what it made."""

import contextlib
import fcntl
import hashlib
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

WORK = "COUNTERPOISE_WORK"  # environment variable: a folder on the worker for its clones and DVC's cache
ATTEMPTS, PAUSE = 9, 15.0  # pulls and pushes of a stage, and s between them: a remote may be gone for two minutes
PATIENCE = 10.0  # s that an interrupted command has to end by itself


@dataclass(frozen=True)
class Order:
    """What a worker is to do.

    Attributes:
        repo: names the driver's repository; each has a folder of its own.
        needs: stages whose outputs are pulled first: all before it, because a table may name files of any of them.
        files: a tar of the files that git knows or would add.
        uncached: outputs that DVC does not keep in its cache; they travel in the report.
        force: run it even if it is up to date.
    """

    repo: str
    stage: str
    needs: tuple[str, ...]
    files: bytes
    uncached: tuple[str, ...]
    force: bool


@dataclass(frozen=True)
class Report:
    """What came of it.

    Attributes:
        code: the exit code of the first command that failed, or 0.
        entry: the stage's record in dvc.lock; None where it failed.
        files: a tar of the outputs that DVC does not keep in its cache.
    """

    node: str
    code: int
    log: str
    entry: dict | None = None
    files: bytes = b""


def work(order: Order) -> Report:
    """Run a stage in a folder of this machine, with nothing of the driver's but the order and DVC's remote."""
    home = Path(os.environ.get(WORK) or "~/.cache/counterpoise/work").expanduser() / order.repo
    folder = home / hashlib.sha256(order.stage.encode()).hexdigest()[:16]
    node = f"{socket.gethostname()}:{folder}"
    (home / "locks").mkdir(parents=True, exist_ok=True)
    with open(home / "locks" / folder.name, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # DVC inherits it: what a killed worker left behind is waited for
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        unpack(order.files, folder)
        log = home / f"{folder.name}.log"
        log.write_bytes(b"")
        cache = home / "cache"  # outlives the folder, with unfinished work in it
        (folder / ".dvc/config.local").write_text(f"[core]\n    no_scm = true\n[cache]\n    dir = {cache}\n")
        steps = [
            ("pull", *order.needs),
            ("repro", "--single-item", *(["--force"] if order.force else []), "--", order.stage),
            ("push", "--run-cache", order.stage),
        ]
        for step in steps:
            if step != ("pull",) and (code := _insist(step, folder, log, lock.fileno())):
                return Report(node, code, log.read_text(errors="replace"))
        from dvc.utils.serialize import load_yaml

        entry = load_yaml(str(folder / "dvc.lock"))["stages"][order.stage]
        report = Report(node, 0, log.read_text(errors="replace"), entry, pack(folder, order.uncached))
        shutil.rmtree(folder)
        return report


def pack(folder: Path, names: tuple[str, ...]) -> bytes:
    """A tar of files and folders by their names below a folder; those that are not there are left out."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name in names:
            if (folder / name).exists():
                tar.add(folder / name, name)
    return buffer.getvalue()


def unpack(packed: bytes, folder: Path) -> None:
    """Write what :func:`pack` packed; names that lead out of the folder are refused."""
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")


def _insist(step: tuple[str, ...], folder: Path, log: Path, lock: int) -> int:
    """Run a command of DVC; where it moves files it is tried again for a while. Its exit code."""
    attempts = ATTEMPTS if step[0] in ("pull", "push") else 1
    for attempt in range(attempts):
        if attempt:
            time.sleep(PAUSE)
        if not (code := _dvc(step, folder, log, lock)):
            return 0
    if attempts > 1:
        with open(log, "a") as file:
            file.write(f"\nDVC's remote does not answer, or lacks what is asked. On {folder}: `dvc {' '.join(step)}`\n")
    return code


def _dvc(step: tuple[str, ...], folder: Path, log: Path, lock: int) -> int:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with open(log, "ab") as output:
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "dvc", *step],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
            pass_fds=(lock,),
        )
        try:
            return popen.wait()
        except BaseException:  # Ray's way to cancel is KeyboardInterrupt
            for number in (signal.SIGINT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    popen.wait(PATIENCE)
            raise
