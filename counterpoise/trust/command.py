"""`counterpoise verify` and `counterpoise clean` as functions, with what they say."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.core import CounterpoiseError, origin, runtime
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import File
from counterpoise.trust import contents, litter, mending, telling
from counterpoise.trust.contents import Report

if TYPE_CHECKING:
    from dvc.repo import Repo

MACHINES = Path("metrics/machine.json")  # of the stage `publish`
LOCKS = Path(".dvc/tmp/counterpoise")  # as in stages/base/work.py


class Params(File):
    runtime: Runtime


class TrustError(CounterpoiseError):
    """DVC cannot say what there is; the message is DVC's."""


def verify(remote: str | None, mend: bool, say: Callable[[str], object]) -> bool:
    """Hash all that dvc.lock names, say what is wrong, and mend it where that is asked for.

    Returns:
        Whether all is whole now.

    Raises:
        TrustError: there is no repository, or no such remote.
    """
    with _repo() as repo:
        report = _look(repo, remote, say)
        if mends := mend and bool(telling.advice(report, remote)):
            for line in mending.mend(repo, report, remote):
                say(f"mended: {line}")
    with _repo() as repo:  # again, because this one remembers what it saw
        if mends:
            say("and after that:")
            report = _look(repo, remote, say)
        for name in _unverified(repo):
            say(f"remote {name} is not verified when it is pulled from: `dvc remote modify {name} verify true`")
    for line in elsewhere():
        say(line)
    todo = telling.advice(report, remote)
    say("\n".join(["Run:", *(f"  {line}" for line in todo)]) if todo else "All of it is whole.")
    return not todo


def elsewhere() -> list[str]:
    """Which models another kind of machine, other libraries or another precision have trained than are here."""
    try:
        machines = json.loads(MACHINES.read_text())
        settings = Params.read().runtime
        here = origin.describe(settings, runtime.device_of(settings.device, "runtime.device"))
    except (OSError, ValueError, CounterpoiseError):  # nothing was trained yet, or params.yaml has another device
        return []
    found = [(machine["made"], origin.differences(machine, here)) for machine in machines]
    return [
        f"made elsewhere: {counted(len(made), 'model')} ({made[0]} …): {'; '.join(apart)}. Trained here, the last "
        "digits of scores may differ."
        for made, apart in found
        if apart
    ]


def _look(repo: "Repo", remote: str | None, say: Callable[[str], object]) -> Report:
    report = contents.verify(repo, remote)
    for line in telling.lines(report, remote):
        say(line)
    return report


def clean(embeddings: bool, dry: bool, say: Callable[[str], object]) -> None:
    """Delete what interrupted runs left, and say how much that is.

    Raises:
        TrustError: there is no repository.
    """
    with _repo() as repo:
        cache = Path(repo.cache.local_cache_dir)
    found = litter.clear(cache, LOCKS, embeddings, dry)
    done = "would be deleted" if dry else "deleted"
    work = counted(found.works, "piece")
    say(f"{done}: {work} of unfinished work, {counted(found.locks, 'lock')}; {found.bytes / 1e6:,.1f} MB in all")
    if found.busy:
        say(f"{counted(found.busy, 'piece')} stay, because a process works on them")


@contextlib.contextmanager
def _repo() -> Iterator["Repo"]:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            yield repo
    except DvcException as error:
        raise TrustError(f"DVC says: {error}") from None


def _unverified(repo: "Repo") -> list[str]:
    return sorted(name for name, config in repo.config["remote"].items() if not config.get("verify"))
