"""How progress is shown: a bar on a terminal; elsewhere whole lines, now and then."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from counterpoise.core import progress as module
from counterpoise.core.progress import Lines, counted, progress

ROOT = Path(module.__file__).parents[2]


class Clock:
    """A time in seconds that passes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("TQDM_DISABLE", "TQDM_MININTERVAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def log(capsys):
    """Reads what went to standard error, which is no terminal."""
    return lambda: capsys.readouterr().err


@pytest.fixture
def clock():
    return Clock()


def work(bar: Lines, clock: Clock, steps: int, seconds: float) -> None:
    for _ in range(steps):
        clock.now += seconds
        bar.update()


def test_on_a_terminal_there_is_a_bar_that_is_redrawn(log, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), desc="bark", unit="clip")) == [0, 1, 2]
    shown = log()
    assert "\r" in shown and "bark: 100%" in shown and "3/3" in shown and "clip/s" in shown


def test_on_a_terminal_a_bar_is_moved_by_hand_and_may_vanish(log, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress(desc="bark", unit="step", total=4, initial=1, leave=False) as bar:
        bar.update(3)
        bar.set_postfix(loss="0.5")
    shown = log()
    assert "loss=0.5" in shown and "4/4" in shown and shown.endswith("\r")


def test_short_work_says_nothing_where_there_is_no_terminal(log, clock):
    assert list(progress(range(3), desc="bark", unit="clip")) == [0, 1, 2]
    with Lines(desc="bark", unit="step", total=29, clock=clock) as bar:
        work(bar, clock, 29, 1.0)
    assert log() == ""


def test_long_work_says_a_whole_line_at_each_interval_and_one_at_the_end(log, clock):
    with Lines(desc="bark", unit="step", total=1200, clock=clock) as bar:
        work(bar, clock, 1200, 1 / 16)  # 75 s
    assert log() == (
        "bark: 480 of 1,200 steps, 16.0 steps/s, 00:45 left\n"
        "bark: 960 of 1,200 steps, 16.0 steps/s, 00:15 left\n"
        "bark: 1,200 of 1,200 steps, 16.0 steps/s, 01:15 in all\n"
    )


def test_lines_are_no_nearer_to_each_other_than_the_interval(log, clock):
    bar = Lines(desc="bark", unit="step", total=100, interval=10.0, clock=clock)
    work(bar, clock, 10, 7.0)  # at 14, 28, 42, 56 and 70 s
    bar.close()
    bar.close()
    told = log()
    assert len(told.splitlines()) == 6 and "\r" not in told


def test_what_an_iterable_yields_goes_through_and_is_counted(log, clock):
    sounds = Lines(pd.Series(["a", "b"]), desc="filter", unit="batch", interval=10.0, clock=clock)
    for sound in sounds:
        assert sound in "ab"
        clock.now += 20.0
    first, last = log().splitlines()
    assert first == "filter: 1 of 2 batches, 20.0 s/batch, 00:20 left"
    assert last == "filter: 2 of 2 batches, 20.0 s/batch, 00:40 in all"


def test_what_an_earlier_run_has_done_does_not_count_in_the_rate(log, clock):
    with Lines(desc="base", unit="step", total=1000, initial=900, clock=clock) as bar:
        work(bar, clock, 60, 1.0)
    first, _, last = log().splitlines()
    assert first == "base: 930 of 1,000 steps, 1.0 steps/s, 01:10 left"
    assert last == "base: 960 of 1,000 steps, 1.0 steps/s, 01:00 in all"


def test_the_rate_follows_work_that_gets_slower(log, clock):
    bar = Lines(desc="bark", unit="step", total=10_000, clock=clock)
    work(bar, clock, 300, 0.1)
    work(bar, clock, 30, 1.0)
    assert "7.3 steps/s" in log().splitlines()[-1]  # 0.7 of 10 and 0.3 of 1


def test_bytes_are_told_in_large_units_and_without_a_total(log, clock):
    with Lines(desc="url", unit="B", unit_scale=True, total=3_000_000_000, clock=clock) as bar:
        clock.now += 100
        bar.update(1_200_000_000)
    with Lines(desc="url", unit="file", clock=clock) as bar:
        clock.now += 40
        bar.update(80)
    assert log().splitlines()[::2] == [
        "url: 1.20GB of 3.00GB, 12.0MB/s, 02:30 left",
        "url: 80 files, 2.0 files/s",
    ]


def test_a_line_tells_what_was_measured_and_no_rate_before_anything_is_done(log, clock):
    bar = Lines(desc="classify", unit="file", total=1, leave=False, clock=clock)
    clock.now += 31
    bar.set_postfix_str("12.0 min of long.wav", refresh=False)
    bar.update(0)
    bar.set_postfix(loss="0.312")
    clock.now += 31
    bar.update()
    bar.close()  # without a line: nothing is to be left
    assert log().splitlines() == [
        "classify: 0 of 1 file, 12.0 min of long.wav",
        "classify: 1 of 1 file, 31.0 s/file, loss 0.312",
    ]


def test_work_that_fails_says_how_far_it_was(log, clock):
    with pytest.raises(ValueError), Lines(desc="bark", unit="step", total=3, clock=clock) as bar:
        clock.now += 45
        bar.n += 1
        raise ValueError
    assert log() == "bark: 1 of 3 steps, 45.0 s/step, 00:45 in all\n"


@pytest.mark.parametrize("terminal", [False, True])
def test_it_is_silent_where_it_was_told_to_be(log, monkeypatch, terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("TQDM_MININTERVAL", "0.000001")
    assert list(progress(range(3), desc="bark", unit="clip", disable=True)) == [0, 1, 2]
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert list(progress(range(3), desc="bark", unit="clip")) == [0, 1, 2]
    assert log() == ""


def test_the_interval_can_be_set_from_outside(log, monkeypatch):
    monkeypatch.setenv("TQDM_MININTERVAL", "0.000000001")
    bar = progress(desc="bark", unit="clip", total=2)
    assert bar.interval == 1e-9
    monkeypatch.setenv("TQDM_MININTERVAL", "")
    assert progress(desc="bark", unit="clip", total=2).interval == module.INTERVAL == 30.0


@pytest.mark.parametrize(
    ("number", "unit", "told"),
    [(1, "clip", "1 clip"), (0, "clip", "0 clips"), (1200, "batch", "1,200 batches"), (2, "class", "2 classes")],
)
def test_an_amount_has_its_unit(number, unit, told):
    assert counted(number, unit) == told


def test_there_is_one_place_for_progress():
    files = [path for room in ("counterpoise", "stages", "benchmarks") for path in (ROOT / room).rglob("*.py")]
    users = {
        str(path.relative_to(ROOT)) for path in files if re.search(r"^\s*(from|import) tqdm", path.read_text(), re.M)
    }
    assert users == {"counterpoise/core/progress.py", "benchmarks/peers/timed.py"}  # the latter has no counterpoise
