"""Archives that came from elsewhere, unpacked so that nothing gets outside the folder and nothing half done stays.

The standard library's extraction filter `data` refuses what no data set needs (PEP 706).
"""

import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from counterpoise.core import CounterpoiseError
from counterpoise.core.progress import progress

MAX_ENTRIES = 100_000  # files and folders in one archive
DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, OSError)


class ArchiveError(CounterpoiseError):
    """An archive that is damaged, or holds what no data set needs; the message names the entry."""


def unpack(archive: Path, folder: Path, max_bytes: int, finish: Callable[[Path], None] | None = None) -> None:
    """Unpack a zip or tar archive into a folder that appears whole or not at all.

    Args:
        folder: must not exist.
        max_bytes: of all files; neither module writes more of one than its header says.
        finish: given the unpacked folder before it gets its name; where it raises, nothing remains.

    Raises:
        ArchiveError: the archive is damaged or too large, or holds a link, a device, a path that is absolute or leads
            outside, or a file where a folder is; or the folder exists.
    """
    if folder.exists():
        raise ArchiveError(f"{folder} exists already; remove it, and {archive} can be unpacked there")
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    try:
        (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, temporary, max_bytes)
        if finish is not None:
            finish(temporary)
        os.replace(temporary, folder)
    except DAMAGED as error:
        raise ArchiveError(f"{archive} is damaged, or holds what it must not ({error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _untar(path: Path, folder: Path, max_bytes: int) -> None:
    left, entries = max_bytes, 0
    with tarfile.open(path) as archive:
        for member in progress(archive, desc=f"unpack {path.name}", unit="file"):
            left, entries = left - member.size, entries + 1
            _allow(path, member.name, member.isfile() or member.isdir(), left, entries)
            archive.extract(member, folder, filter="data")
        # tarfile takes a cut or a broken header for the end; and gzip's own checksum stands at the very end
        rest: Any = archive.fileobj
        if rest.tell() < archive.offset + tarfile.BLOCKSIZE or rest.read(2**20).strip(b"\0") or rest.read(1):
            raise tarfile.ReadError("the end is missing, or something follows it")


def _unzip(path: Path, folder: Path, max_bytes: int) -> None:
    left = max_bytes
    with zipfile.ZipFile(path) as archive:
        for entries, info in enumerate(progress(archive.infolist(), desc=f"unpack {path.name}", unit="file"), start=1):
            left -= info.file_size
            kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archiver knew no Unix modes
            plain = kind in (0, stat.S_IFREG, stat.S_IFDIR) and not info.flag_bits & 1
            _allow(path, info.orig_filename, plain, left, entries)
            archive.extract(info, folder)


def _allow(path: Path, name: str, plain: bool, left: int, entries: int) -> None:
    """Raise ArchiveError unless an entry is one that a data set may have."""
    if not plain:
        raise ArchiveError(f"{path} holds a link, a device or an encrypted file: {name!r}")
    inside = PurePosixPath(name)
    if inside.is_absolute() or ".." in inside.parts or any(sign in name for sign in "\\\0:"):
        raise ArchiveError(f"{path} holds a path that could lead outside its folder: {name!r}")
    if left < 0 or entries > MAX_ENTRIES:
        raise ArchiveError(f"{path} unpacks to more than is allowed: it holds too many bytes or files, at {name!r}")
