"""Archives that came from elsewhere, unpacked so that nothing gets outside the folder and nothing half done stays."""

import gzip
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from tqdm import tqdm

from counterpoise.core import CounterpoiseError

MAX_ENTRIES = 100_000  # files and folders in one archive
DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a way of packing that zipfile does not know
)

Entry = tuple[PurePosixPath, bool, Callable[[], BinaryIO]]  # path, whether it is a folder, how to open its content


class ArchiveError(CounterpoiseError):
    """An archive that is damaged, or holds what no data set needs; the message names the entry."""


def unpack(archive: Path, folder: Path, max_bytes: int, finish: Callable[[Path], None] | None = None) -> None:
    """Unpack a zip or tar archive into a folder that appears whole or not at all.

    Only plain files and folders whose paths stay inside are accepted; modes and owners are not taken over.

    Args:
        folder: must not exist.
        max_bytes: counted while unpacking, whatever the archive's headers promise.
        finish: given the unpacked folder before it gets its name; where it raises, nothing remains.

    Raises:
        ArchiveError: the archive is damaged or too large, or holds a link, a device, a path that is absolute or
            leads outside, or two entries in one place; or the folder exists.
    """
    if folder.exists():
        raise ArchiveError(f"{folder} exists already; remove it, and {archive} can be unpacked there")
    temporary = folder.with_name(f".{folder.name}.unpacking")
    shutil.rmtree(temporary, ignore_errors=True)  # of a run that was killed
    temporary.mkdir(parents=True)
    try:
        with open(archive, "rb") as file:
            is_zip = file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
        entries = _zip_entries(archive) if is_zip else _tar_entries(archive, temporary)
        _write(tqdm(entries, desc=f"unpack {archive.name}", unit="file"), temporary, max_bytes)
        if finish is not None:
            finish(temporary)
        os.replace(temporary, folder)
    except DAMAGED as error:
        raise ArchiveError(f"{archive} is damaged ({error})") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"{archive} has two entries in one place ({error})") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            form = stat.S_IFMT(info.external_attr >> 16)  # 0 where the archiver knew no Unix modes
            if form not in (0, stat.S_IFREG, stat.S_IFDIR) or info.flag_bits & 1:
                raise ArchiveError(f"{path} holds a link, a device or an encrypted file: {info.orig_filename!r}")
            yield _inside(path, info.orig_filename), info.is_dir(), partial(archive.open, info)


def _tar_entries(path: Path, folder: Path) -> Iterator[Entry]:
    with tarfile.open(path) as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()):
                raise ArchiveError(f"{path} holds a link or a device: {member.name!r}")
            inside = _inside(path, member.name)
            tarfile.data_filter(member, str(folder))
            yield inside, member.isdir(), partial(archive.extractfile, member)
        # tarfile takes a cut or a broken header for the end; and gzip's own checksum stands at the very end.
        if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("the end is missing")
        if archive.fileobj.read(2**20).strip(b"\0") or archive.fileobj.read(1):
            raise tarfile.ReadError("an entry's header is broken, or something follows the end")


def _inside(archive: Path, name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\\" in name or "\0" in name:
        raise ArchiveError(f"{archive} holds a path that could lead outside its folder: {name!r}")
    return path


def _write(entries: Iterable[Entry], folder: Path, max_bytes: int) -> None:
    written, spellings = 0, {}
    for number, (path, is_folder, content) in enumerate(entries, start=1):
        if number > MAX_ENTRIES:
            raise ArchiveError(f"the archive holds more than {MAX_ENTRIES} entries")
        for place in (path, *path.parents):  # one file on some systems, two on others
            spelling = spellings.setdefault(unicodedata.normalize("NFC", str(place)).casefold(), place)
            if spelling != place:
                raise ArchiveError(f"the archive holds both {str(spelling)!r} and {str(place)!r}")
        if is_folder:
            (folder / path).mkdir(parents=True, exist_ok=True)
            continue
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        with content() as source, open(folder / path, "xb") as file:
            while block := source.read(2**20):
                written += len(block)
                if written > max_bytes:
                    raise ArchiveError(f"the archive unpacks to more than the {max_bytes} bytes that are allowed")
                file.write(block)
