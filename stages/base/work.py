"""The way every stage starts, works and ends."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.core import CounterpoiseError, runtime
from counterpoise.core.progress import counted

if TYPE_CHECKING:
    import pandas as pd
    from dvc.repo import Repo

NOTHING = "nothing.txt"  # in outputs that hold nothing, with the reason


def run(stage: Callable[..., None]) -> None:
    """Run a stage with the command line's arguments; a mistake that the user can mend ends in one message."""
    try:
        stage(*sys.argv[1:])
    except CounterpoiseError as error:
        sys.exit(f"\n{_script()}: {error}")


def _script() -> str:
    return Path(sys.argv[0]).stem


@contextlib.contextmanager
def working(output: Path) -> Iterator[Path]:
    """Write an output alone, and keep what is unfinished for the next try.

    Args:
        output: no other process of this workspace writes it meanwhile.

    Yields:
        A folder for unfinished work; an interrupted run of the same stage with the same inputs finds its files there
        again. It lies in DVC's cache folder, and goes when the work is done.
    """
    from dvc.repo import Repo  # half a second that some stages have no use for

    with Repo(_wait_for_lock=True) as repo:
        unfinished, key = Path(repo.cache.local_cache_dir) / "unfinished", _identity(repo)
    place = hashlib.sha256(str(output.absolute()).encode()).hexdigest()[:12]
    with (
        runtime.exclusive(unfinished / "locks" / f"{output.name}.{place}", wait=False),
        runtime.exclusive(unfinished / "locks" / key, wait=True),
    ):
        folder = unfinished / key
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(folder)


def _identity(repo: "Repo") -> str:
    """What determines this stage's result, as DVC sees it: its command, the content of its inputs, its parameters."""
    from dvc.repo import lock_repo

    with lock_repo(repo):  # stages that run beside this one write dvc.lock
        (stage,) = repo.stage.collect("@".join(filter(None, [_script(), "-".join(sys.argv[1:])])))
    for dependency in stage.deps:
        dependency.save()
    determinants = [stage.cmd, *sorted((str(each), str(each.hash_info)) for each in stage.deps)]
    return hashlib.sha256(json.dumps(determinants).encode()).hexdigest()[:32]


def cache(name: str) -> Path:
    """A folder in DVC's cache folder, which queued and temporary runs share with the workspace."""
    from dvc.repo import Repo

    with Repo() as repo:
        return Path(repo.cache.local_cache_dir) / name


@contextlib.contextmanager
def curves(folder: Path) -> Iterator[Callable[..., None]]:
    """Write what a training measures as dvclive does, in files alone.

    Yields:
        A function of the step and of measured values by their names.
    """
    from dvclive import Live

    def report(step: int, **measured: float) -> None:
        live.step = step
        for metric, value in measured.items():
            live.log_metric(metric, round(value, 4))
        live.make_summary()

    with Live(str(folder), save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
        yield report


def tell(output: Path, what: str) -> None:
    """Say at the end of a stage what lies in an output now."""
    print(f"{output}: {what}", flush=True)


def clips_of_recordings(clips: "pd.DataFrame") -> str:
    """How many there are, for :func:`tell`: rows with a `source_id`."""
    return f"{counted(len(clips), 'clip')} of {counted(clips.source_id.nunique(), 'recording')}"


def nothing(folder: Path, why: str) -> None:
    """Leave an output that says why there is nothing in it; DVC warns of empty folders."""
    prune(folder, keep=[])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTHING).write_text(why + "\n")
    tell(folder, f"nothing; {why}")


def is_empty(folder: Path) -> bool:
    """Whether :func:`nothing` left this output."""
    return (folder / NOTHING).exists()


def why_empty(folder: Path) -> str:
    """The reason that :func:`nothing` left."""
    return (folder / NOTHING).read_text().strip()


def prune(folder: Path, keep: Collection[str]) -> None:
    """Delete what lies in an output folder, but for these."""
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.name not in keep:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
