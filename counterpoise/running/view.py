"""How a run is shown: one view of all running stages on a terminal, and whole lines elsewhere."""

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from counterpoise.core.naming import printable
from counterpoise.core.progress import INTERVAL, counted
from counterpoise.running.processes import AtWork, Ended, last_line, last_lines

SHOWN = 15  # last lines of a failed stage's log


class View:
    """What the user sees of a run.

    Args:
        console: where it is shown.
        interval: s between lines about a running stage where the console is no terminal.
    """

    def __init__(self, console: Console, interval: float = INTERVAL) -> None:
        self._console, self._interval = console, interval
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_interactive else None
        self._begun = time.monotonic()
        self._told: dict[str, float] = {}
        self._done = 0

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def started(self, stage: str) -> None:
        """A stage runs now."""
        self._told[stage] = time.monotonic()
        if not self._live:
            self._print(f"{stage}: started")

    def tick(self, running: Iterable[AtWork], unchanged: int, total: int) -> None:
        """Say how far the running stages are, by the last lines of their logs."""
        now = time.monotonic()
        if self._live:
            table = Table.grid(padding=(0, 2))
            table.add_column(no_wrap=True, style="bold")
            table.add_column(no_wrap=True, justify="right")
            table.add_column(no_wrap=True, overflow="ellipsis", style="dim")
            for each in running:
                table.add_row(Text(each.stage), clock(now - each.started), Text(_line(each)))
            past = clock(now - self._begun)
            ready = f"{self._done + unchanged} of {counted(total, 'stage')} are up to date, {past}"
            shown: RenderableType = Group(table, Text(ready))
            self._live.update(shown)
            return
        for each in running:
            if now - self._told[each.stage] >= self._interval:
                self._told[each.stage] = now
                self._print(f"{each.stage}, {clock(now - each.started)}: {_line(each)}")

    def ended(self, each: Ended, interrupted: bool, needed_by: list[str]) -> None:
        """A stage has ended."""
        took = clock(each.seconds)
        if each.code == 0:
            self._done += 1
            what = "restored from the run cache" if each.restored else "done"
            self._print(f"{each.stage}: {what}, {took}", "green")
        elif interrupted:
            self._print(f"{each.stage}: stopped after {took}", "yellow")
        else:
            text = each.log.read_text(encoding="utf-8", errors="replace")
            self._print(f"{each.stage}: failed after {took}. The end of {each.log}:", "red")
            for line in last_lines(text, SHOWN):
                self._print(f"  {printable(line)}")
            if needed_by:
                self._print(f"  Not run, because they need it: {', '.join(needed_by)}")

    def interrupted(self, name: str, stages: int) -> None:
        """The run is to end."""
        self._print(f"{name}: ending {counted(stages, 'stage')}; once more ends them at once", "yellow")

    def _print(self, line: str, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)


def _line(process: AtWork) -> str:
    line = printable(last_line(process.log)).strip()
    return line.removeprefix(f"{process.stage.partition('@')[0]}: ") or "…"


def clock(seconds: float) -> str:
    """Whole minutes and seconds as 01:05, with hours before them where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
