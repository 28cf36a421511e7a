"""Which stage runs when, with processes that only pretend."""

import contextlib
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from counterpoise.running import scheduler
from counterpoise.running.dag import Dag
from counterpoise.running.processes import Ended, Process
from counterpoise.running.view import View

DIAMOND = {"top": [], "left": ["top"], "right": ["top"], "bottom": ["left", "right"], "alone": []}


class Stages(Dag):
    """A pipeline without DVC."""

    folder = Path()

    def __init__(self, needs: dict[str, list[str]], changed: set[str], folder: Path) -> None:
        self.order, self.needs = list(needs), {name: set(others) for name, others in needs.items()}
        self.out_of_date, self.folder = changed, folder

    @contextlib.contextmanager
    def locked(self):
        yield

    def changed(self, name):
        return name in self.out_of_date

    def begin(self):
        pass

    def end(self, finished):
        self.finished = finished


class Pretended:
    """Every look at the processes ends the one that has run longest."""

    def __init__(self, log: Path, fails=(), restored=()) -> None:
        self.log, self.fails, self.is_restored = log, fails, restored
        self.running, self.seen = {}, []
        log.write_text("first\nwhy it failed\n")

    def start(self, stage):
        self.running[stage] = Process(stage, self.log, 0.0, None)
        self.seen.append(sorted(self.running))

    def ended(self):
        stage = next(iter(self.running))
        del self.running[stage]
        return [Ended(stage, self.log, int(stage in self.fails), 2.0, stage in self.is_restored)]

    def stop(self):
        assert not self.running


@pytest.fixture
def play(tmp_path, monkeypatch):
    """Run a pipeline: the outcome, what ran side by side, and what was shown."""
    monkeypatch.setattr(scheduler, "TICK", 0)

    def run(needs=DIAMOND, changed=frozenset(DIAMOND), jobs=2, force=False, **kwargs):
        dag, processes, shown = (
            Stages(needs, set(changed), tmp_path),
            Pretended(tmp_path / "log", **kwargs),
            io.StringIO(),
        )
        outcome = scheduler.run(dag, processes, View(Console(file=shown)), jobs, force)
        assert dag.finished == (not outcome.failed)
        return outcome, processes.seen, shown.getvalue()

    return run


def test_a_stage_runs_when_what_it_needs_is_there_and_no_more_than_asked_run_at_once(play):
    outcome, seen, _ = play()
    assert outcome.ran == ["top", "alone", "left", "right", "bottom"]
    assert seen == [["top"], ["alone", "top"], ["alone", "left"], ["left", "right"], ["bottom"]]
    assert all(len(names) == 1 for names in play(jobs=1)[1])


def test_what_is_up_to_date_is_passed_over_unless_forced(play):
    outcome, _, _ = play(changed={"left"})
    assert (outcome.ran, outcome.unchanged) == (["left"], ["top", "right", "alone", "bottom"])
    assert play(changed={}, force=True)[0].unchanged == []


def test_a_failure_stops_those_that_need_it_and_is_shown_with_its_end(play):
    outcome, _, shown = play(fails=("left",))
    assert (outcome.failed, outcome.left) == (["left"], ["bottom"])
    assert outcome.ran == ["top", "alone", "right"]
    assert "left: failed" in shown and "  why it failed\n  Not run, because they need it: bottom\n" in shown


def test_what_the_run_cache_restores_is_said(play):
    outcome, _, shown = play(restored=("top",))
    assert outcome.restored == ["top"] and "top: restored from the run cache" in shown


def test_the_longest_way_goes_first_once_times_are_known(play, tmp_path):
    needs = {"short": [], "long": [], "first": [], "after": ["first"]}
    assert play(needs, needs, jobs=1)[0].ran[0] == "first", "two stages are a longer way than one"
    (tmp_path / "seconds.json").write_text(json.dumps({"short": 1, "long": 90, "first": 2, "after": 3}))
    assert play(needs, needs, jobs=1)[0].ran == ["long", "first", "after", "short"]


def test_waves_hold_what_can_run_together(tmp_path):
    dag = Stages(DIAMOND, set(), tmp_path)
    assert dag.waves(DIAMOND) == [["top", "alone"], ["left", "right"], ["bottom"]]
    assert dag.waves(["right", "bottom"]) == [["right"], ["bottom"]]
    assert dag.before("bottom") == ["top", "left", "right"] and dag.before("top") == []
    assert dag.needed_by("top") == ["left", "right", "bottom"]
