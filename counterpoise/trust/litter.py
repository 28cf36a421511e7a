"""What interrupted runs leave behind, and nobody may ever look for again.

Unfinished work is found by the inputs of its stage. If these change it is never found, and nothing says so. So the rule
is: all of it may go at any time but what a running process works on, which its lock shows.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

from counterpoise.core import runtime, unfinished

EMBEDDINGS = "embeddings"  # in DVC's cache folder


class Litter(NamedTuple):
    """What was found, and was deleted unless it was a dry run."""

    works: int  # folders of unfinished work
    locks: int  # that nobody held
    bytes: int
    busy: int  # folders that a running process works on; they stay


def clear(cache: Path, locks: Path, embeddings: bool, dry: bool) -> Litter:
    """Delete litter.

    Args:
        cache: DVC's cache folder.
        locks: the folder of this workspace's locks.
        embeddings: whether embeddings of clips go, too. A training that reads them at that moment stops.
        dry: only count.
    """
    place = cache / unfinished.FOLDER
    works, left, size, busy = 0, 0, 0, 0
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if folder.name == unfinished.LOCKS or not folder.is_dir():
            continue
        try:
            with runtime.exclusive(place / unfinished.LOCKS / folder.name, wait=False):
                size += _size(folder)
                works += 1
                if not dry:
                    shutil.rmtree(folder)
        except runtime.RuntimeUnavailable:
            busy += 1
    for lock in [*_files(place / unfinished.LOCKS), *_files(locks)]:
        try:
            if dry:
                left += 1
            else:
                with runtime.exclusive(lock, wait=False):  # which deletes it at its end
                    left += 1
        except runtime.RuntimeUnavailable:
            continue
    if embeddings and (cache / EMBEDDINGS).is_dir():
        size += _size(cache / EMBEDDINGS)
        if not dry:
            shutil.rmtree(cache / EMBEDDINGS)
    return Litter(works, left, size, busy)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
