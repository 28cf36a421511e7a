"""The stages of dvc.yaml, one thin script each; here, the repository's paths and the way every stage starts."""

import contextlib
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from counterpoise import CounterpoiseError, runtime

RAW = Path("data/raw")
CLIPS = Path("data/clips.csv")
REJECTED = Path("data/rejected.csv")
MENDED = Path("data/mended.csv")
DUPLICATES = Path("data/duplicates.csv")
LATENTS = Path("data/latents")
SYNTHETIC = Path("data/synthetic")
AUGMENTED = Path("data/augmented")
SPLITS = Path("data/splits")
PREDICTIONS = Path("data/predictions.csv")
JUDGE = Path("models/judge")
BASE = Path("models/base")
DIFFUSION = Path("models/diffusion")
CLASSIFIER = Path("models/classifier")
PRETRAINED = Path("models/pretrained/yamnet.safetensors")
METRICS = Path("metrics")
PLOTS = Path("plots")
NOTHING = "nothing.txt"  # in outputs that hold nothing, with the reason


def run(stage: Callable[..., None]) -> None:
    """Run a stage with the command line's arguments; a mistake that the user can mend ends in one message."""
    try:
        stage(*sys.argv[1:])
    except CounterpoiseError as error:
        sys.exit(f"\n{stage.__module__ if stage.__module__ != '__main__' else Path(sys.argv[0]).stem}: {error}")


@contextlib.contextmanager
def working(output: Path, key: str) -> Iterator[Path]:
    """Write an output alone, and keep what is unfinished for the next try.

    Args:
        output: no other process of this workspace writes it meanwhile.
        key: from `checkpoint.key`: everything that determines the result.

    Yields:
        A folder for unfinished work; an interrupted computation of the same key finds its files there again. It lies in
        DVC's cache folder, and goes when the work is done.
    """
    unfinished = cache("unfinished")
    place = hashlib.sha256(str(output.absolute()).encode()).hexdigest()[:12]
    with (
        runtime.exclusive(unfinished / "locks" / f"{output.name}.{place}", wait=False),
        runtime.exclusive(unfinished / "locks" / key, wait=True),
    ):
        folder = unfinished / key
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        shutil.rmtree(folder)


def cache(name: str) -> Path:
    """A folder in DVC's cache folder, which queued and temporary runs share with the workspace."""
    command = subprocess.run(["dvc", "cache", "dir"], capture_output=True, text=True, check=True)
    return Path(command.stdout.strip()) / name


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
    """Delete the outputs of what is no longer in params.yaml: DVC leaves them behind."""
    for child in folder.iterdir() if folder.is_dir() else ():
        if child.name not in keep:
            shutil.rmtree(child) if child.is_dir() else child.unlink()
