"""What `counterpoise run` does with its options."""

import os
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from counterpoise.core.progress import counted
from counterpoise.core.runtime import RuntimeUnavailable, exclusive
from counterpoise.running import RunError, dag, scheduler
from counterpoise.running.cluster import Cluster
from counterpoise.running.jobs import jobs
from counterpoise.running.processes import Processes
from counterpoise.running.scheduler import Outcome
from counterpoise.running.view import View

__all__ = ["jobs", "run"]


def run(
    targets: list[str],
    at_once: int,
    force: bool,
    dry: bool,
    logs: Path,
    console: Console,
    address: str | None,
    threads: int,
) -> int:
    """Run the pipeline of this folder, or say what would run.

    Args:
        targets: stages as `dvc repro` takes them; none: all.
        at_once: stages at once, at most.
        force: run what is up to date, too.
        dry: say what would run, and run nothing.
        logs: a folder for what stages print.
        address: of a Ray cluster that runs the stages; None: this machine.
        threads: of a stage.

    Returns:
        The exit code: 0 when all is up to date, 1 when a stage failed, 128 + n after the signal n.

    Raises:
        RunError: the pipeline cannot be read, or another run is at work here.
    """
    with dag.read(targets) as pipeline:
        if dry:
            _foretell(pipeline, force, console)
            return 0
        try:
            with exclusive(pipeline.folder / "run.lock", wait=False):
                if console.is_interactive:
                    os.environ.setdefault("TQDM_MININTERVAL", "5")  # the view shows the newest line of each stage
                stages = Cluster(pipeline, address, logs, threads, force) if address else Processes(logs, force)
                outcome = scheduler.run(pipeline, stages, View(console), at_once, force)
        except RuntimeUnavailable:
            raise RunError("Another `counterpoise run` is at work in this folder. Wait for it, or end it.") from None
    for line in _conclusion(outcome, logs):
        console.print(Text(line), soft_wrap=True)
    sys.stdout.flush()
    if outcome.signal:
        return 128 + outcome.signal
    return 1 if outcome.failed else 0


def _foretell(pipeline: dag.Dag, force: bool, console: Console) -> None:
    with pipeline.locked():
        changed = {name for name in pipeline.order if force or pipeline.changed(name)}
    after = {other for name in changed for other in pipeline.needed_by(name)} - changed
    if not changed:
        console.print("Everything is up to date.")
        return
    for number, wave in enumerate(pipeline.waves(changed | after), 1):
        names = ", ".join(name if name in changed else f"{name}?" for name in wave)
        console.print(Text(f"{number}. {names}"), soft_wrap=True)
    if after:
        console.print(Text("? runs only if what it reads changes"), soft_wrap=True)


def _conclusion(outcome: Outcome, logs: Path) -> list[str]:
    ran = len(outcome.ran) + len(outcome.restored)
    if not ran and not outcome.failed and not outcome.signal:
        return ["Everything is up to date."]
    parts = [
        f"{counted(len(outcome.ran), 'stage')} ran",
        f"{len(outcome.restored)} restored" if outcome.restored else "",
        f"{len(outcome.unchanged)} up to date" if outcome.unchanged else "",
        f"{len(outcome.failed)} failed" if outcome.failed else "",
        f"{len(outcome.left)} left" if outcome.left else "",
    ]
    lines = [f"{', '.join(filter(None, parts))}. Logs: {logs}/"]
    if outcome.failed:
        lines.append(f"Failed: {', '.join(outcome.failed)}. Mend what the end of the log names; then run this again.")
    if outcome.signal:
        lines.append("Interrupted. Run this again to go on; finished stages are kept.")
    return lines
