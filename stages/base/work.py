"""The way every stage starts, works and ends."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.core import CounterpoiseError, faults, runtime, unfinished
from counterpoise.core.progress import counted
from stages.base import orphans

if TYPE_CHECKING:
    import pandas as pd
    from dvc.repo import Repo

LOCKS = Path(".dvc/tmp/counterpoise")  # of this workspace; git does not see it
NOTHING = "nothing.txt"  # in outputs that hold nothing, with the reason


def run(stage: Callable[..., None]) -> None:
    """Run a stage with the command line's arguments; a mistake that the user can mend ends in one message.

    So does what the machine refuses. No other process of this workspace runs the same stage meanwhile: one that is left
    of a run that was killed ends by itself, and is waited for. So all outputs of a stage are written by one process.
    """
    try:
        orphans.end_with_dvc()
        with runtime.exclusive(LOCKS / f"{_name('-')}.lock", wait=True):
            stage(*sys.argv[1:])
    except CounterpoiseError as error:
        sys.exit(f"\n{_script()}: {error}")
    except Exception as error:
        if (message := faults.explain(error)) is None:
            raise
        sys.exit(f"\n{_script()}: {message}")


def _script() -> str:
    return Path(sys.argv[0]).stem


def _name(before_arguments: str) -> str:
    """The stage's name, its arguments included: what DVC calls it where they follow an `@`."""
    return before_arguments.join(filter(None, [_script(), "-".join(sys.argv[1:])]))


@contextlib.contextmanager
def working(*, together: bool = False) -> Iterator[Path]:
    """Keep what is unfinished for the next try.

    Args:
        together: files of unfinished work are worth nothing without each other. Where one is damaged all are made
            again; otherwise that one is.

    Yields:
        A folder for unfinished work; an interrupted run of the same stage with the same inputs finds its files there
        again, if they match their checksums (:mod:`counterpoise.core.unfinished`). It lies in DVC's cache folder, and
        goes when the work is done. No other process works in it, be it of another workspace with the same cache.
    """
    from dvc.repo import Repo  # half a second that some stages have no use for

    with Repo(_wait_for_lock=True) as repo:
        place, key = Path(repo.cache.local_cache_dir) / unfinished.FOLDER, _identity(repo)
    folder = place / key
    with runtime.exclusive(place / unfinished.LOCKS / key, wait=True):
        folder.mkdir(parents=True, exist_ok=True)
        if damaged := unfinished.sweep(folder):
            named = ", ".join(path.name for path in damaged[:3])
            print(f"{counted(len(damaged), 'damaged file')} of unfinished work, made again: {named}", flush=True)
            for path in folder.rglob("*") if together else ():
                if path.is_file():
                    path.unlink()
        yield folder
        shutil.rmtree(folder)


def _identity(repo: "Repo") -> str:
    """What determines this stage's result, as DVC sees it: its command, the content of its inputs, its parameters."""
    from dvc.repo import lock_repo

    with lock_repo(repo):  # stages that run beside this one write dvc.lock
        (stage,) = repo.stage.collect(_name("@"))
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
