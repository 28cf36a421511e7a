"""What lies below a folder: which files are sounds, by name or by content, and what is passed over, in words."""

import os
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from counterpoise.core import tables
from counterpoise.core.naming import printable
from counterpoise.datasets.listing import OwnError

# Endings of what libsndfile reads, and of what ffmpeg has to decode. What a file really is, its content says.
EXTENSIONS: tuple[str, ...] = ("wav", "flac", "ogg", "opus", "mp3", "aiff", "aif", "aifc", "caf", "w64", "au")
EXTENSIONS += ("wave", "bwf", "rf64", "oga", "mp1", "mp2", "snd", "sph", "nist", "voc", "svx", "8svx", "ircam", "sf")
EXTENSIONS += ("paf", "pvf", "avr", "sds", "wve", "mpc2k")
FOREIGN: tuple[str, ...] = (
    "m4a",
    "aac",
    "wma",
    "mp4",
    "webm",
    "amr",
    "ape",
    "m4b",
    "3gp",
    "3gpp",
    "3g2",
    "awb",
    "adts",
    "asf",
    "weba",
)
FOREIGN += ("mka", "wv", "tta", "ac3", "eac3", "dts", "ra", "spx", "mpc", "alac", "tak", "shn", "gsm", "dsf", "dff")
# Endings of what is no sound to people, and is not opened; all other files are recognised by their first bytes
OTHERS: tuple[str, ...] = (
    "txt",
    "csv",
    "tsv",
    "json",
    "jsonl",
    "xml",
    "html",
    "htm",
    "md",
    "rst",
    "pdf",
    "doc",
    "docx",
    "xls",
    "xlsx",
)
OTHERS += ("jpg", "jpeg", "png", "gif", "bmp", "svg", "tif", "tiff", "webp", "avi", "mov", "mkv", "mpg", "mpeg", "wmv")
OTHERS += ("zip", "gz", "tar", "7z", "rar", "npy", "npz", "h5", "pt", "pkl", "parquet", "yaml", "yml", "ini", "log")
OTHERS += ("py", "ipynb", "sh", "m", "r", "dvc", "mid", "midi", "textgrid", "eaf", "pk", "asd", "reapeaks")
HEADS = (  # where in a file, which bytes, and what it then is
    (0, b"RF64", "RF64"),
    (0, b"RIFX", "WAV"),
    (0, b"fLaC", "FLAC"),
    (0, b"OggS", "Ogg"),
    (0, b"ID3", "MP3"),
    (0, b"caff", "CAF"),
    (0, b".snd", "AU"),
    (0, b"NIST_1A", "NIST Sphere"),
    (0, b"Creative Voice File", "VOC"),
    (0, b"riff\x2e\x91\xcf\x11", "W64"),
    (0, b"\x64\xa3", "IRCAM"),
    (4, b"ftyp", "MPEG-4"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"),
    (0, b"#!AMR", "AMR"),
    (0, b"MAC ", "Monkey's Audio"),
    (0, b"wvpk", "WavPack"),
    (0, b"TTA", "True Audio"),
    (0, b"MPCK", "Musepack"),
    (0, b".RMF", "RealMedia"),
    (0, b".ra\xfd", "RealAudio"),
    (0, b"\x0b\x77", "AC-3"),
    (0, b"\xff\xf1", "AAC"),
    (0, b"\xff\xf9", "AAC"),
)
NAMED = 3  # files that one row names


@dataclass(frozen=True)
class Tree:
    """What lies below a folder. Every folder is entered once.

    Attributes:
        files: those that are not hidden.
        loops: links to folders that were not entered: all, or those that would lead in a circle.
        hidden: files and folders whose names begin with a dot; such folders are not entered.
    """

    files: list[Path]
    loops: list[Path]
    hidden: list[Path]


def walk(root: Path, follow: bool = True) -> Tree:
    """List a folder on all levels.

    Args:
        root: the folder.
        follow: enter folders behind links. DVC does not see what changes there, so what it tracks is listed without.

    Raises:
        OwnError: a folder cannot be listed.
    """
    entered: set[tuple[int, int]] = set()
    tree = Tree([], [], [])
    folders, links = [root], []
    while folders or links:
        if folders:
            folder = folders.pop()
            identity = _identity(folder)
            if identity in entered:  # met again below a link
                continue
        else:  # links wait until all that really lies here is listed
            folder = links.pop(0)
            identity = _identity(folder)
            if identity in entered or root.resolve().is_relative_to(folder.resolve()):
                tree.loops.append(folder)
                continue
        entered.add(identity)
        for entry in _entries(folder):
            path = folder / entry.name
            if entry.name.startswith("."):
                tree.hidden.append(path)
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif os.path.isdir(path):
                (links if follow else tree.loops).append(path)
            else:
                tree.files.append(path)
    return tree


def is_tracked(file: Path, root: Path) -> bool:
    """Whether DVC hashes a file with data.path: it lies below it by name, and no folder on the way is a link."""
    path, top = Path(os.path.abspath(file)), Path(os.path.abspath(root))
    between = [folder for folder in path.parents if folder != top and folder.is_relative_to(top)]
    return path.is_relative_to(top) and not any(folder.is_symlink() for folder in between)


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise OwnError(f"The folder {folder} cannot be listed: {error.strerror}. Mend it or move it away.") from None


def is_sound(file: Path) -> bool:
    """Whether a file's name ends as those of sounds do, or else its content begins so. Of most files none is opened."""
    ending = file.suffix.lower()[1:]
    if ending in EXTENSIONS or ending in FOREIGN:
        return True
    return ending not in OTHERS and container(file) is not None


def container(file: str | Path) -> str | None:
    """What kind of sound file this is by its first bytes; None where they are those of none, or cannot be read."""
    head = b""
    with suppress(OSError, ValueError):
        if os.path.isfile(file):
            with open(file, "rb") as opened:
                head = opened.read(16)
    if head[:4] == b"RIFF":
        return "WAV" if head[8:12] in (b"WAVE", b"") else None
    if head[:4] == b"FORM":
        return "AIFF or SVX" if head[8:12] in (b"AIFF", b"AIFC", b"8SVX", b"16SV") else None
    return next((name for at, magic, name in HEADS if head[at : at + len(magic)] == magic), None)


def passed_over(root: Path, files: Iterable[Path], hidden: Iterable[Path], label: str = "") -> pd.DataFrame:
    """What is listed as no sound: one row for each ending, and one for all that is hidden.

    Args:
        root: the folder that was walked.
        files: those that are no sounds.
        hidden: of :class:`Tree`.
        label: of these rows.

    Returns:
        Columns `tables.REJECTED`, of the kind :data:`tables.NO_SOUND`, sorted by ending. `path` is a pattern.
    """
    endings = defaultdict(list)
    for file in files:
        endings[file.suffix.lower()].append(file)
    rows = [
        _row(root, f"*{ending}", f"{_many(own)} {f'ending in {ending}' if ending else 'without an ending'}", own, label)
        for ending, own in sorted(endings.items())
    ]
    if hidden := list(hidden):
        rows.append(_row(root, ".*", f"{_many(hidden)}, hidden", hidden, label))
    return tables.table(rows, tables.REJECTED)


def _row(root: Path, pattern: str, what: str, files: list[Path], label: str) -> dict[str, str]:
    names = [printable(file.relative_to(root).as_posix()) for file in sorted(files)[:NAMED]]
    more = ", …" if len(files) > NAMED else ""
    path = printable(f"{root.as_posix()}/{pattern}")
    reason = f"{tables.NO_SOUND}: {what}: {', '.join(names)}{more}"
    return {"path": path, "label": label, "kind": tables.NO_SOUND, "reason": reason}


def _many(files: list[Path]) -> str:
    return f"{len(files):,} file{'s' if len(files) > 1 else ''}"
