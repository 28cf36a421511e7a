"""Stages as tasks of a Ray cluster. The machines share nothing but a remote of DVC."""

import hashlib
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from counterpoise.running import RunError, worker
from counterpoise.running.dag import Dag
from counterpoise.running.processes import Ended, log_of
from counterpoise.running.worker import Order, Report


@dataclass
class Task:
    """A stage at work somewhere.

    Attributes:
        started: by time.monotonic().
    """

    stage: str
    log: Path
    started: float
    reference: Any


class Cluster:
    """The stages at work, as :class:`counterpoise.running.processes.Processes` has them.

    Args:
        address: as `ray.init` takes it: auto, host:port, ray://host:port.
        logs: a folder on this machine; a stage's output goes to `<stage>.log` in it when the stage has ended.
        threads: of a stage, `runtime.threads`: the CPUs that it asks for.
        force: run what is up to date, too.

    Raises:
        RunError: Ray is not installed, there is no cluster, or DVC has no remote that takes what is here.
    """

    def __init__(self, dag: Dag, address: str, logs: Path, threads: int, force: bool = False) -> None:
        try:
            import ray
        except ModuleNotFoundError:
            raise RunError("--address needs Ray: `pip install -r requirements-ray.txt`") from None
        self._ray, self._dag, self._logs, self._force = ray, dag, logs, force
        self._root = Path.cwd()
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise RunError(f"There is no Ray cluster at {address!r}: {error}. `ray start --head` starts one.") from None
        ray.cloudpickle.register_pickle_by_value(
            worker
        )  # a worker has this machine's code, whatever is installed there
        self._work = ray.remote(worker.work).options(num_cpus=threads, max_retries=5)
        self.running: dict[str, Task] = {}
        self._move("push", "Workers pull from DVC's remote: `dvc remote add -d store URL`, where all can reach it.")

    def start(self, stage: str) -> None:
        """Hand a stage to the cluster. Ray starts it again on another machine if its own is lost."""
        self._logs.mkdir(parents=True, exist_ok=True)
        log = log_of(self._logs, stage)
        log.write_text("waiting for a machine, or at work there\n")
        order = Order(
            hashlib.sha256(str(self._root).encode()).hexdigest()[:16],
            stage,
            tuple(self._dag.before(stage)),
            worker.pack(self._root, self._known()),
            self._dag.uncached(stage),
            self._force,
        )
        self.running[stage] = Task(stage, log, time.monotonic(), self._work.remote(order))

    def ended(self) -> list[Ended]:
        """Those that have ended since the last call; what they made is here now."""
        waiting = {task.reference: task for task in self.running.values()}
        ready, _ = self._ray.wait(list(waiting), num_returns=len(waiting), timeout=0) if waiting else ([], [])
        return [self._take(waiting[reference]) for reference in ready]

    def interrupt(self) -> None:
        """End them as Ctrl-C does."""
        for task in self.running.values():
            self._ray.cancel(task.reference, force=False)

    def kill(self) -> None:
        """End them at once."""
        for task in self.running.values():
            self._ray.cancel(task.reference, force=True)

    def stop(self) -> None:
        """Interrupt what runs, and leave the cluster."""
        self.interrupt()
        if self.running:
            self._ray.wait([task.reference for task in self.running.values()], timeout=worker.PATIENCE)
        self._ray.shutdown()

    def _take(self, task: Task) -> Ended:
        try:
            report = self._ray.get(task.reference)
        except self._ray.exceptions.RayError as error:
            report = Report("?", 1, f"{error}\n")
        code = report.code
        text = f"on {report.node}\n{report.log}"
        if code == 0:
            try:
                self._record(task.stage, report)
            except RunError as error:
                code, text = 1, f"{text}\n{error}\n"
        task.log.write_text(text)
        del self.running[task.stage]
        restored = f"Stage '{task.stage}' is cached" in text
        return Ended(task.stage, task.log, code, time.monotonic() - task.started, restored)

    def _record(self, stage: str, report: Report) -> None:
        for name in self._dag.uncached(stage):
            path = self._root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        worker.unpack(report.files, self._root)
        self._dag.record(stage, report.entry or {})
        self._move("pull", "DVC's remote did not give what a worker had pushed.", stage)
        with self._dag.locked():
            if self._dag.changed_since(stage):
                raise RunError(
                    f"{stage} read other files on {report.node} than lie here. What neither git nor a stage provides, "
                    "such as data.path, must be added to DVC (`dvc add`), or lie at the same place on every machine."
                )

    def _known(self) -> tuple[str, ...]:
        """The files that git knows or would add."""
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self._root, check=True)
        return tuple(dict.fromkeys(filter(None, done.stdout.split("\0"))))

    def _move(self, what: str, why: str, *stages: str) -> None:
        command = [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", what, *stages]
        for attempt in range(worker.ATTEMPTS if stages else 1):
            if attempt:
                time.sleep(worker.PAUSE)
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                return
        raise RunError(f"{why}\n{done.stderr.strip()}")
