"""Which stage runs when: as many at once as asked, each as soon as what it needs is there."""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from counterpoise.running.dag import Dag
from counterpoise.running.processes import PATIENCE, AtWork, Ended
from counterpoise.running.view import View

TICK = 0.1  # s between looks at the processes


class Stages(Protocol):
    """Who runs stages."""

    @property
    def running(self) -> Mapping[str, AtWork]: ...

    def start(self, stage: str) -> None: ...

    def ended(self) -> list[Ended]: ...

    def interrupt(self) -> None: ...

    def kill(self) -> None: ...

    def stop(self) -> None: ...


@dataclass
class Outcome:
    """What became of the stages, by name.

    Attributes:
        unchanged: they were up to date.
        left: they did not run, because what they need failed, or because the run was interrupted.
        signal: the signal that interrupted the run.
    """

    ran: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    signal: int | None = None


def run(dag: Dag, processes: Stages, view: View, jobs: int, force: bool = False) -> Outcome:
    """Run what is out of date.

    A stage that fails stops those that need it, and no other. SIGINT, SIGTERM and SIGHUP stop all; a second one stops
    them at once.

    Args:
        jobs: stages at once, at most.
        force: run what is up to date, too.
    """
    outcome = Outcome()
    seconds = _remembered(dag)
    urgency = _urgency(dag, seconds)
    waiting, ready, done = set(dag.order), list[str](), set[str]()

    def look() -> None:
        """Find the stages whose needs are met, and pass over those that are up to date."""
        if not any(dag.needs[name] <= done for name in waiting):
            return
        with dag.locked():
            for name in dag.order:
                if name in waiting and dag.needs[name] <= done:
                    waiting.remove(name)
                    if force or dag.changed(name):
                        ready.append(name)
                    else:
                        done.add(name)
                        outcome.unchanged.append(name)
        ready.sort(key=lambda name: -urgency[name])

    try:
        with _signals() as received, view:
            deadline = None
            while True:
                if not received:
                    look()
                    while ready and len(processes.running) < jobs:
                        dag.begin()
                        name = ready.pop(0)
                        processes.start(name)
                        view.started(name)
                elif deadline is None:
                    deadline = time.monotonic() + PATIENCE
                    view.interrupted(signal.Signals(received[0]).name, len(processes.running))
                    processes.interrupt()
                elif len(received) > 1 or time.monotonic() > deadline:
                    processes.kill()
                if not processes.running:
                    break
                view.tick(processes.running.values(), len(outcome.unchanged), len(dag.order))
                time.sleep(TICK)
                for each in processes.ended():
                    if each.code == 0:
                        done.add(each.stage)
                        (outcome.restored if each.restored else outcome.ran).append(each.stage)
                        if not each.restored:
                            seconds[each.stage] = round(each.seconds, 1)
                    elif not received:
                        outcome.failed.append(each.stage)
                        waiting.difference_update(dag.needed_by(each.stage))
                    view.ended(each, interrupted=bool(received), needed_by=dag.needed_by(each.stage))
            outcome.signal = received[0] if received else None
    finally:
        processes.stop()
        outcome.left = [name for name in dag.order if name not in done and name not in outcome.failed]
        dag.end(finished=not outcome.left and not outcome.failed)
        (dag.folder / "seconds.json").write_text(json.dumps(seconds))
    return outcome


def _remembered(dag: Dag) -> dict[str, float]:
    """How many seconds stages took the last time, as far as it is known."""
    path = dag.folder / "seconds.json"
    with contextlib.suppress(FileNotFoundError, ValueError):
        return {name: float(value) for name, value in json.loads(path.read_text()).items()}
    return {}


def _urgency(dag: Dag, seconds: dict[str, float]) -> dict[str, float]:
    """How long the longest path from the start of a stage to the end takes, at the least; in s where that is known."""
    usual = sum(seconds.values()) / len(seconds) if seconds else 1.0
    after = dict.fromkeys(dag.order, 0.0)
    for name in reversed(dag.order):
        after[name] += seconds.get(name, usual)
        for other in dag.needs[name]:
            after[other] = max(after[other], after[name])
    return after


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect signals that ask for an end, instead of ending."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup is obeyed
            before[number] = signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
