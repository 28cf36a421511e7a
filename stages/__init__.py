"""The stages of dvc.yaml, one thin script each; here, the repository's paths and the way every stage starts."""

import contextlib
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from dvc.repo import Repo

from counterpoise.core import CounterpoiseError, runtime

CHECKED = Path("data/checked.txt")
RAW = Path("data/raw")
CLIPS = Path("data/clips.csv")
REJECTED = Path("data/rejected.csv")
MENDED = Path("data/mended.csv")
DUPLICATES = Path("data/duplicates.csv")
SPLIT = Path("data/split")
ALL = SPLIT / "all.csv"
BALANCE = Path("data/balance")
PLAN = BALANCE / "plan.csv"
CHEAP = BALANCE / "cheap.csv"
LATENTS = Path("data/latents")
SYNTHETIC = Path("data/synthetic")
AUGMENTED = Path("data/augmented")
SPLITS = Path("data/splits")
PREDICTIONS = Path("data/predictions.csv")
CLASS_FILTER = Path("models/class_filter")
BASE = Path("models/base")
DIFFUSION = Path("models/diffusion")
CLASSIFIER = Path("models/classifier")
PRETRAINED = Path("models/pretrained/yamnet.safetensors")
METRICS = Path("metrics")
PLOTS = Path("plots")
NOTHING = "nothing.txt"  # in outputs that hold nothing, with the reason
LIVE = {"save_dvc_exp": False, "dvcyaml": None, "report": None, "monitor_system": False}  # of dvclive: files alone


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
    with Repo() as repo:
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


def _identity(repo: Repo) -> str:
    """What determines this stage's result, as DVC sees it: its command, the content of its inputs, its parameters."""
    (stage,) = repo.stage.collect("@".join(filter(None, [_script(), "-".join(sys.argv[1:])])))
    for dependency in stage.deps:
        dependency.save()
    determinants = [stage.cmd, *sorted((str(each), str(each.hash_info)) for each in stage.deps)]
    return hashlib.sha256(json.dumps(determinants).encode()).hexdigest()[:32]


def cache(name: str) -> Path:
    """A folder in DVC's cache folder, which queued and temporary runs share with the workspace."""
    with Repo() as repo:
        return Path(repo.cache.local_cache_dir) / name


def nothing(folder: Path, why: str) -> None:
    """Leave an output that says why there is nothing in it; DVC warns of empty folders."""
    prune(folder, keep=[])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / NOTHING).write_text(why + "\n")
    print(why)


def is_empty(folder: Path) -> bool:
    """Whether :func:`nothing` left this output."""
    return (folder / NOTHING).exists()


def prune(folder: Path, keep: Collection[str]) -> None:
    """Delete what lies in an output folder, but for these."""
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.name not in keep:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
