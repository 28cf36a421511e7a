"""Sounds that libsndfile does not read as they are: WAVs that a recorder left unfinished, and what ffmpeg decodes."""

import json
import os
import re
import shlex
import shutil
import struct
import subprocess
from pathlib import Path
from typing import NamedTuple

from counterpoise.core.naming import printable
from counterpoise.datasets import tree

PATIENCE = 900  # s, for one file
# ffmpeg may read this file alone, whatever it says inside; equal input gives equal bytes
SAFE = ("-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe")
EXACT = ("-map_metadata", "-1", "-fflags", "+bitexact", "-flags:a", "+bitexact")
LIBSNDFILE = {"WAV", "RF64", "FLAC", "Ogg", "MP3", "CAF", "AU", "NIST Sphere", "VOC", "W64", "IRCAM", "AIFF or SVX"}


class ForeignError(Exception):
    """A file that could not be decoded; the message is the reason."""


class Form(NamedTuple):
    """What a header says."""

    sample_rate: int  # Hz
    channels: int
    frames: int


def has_ffmpeg() -> bool:
    """Whether ffmpeg is on the PATH."""
    return shutil.which("ffmpeg") is not None


def kind(path: str) -> str | None:
    """What a file is that libsndfile did not open, where ffmpeg may read it; None where it is no sound."""
    ending = Path(path).suffix.lower()[1:]
    return tree.container(path) or (ending.upper() if ending in tree.FOREIGN else None)


def advice(path: str, what: str) -> str:
    """What to do about a file that only ffmpeg reads, where there is none."""
    name = printable(path)
    target = str(Path(name).with_suffix(".flac" if Path(name).suffix.lower() != ".flac" else ".new.flac"))
    command = f"ffmpeg -i {shlex.quote(name)} {shlex.quote(target)}"
    return f"it holds {what}; install ffmpeg and run again, or convert it: {command}"


def decode(path: str, target: Path, seconds: float) -> str:
    """Decode a file's first sound track by ffmpeg into a 16-bit WAV.

    Args:
        path: any file.
        target: the WAV to write.
        seconds: no more than these are decoded.

    Returns:
        What ffmpeg complained of; "" where it did not.

    Raises:
        ForeignError: it cannot be decoded.
    """
    out = ("-map", "0:a:0", "-t", f"{seconds:g}", *EXACT, "-c:a", "pcm_s16le", "-rf64", "auto", "-f", "wav", "-y")
    done = _run(["ffmpeg", *SAFE, "-i", b"file:" + os.fsencode(path), *out, b"file:" + os.fsencode(target)])
    complaint = _last_line(done.stderr)
    if done.returncode or not target.exists():
        raise ForeignError(f"ffmpeg cannot decode it: {complaint or 'no reason given'}")
    return complaint


def probe(path: str) -> Form:
    """What a file's header says, by ffprobe, which comes with ffmpeg.

    Raises:
        ForeignError: it cannot be read, or there is no ffprobe.
    """
    if shutil.which("ffprobe") is None:
        raise ForeignError("there is no ffprobe beside ffmpeg")
    entries = "stream=sample_rate,channels,duration:format=duration"
    options = ("-v", "error", "-protocol_whitelist", "file,pipe", "-select_streams", "a:0", "-show_entries", entries)
    done = _run(["ffprobe", *options, "-of", "json", b"file:" + os.fsencode(path)])
    try:
        found = json.loads(done.stdout)
        (stream,) = found["streams"]
        rate = int(stream["sample_rate"])
        seconds = float(stream.get("duration", found.get("format", {}).get("duration", "nan")))
        return Form(rate, int(stream["channels"]), round(seconds * rate))
    except (ValueError, KeyError, OverflowError):
        raise ForeignError(f"ffmpeg cannot decode it: {_last_line(done.stderr) or 'it holds no sound'}") from None


def _run(command: list) -> subprocess.CompletedProcess:
    try:
        return subprocess.run(command, capture_output=True, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ForeignError(f"ffmpeg did not come to an end: {error}") from None


def _last_line(text: bytes) -> str:
    lines = printable(text.decode(errors="replace").strip().replace("\r", "\n").replace("\n", "\x1f")).split("\\x1f")
    plain = re.sub(r" @ 0x[0-9a-f]+", "", lines[-1].strip())  # addresses, which differ from run to run
    return re.sub(r"^file:.*?: (?=[A-Z])", "", plain)[:200]


class Unfinished(NamedTuple):
    """A WAV whose data are longer than its header says."""

    form: Form
    data: int  # byte at which they begin
    size: int  # bytes, whole frames


def unfinished(path: str) -> Unfinished | None:
    """Look whether a WAV's header was never filled in, as when a recorder's battery died: no data, yet there are some.

    Returns:
        What there is; None where the file is no such one.
    """
    total = os.path.getsize(path)
    with open(path, "rb") as file:
        if (head := file.read(12))[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        at, form = 12, None
        while len(chunk := file.read(8)) == 8:
            name, size = struct.unpack("<4sI", chunk)
            at += 8
            if name == b"fmt ":
                form = file.read(16)
            if name == b"data":
                if size or form is None or len(form) < 16 or _ends(file.read(1 << 16), total - at):
                    return None
                _, channels, rate, _, align, _ = struct.unpack("<HHIIHH", form)
                frames = (total - at) // align if align else 0
                return Unfinished(Form(rate, channels, frames), at, frames * align) if frames else None
            at += size + size % 2
            file.seek(at)
    return None


def _ends(rest: bytes, left: int) -> bool:
    """Whether what follows is nothing, or chunks up to the file's end: then there really are no data."""
    at = 0
    while at + 8 <= len(rest):
        size = struct.unpack("<I", rest[at + 4 : at + 8])[0]
        at += 8 + size + size % 2
    return at >= left and at - left <= 1


def finish(path: str, found: Unfinished, target: Path) -> None:
    """Write a copy of an unfinished WAV with the sizes that it should have."""
    with open(path, "rb") as file, open(target, "wb") as copy:
        header = bytearray(file.read(found.data))
        header[4:8] = struct.pack("<I", min(found.data - 8 + found.size, 0xFFFFFFFF))
        header[-4:] = struct.pack("<I", min(found.size, 0xFFFFFFFF))
        copy.write(header)
        left = found.size
        while left and (block := file.read(min(left, 1 << 20))):
            copy.write(block)
            left -= len(block)
