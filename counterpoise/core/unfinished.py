"""Files of unfinished work: there as a whole or not at all, and believed by a checksum and not because they are there.

A file appears under its name when it is complete. Beside it lies a checksum, written first. It holds the digest of the
file that is about to come and that of the one before, so that a process that ends at any moment leaves a file that is
believed. What does not match is deleted when the work goes on, and made again.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

FOLDER = "unfinished"  # in DVC's cache folder: a folder for each stage that has begun and not ended
LOCKS = "locks"  # in that folder
CHECKSUM = ".blake2b"
PARTIAL = ".partial"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file in one step: whoever is killed leaves the old one or the new one, and an error leaves no other file.

    Yields:
        Where to write; it becomes `path` when the block ends without an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(path)
    try:
        yield partial
        _rename(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def keeping(path: Path) -> Iterator[Path]:
    """:func:`replacing` for a file of unfinished work, with a checksum beside it."""
    with replacing(path) as partial:
        yield partial
        _promise(path, digest(partial))


def complete(partial: Path, path: Path) -> None:
    """What :func:`keeping` does at its end, for a file that was written over a longer time."""
    _promise(path, digest(partial))
    _rename(partial, path)


def partial_of(path: Path) -> Path:
    """Where this process writes a file before it has its name."""
    return path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")


def is_whole(path: Path) -> bool:
    """Whether a file has the content that its checksum was written for; one without a checksum has not."""
    promised = _promised(path)
    if not promised or not path.is_file():
        return False
    found = digest(path)
    if found in promised[1:]:  # the process ended between the checksum and its file
        with replacing(_beside(path)) as partial:
            partial.write_text(f"{found}\n")
    return found in promised


def discard(path: Path) -> None:
    """Delete a file and its checksum."""
    path.unlink(missing_ok=True)
    _beside(path).unlink(missing_ok=True)


def sweep(folder: Path) -> list[Path]:
    """Delete from a folder of unfinished work what cannot be believed, and what a killed process left half.

    Returns:
        The files that were damaged or had no checksum, sorted; half files are not among them.
    """
    damaged = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink()):
        lone = path.suffix == CHECKSUM and not path.with_suffix("").exists()
        if lone or path.suffix == PARTIAL:
            path.unlink(missing_ok=True)
        elif path.suffix != CHECKSUM and not is_whole(path):
            discard(path)
            damaged.append(path)
    return damaged


def digest(path: Path) -> str:
    """The hex digest of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()


def _promise(path: Path, new: str) -> None:
    """Write the checksum of a file that is about to come; that of the file that is there stays valid meanwhile."""
    with replacing(_beside(path)) as partial:
        partial.write_text("\n".join([new, *_promised(path)[:1]]) + "\n")


def _rename(partial: Path, path: Path) -> None:
    _flush(partial)
    os.replace(partial, path)
    _flush(path.parent)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def _promised(path: Path) -> list[str]:
    try:
        return _beside(path).read_text(errors="replace").split()
    except FileNotFoundError:
        return []


def _flush(path: Path) -> None:
    """Have the disk hold a file or the names in a folder, before anything is built on it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
