"""How long work says how far it is: with a bar on a terminal, and elsewhere with a line now and then."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import partial
from typing import Generic, Self, TextIO, TypeVar

from tqdm import tqdm

INTERVAL = 30.0  # s between lines; shorter work needs none
NEWEST = 0.3  # share of the time since the last line in the rate; that of tqdm's bar

T = TypeVar("T")


def progress(
    iterable: Iterable[T] | None = None,
    *,
    desc: str,
    unit: str,
    total: int | None = None,
    initial: int = 0,
    unit_scale: bool = False,
    leave: bool = True,
    disable: bool = False,
) -> "tqdm | Lines[T]":
    """Show on standard error how far work is, its rate, and the time that is left.

    On a terminal this is tqdm's bar. Elsewhere it is a whole line every 30 s, and one at the end; work that is done
    sooner prints nothing. Of tqdm's environment variables, TQDM_DISABLE silences both, and TQDM_MININTERVAL is the
    time between lines in seconds.

    Args:
        iterable: what is worked through; None where the caller counts with `update(n)` and ends with `close()`, or uses
            it in a `with` statement.
        desc: what the work is.
        unit: what is counted, in the singular; "B" stands for bytes.
        total: how many there are; by default the iterable's length, if it has one.
        initial: how many an earlier run has done.
        unit_scale: write large numbers as 1.20G.
        leave: keep the finished bar, and print the last line.
        disable: show nothing.

    Returns:
        What yields the iterable's items. It has `update`, `set_postfix`, `set_postfix_str` and `close`, as tqdm has.

    Raises:
        ValueError: TQDM_MININTERVAL is no number.
    """
    interval = float(os.environ.get("TQDM_MININTERVAL") or INTERVAL)
    shown = tqdm if sys.stderr.isatty() else partial(Lines, interval=interval)
    return shown(
        iterable,
        desc=desc,
        unit=unit,
        total=total,
        initial=initial,
        unit_scale=unit_scale,
        leave=leave,
        disable=disable or bool(os.environ.get("TQDM_DISABLE")),
    )


def write(line: str, stream: TextIO) -> None:
    """Print a line while bars may be shown on a terminal; they make way for it."""
    tqdm.write(line, file=stream)


def counted(number: int, unit: str) -> str:
    """A number and its unit: "1 clip", "1,200 batches"."""
    return f"{number:,} {unit if number == 1 else _plural(unit)}"


class Lines(Generic[T]):
    """What :func:`progress` gives where there is no terminal: lines on standard error.

    Args:
        interval: s between lines, at least. A line is printed when something is done, so slow steps are told later.
        clock: the time in seconds.
    """

    def __init__(
        self,
        iterable: Iterable[T] | None = None,
        *,
        desc: str,
        unit: str,
        total: int | None = None,
        initial: int = 0,
        unit_scale: bool = False,
        leave: bool = True,
        disable: bool = False,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.iterable, self.desc, self.unit, self.scaled, self.leave = iterable, desc, unit, unit_scale, leave
        self.total = len(iterable) if total is None and isinstance(iterable, Sized) else total
        self.disable, self.interval, self.clock = disable, interval, clock
        self.n = self.initial = self._told = initial
        self._start = self._last = clock()
        self._rate = 0.0
        self._postfix = ""

    def __iter__(self) -> Iterator[T]:
        with self:
            for item in () if self.iterable is None else self.iterable:
                yield item
                self.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def update(self, n: int = 1) -> None:
        """So many more are done."""
        self.n += n
        if self.disable or (now := self.clock()) - self._last < self.interval:
            return
        newest = (self.n - self._told) / max(now - self._last, 1e-9)
        self._rate = newest if not self._rate else NEWEST * newest + (1 - NEWEST) * self._rate
        self._told, self._last = self.n, now
        if self.n == self.total and self.leave:
            return  # the last line says it
        left = ""
        if self._rate and self.total and self.total > self.n:
            left = f"{tqdm.format_interval((self.total - self.n) / self._rate)} left"
        self._print(self._rate, left)

    def set_postfix(self, refresh: bool = True, **values: object) -> None:
        """What else the next line says, such as `loss="0.31"`."""
        self.set_postfix_str(", ".join(f"{name} {value}" for name, value in values.items()))

    def set_postfix_str(self, text: str = "", refresh: bool = True) -> None:
        """What else the next line says."""
        self._postfix = text

    def close(self) -> None:
        """The work is done, or has ended early: print the last line, if it took long."""
        took = self.clock() - self._start
        if not self.disable and self.leave and took >= self.interval:
            self._print((self.n - self.initial) / max(took, 1e-9), f"{tqdm.format_interval(took)} in all")
        self.disable = True

    def _print(self, rate: float, time_left: str) -> None:
        parts = filter(None, [self._amount(), self._speed(rate), time_left, self._postfix])
        line = ", ".join(parts)
        print(f"{self.desc}: {line}", file=sys.stderr, flush=True)

    def _amount(self) -> str:
        if self.scaled:
            of = f" of {tqdm.format_sizeof(self.total)}{self.unit}" if self.total else ""
            return f"{tqdm.format_sizeof(self.n)}{self.unit}{of}"
        return f"{self.n:,} of {counted(self.total, self.unit)}" if self.total else counted(self.n, self.unit)

    def _speed(self, rate: float) -> str:
        if not rate:
            return ""
        if self.scaled:
            return f"{tqdm.format_sizeof(rate)}{self.unit}/s"
        if rate < 1:
            return f"{1 / rate:.1f} s/{self.unit}"
        return f"{rate:,.1f} {_plural(self.unit)}/s"


def _plural(unit: str) -> str:
    return unit + ("es" if unit.endswith(("s", "x", "ch")) else "s")
