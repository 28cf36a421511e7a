"""Errors of the machine and of libraries in one line each: full disks, folders that may not be written, no memory.

What is not known here is a mistake in the code, and keeps its traceback.
"""

import errno
import re
import shutil
from pathlib import Path

from counterpoise.core.naming import printable

KEPT = "Finished stages and unfinished work are kept; then run the command again."
ROOM = 16 * 2**20  # bytes; a disk with less is taken to be full where a library does not say why it failed
LONGEST = 300  # characters of a library's own words
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
NO_SPACE = re.compile(r"no space left|disk (?:is )?full|database or disk is full|quota exceeded", re.IGNORECASE)
FORBIDDEN = re.compile(r"read-?only|permission denied|unable to open database", re.IGNORECASE)
NO_MEMORY = re.compile(r"can't allocate memory|out of memory|unable to allocate", re.IGNORECASE)
TORCH_FILE = re.compile(r"inline_container|PytorchStream|file write failed|unexpected pos")


def explain(error: BaseException) -> str | None:
    """One line on what the machine refused, and what to do; None for what this does not know."""
    if isinstance(error, BrokenPipeError):
        return None  # whoever reads the output has seen enough
    said = _said(error)
    if isinstance(error, MemoryError) or NO_MEMORY.search(said):
        return (
            f"the memory is not enough ({said}). Close other programs, or lower the batch sizes in params.yaml. {KEPT}"
        )
    if isinstance(error, RecursionError):
        return "a file is nested deeper than anything that counterpoise or DVC writes, so it is not read"
    if isinstance(error, OSError):
        return _of_system(error, said)
    library = type(error).__module__.partition(".")[0]
    if library not in ("soundfile", "torch", "safetensors", "sqlite3", "dvc", "dvc_data", "dvc_objects", "builtins"):
        return None
    if NO_SPACE.search(said):
        return _full("", said)
    if library == "builtins" and not (isinstance(error, RuntimeError) and TORCH_FILE.search(said)):
        return None
    if FORBIDDEN.search(said):
        return f"a file may not be read or written ({said}). Allow it (`chmod -R u+rwX`). {KEPT}"
    if shutil.disk_usage(".").free < ROOM:
        return _full("", said)
    return f"{library if library != 'builtins' else 'torch'} cannot read or write a file: {said}. {KEPT}"


def _of_system(error: OSError, said: str) -> str | None:
    where = printable(str(error.filename or ""))
    if error.errno in FULL or (error.errno is None and "requested and" in said):
        return _full(where, said)
    if error.errno in READ_ONLY:
        return f"{where or 'a file'} may not be read or written ({said}). Allow it (`chmod -R u+rwX`). {KEPT}"
    if isinstance(error, FileNotFoundError) and where:
        return f"{where} is missing: `dvc repro` makes what stages leave, or `dvc pull` if a remote holds it"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"too many files are open ({said}). Raise the limit (`ulimit -n 4096`). {KEPT}"
    if error.errno in (errno.EIO, errno.ESTALE, errno.ENXIO):
        return f"the disk cannot read or write {where or 'a file'} ({said}): look after it first. {KEPT}"
    return f"{where}: {said}. {KEPT}" if where else None


def _full(where: str, said: str) -> str:
    free = shutil.disk_usage(_there(Path(where or "."))).free / 1e6
    named = f" of {where}" if where else ""
    return (
        f"there is no space left on the disk{named} ({said}; {free:,.0f} MB are free here). Free some, for example "
        f"with `counterpoise clean`. {KEPT}"
    )


def _there(path: Path) -> Path:
    return next((one for one in (path, *path.parents) if one.exists()), Path("."))


def _said(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    first = (text.strip().splitlines() or [type(error).__name__])[0]
    return printable(first)[:LONGEST].rstrip(". ")
