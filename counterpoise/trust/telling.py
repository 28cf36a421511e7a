"""What `counterpoise verify` says: what is damaged or missing, and which command mends it."""

import os
from collections.abc import Iterable, Iterator

from counterpoise.core.naming import printable
from counterpoise.core.progress import counted
from counterpoise.trust.contents import CACHE, REMOTE, WORKSPACE, Report

SHOWN = 10  # files that are named, of each kind


def lines(report: Report, remote: str | None) -> Iterator[str]:
    """The whole answer but for the advice."""
    objects = ", ".join(f"{counted(n, 'object')} in the {_place(where, remote)}" for where, n in report.objects.items())
    yield f"dvc.lock names {counted(report.files(), 'file')}; hashed: {objects}"
    for where in (WORKSPACE, CACHE, REMOTE):
        for what in ("damaged", "missing", "left over"):
            found = [one for one in report.of(where) if one.what == what]
            named = [f"{_short(one.file)} ({one.kept.path}, stage {one.kept.stage})" for one in found]
            yield from _list(f"{_place(where, remote)}: {counted(len(found), 'file')} {what}", named)
    yield from _list("not known, because the list of its files is nowhere", report.unknown)
    yield from _list("inputs that changed, and DVC takes them as they were", report.unseen)
    yield from _list("inputs that changed since the last run (`dvc repro` takes them in)", report.changed)


def advice(report: Report, remote: str | None) -> list[str]:
    """What to run, in order; nothing where all is whole.

    Damage is mended with `--mend` first. Then nothing that is damaged lies anywhere, and what is whole nowhere on this
    machine is missing, which DVC sees.
    """
    option = f" --remote {remote}" if remote else ""
    mends = report.fills_cache() or report.fills_workspace() or report.unseen
    if mends or any(one.what != "missing" for one in report.findings):
        return [f"counterpoise verify --mend{option}"]
    gaps = [one for one in report.findings if one.where != REMOTE]
    todo = []
    if gaps or report.unknown:
        todo.append("dvc pull    (if a remote has them)")
        todo.append("dvc repro   (makes what is still missing again)")
    if any(one.where == REMOTE for one in report.findings):
        todo.append(f"dvc push -r {remote}")
    return todo


def _place(where: str, remote: str | None) -> str:
    return f"remote {remote}" if where == REMOTE else where


def _short(path: str) -> str:
    """A path below this folder without the folder."""
    return os.path.relpath(path) if path.startswith(os.getcwd() + os.sep) else path


def _list(title: str, items: Iterable[str]) -> Iterator[str]:
    items = list(items)
    if items:
        yield f"{title}:"
        yield from (f"  {printable(item)}" for item in items[:SHOWN])
        if len(items) > SHOWN:
            yield f"  and {len(items) - SHOWN} more"
