"""One way in for every sound: decode it once, reject what is no use, mend what can be mended, cut what is long.

A sound file is left where it lies and only named in the catalogue. What had to be changed, and the clips of a long
file, are written as 16-bit FLAC. A user is told of everything that is not taken exactly as it is.
"""

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
import soundfile

from counterpoise.core import CounterpoiseError, audio, tables
from counterpoise.core.naming import UNLABELLED, clip_id, printable
from counterpoise.core.progress import progress
from counterpoise.datasets.settings import Data

SAMPLE_RATES = (8000, 192000)  # Hz
CHANNELS = (1, 8)  # FLAC has no more than 8
LONGEST = 3600.0  # s
SILENCE = 10 ** (-90 / 20)  # a sound that never swings further than this is silent: one step of 16-bit audio
OFFSET = 0.02  # a larger mean of a channel, as a share of full scale, is the recorder's fault and is subtracted
CLIPPED = 0.2  # a larger share of samples on one level at full scale: what was recorded cannot be told any more
DOUBTFUL = 0.01  # a larger share is mentioned; a sine at full scale has 0.009
FULL_SCALE = 0.99  # the highest level of 8-bit audio is 127/128
LEVEL = 1 - 1e-4  # samples are on the highest or lowest level if they come so near to it
LOUDEST = 2.0  # lossy codecs overshoot 1 a little; a larger peak means another scale, such as that of integers
SYNC_BLOCK = 256  # frames; how near a damaged file is read to where it breaks off
UNKNOWN_BYTES = 0x7FFFFF00  # a streamed WAV promises this or more, because it cannot know
UNKNOWN_FRAMES = 2**62  # what libsndfile says of a streamed FLAC

Fingerprint = Callable[[np.ndarray, int], np.ndarray]  # from [channels, n] and Hz


class IntakeError(CounterpoiseError):
    """Too few of the files can be used; the message counts the reasons."""


class _Unusable(Exception):
    """Why a file or a part of it is left out: a kind of reason, and what is particular about this file."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind


class Note(NamedTuple):
    """What was not taken as it is, or is doubtful: a kind, and a text that says it of this file."""

    kind: str
    text: str


@dataclass(frozen=True)
class Admission:
    """What became of the files."""

    clips: pd.DataFrame  # columns tables.CLIPS
    rejected: pd.DataFrame  # columns tables.REJECTED
    mended: pd.DataFrame  # columns tables.MENDED
    content: dict[str, str]  # by clip_id: SHA-256 of the samples, whatever the file format
    fingerprints: dict[str, np.ndarray]  # by clip_id; empty where none was asked for


def admit(
    files: pd.DataFrame,
    raw: Path,
    data: Data,
    fingerprint: Fingerprint | None = None,
    where: Literal["path", "unlabelled"] = "path",
) -> Admission:
    """Decode every file once and say which clips it gives, or why none.

    Args:
        files: columns `tables.FILES`; paths from the repository's root, or absolute. Their order is kept.
        raw: clips that had to be written go to `raw/<label>/<clip_id>.flac`.
        data: `max_seconds`, `clip_seconds`, `min_seconds`, `max_rejected`; `path` makes clip ids independent of
            where the collection lies.
        fingerprint: called once with each clip's samples, float32 `[channels, n]`, and their rate in Hz.
        where: the key of `data` that names the files' folder. Clip ids of `unlabelled` are not those of `path`.

    Returns:
        The catalogue, what was left out, what was changed, and what identifies each clip's sound. The memory in use
        grows with the number of files by these rows alone; at most `max_seconds` of audio are held.

    Raises:
        IntakeError: a larger share than `data.max_rejected` of the files is rejected, or no clip is left.
    """
    clips, rejected, mended, content, fingerprints = [], [], [], {}, {}
    taken: dict[str, str] = {}  # by clip_id: the file
    root = data.unlabelled if where == UNLABELLED else data.path
    columns = (files[column].tolist() for column in ("path", "label", "source_id", "fold"))
    for path, label, source_id, fold in progress(zip(*columns), desc="read audio", total=len(files), unit="file"):
        below = _name(path, raw, root, where)
        notes: list[Note] = []
        try:
            with _open(path) as sound:
                _check_form(sound, label, data)
                _take(clip_id(below), path, taken)
                for clip, wave in _clips(sound, path, below, raw / label, data, notes):
                    clips.append(clip | {"label": label, "source_id": source_id, "fold": fold})
                    content[clip["clip_id"]] = _digest(wave, sound.samplerate)
                    if fingerprint:
                        fingerprints[clip["clip_id"]] = fingerprint(wave, sound.samplerate)
        except _Unusable as error:
            rejected.append({"path": printable(path), "label": label, "kind": error.kind, "reason": str(error)})
        else:
            mended += [{"path": printable(path), "kind": note.kind, "note": note.text} for note in notes]
    check_share(rejected, len(files), data.max_rejected, where)
    return Admission(
        tables.table(clips, tables.CLIPS),
        tables.table(rejected, tables.REJECTED),
        tables.table(mended, tables.MENDED),
        content,
        fingerprints,
    )


def foresee(files: pd.DataFrame, raw: Path, data: Data, where: Literal["path", "unlabelled"] = "path") -> Admission:
    """What :func:`admit` will say of files as far as their headers tell; no sound is decoded and nothing is written.

    Sounds that are silent, clipped, damaged or not finite are found by decoding alone, so they are among the clips
    here. So may be fewer seconds than a header promises.

    Args:
        files, raw, data, where: as of :func:`admit`.

    Returns:
        The clips, each with the path of the file that it is in; what will be rejected; which files will be cut.
        `content` and `fingerprints` are empty. A share of rejected files that :func:`check_share` would stop at is
        returned like any other.
    """
    clips, rejected, mended = [], [], []
    taken: dict[str, str] = {}  # by clip_id: the file
    root = data.unlabelled if where == UNLABELLED else data.path
    columns = (files[column].tolist() for column in ("path", "label", "source_id", "fold"))
    bar = progress(zip(*columns), desc="read headers", total=len(files), unit="file", leave=False)
    for path, label, source_id, fold in bar:
        below = _name(path, raw, root, where)
        try:
            with _open(path) as sound:
                rate, channels, frames = sound.samplerate, sound.channels, sound.frames
                _check_form(sound, label, data)
            _take(clip_id(below), path, taken)
            long, pieces = _pieces(frames, rate, data)
        except _Unusable as error:
            rejected.append({"path": printable(path), "label": label, "kind": error.kind, "reason": str(error)})
            continue
        if long:
            note = f"cut into {len(pieces)} clips"
            mended.append({"path": printable(path), "kind": "cut into clips", "note": note})
        for number, length in enumerate(pieces):
            form = {"seconds": length / rate, "sample_rate": rate, "channels": channels}
            named = {"clip_id": clip_id(below, number if long else None), "path": path, "label": label}
            clips.append(named | {"source_id": source_id, "fold": fold} | form)
    return Admission(
        tables.table(clips, tables.CLIPS),
        tables.table(rejected, tables.REJECTED),
        tables.table(mended, tables.MENDED),
        {},
        {},
    )


def identify(clips: pd.DataFrame, fingerprint: Fingerprint) -> tuple[dict[str, str], dict[str, np.ndarray]]:
    """What identifies the sound of clips that need no intake: `content` and `fingerprints` of an :class:`Admission`."""
    content, fingerprints = {}, {}
    for name, path in zip(clips.clip_id, clips.path):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        wave = np.ascontiguousarray(samples.T)
        content[name], fingerprints[name] = _digest(wave, rate), fingerprint(wave, rate)
    return content, fingerprints


def _name(path: str, raw: Path, root: str, where: str) -> str:
    """What a file's clip ids are made of, the same wherever the collection lies."""
    below = _below(path, raw, root)
    return f"{UNLABELLED}/{below}" if where == UNLABELLED else below


def _take(name: str, path: str, taken: dict[str, str]) -> None:
    if first := taken.get(name):
        raise _Unusable("name taken", f"{printable(first)} has it, be it in another unicode form")
    taken[name] = path


def _below(path: str, *roots: str | Path) -> str:
    for root in roots:
        with suppress(ValueError):
            return PurePath(path).relative_to(root).as_posix()
    return PurePath(path).as_posix()


def open_sound(path: str) -> soundfile.SoundFile:
    """Open a sound file of any length.

    Raises:
        AudioError: it is no file, or none that libsndfile reads; the message is the reason, without the path.
    """
    try:
        return _open(path)
    except _Unusable as error:
        raise audio.AudioError(str(error)) from None


def _open(path: str) -> soundfile.SoundFile:
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            linked = "a link to a folder; DVC does not see what changes behind it, so put the folder itself there"
            kind = linked if os.path.islink(path) else "a folder"
            raise _Unusable("no file", kind)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise _Unusable("no file", "a device, pipe or socket")
        if status.st_size == 0:
            raise _Unusable("empty", "zero bytes")
        open(path, "rb").close()  # libsndfile would not say that it may not
        return soundfile.SoundFile(os.fsencode(path))
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a name that no file can have
        kind = "a link to a file that is not there" if os.path.islink(path) else "no such file"
        raise _Unusable("missing", kind) from None
    except PermissionError:
        raise _Unusable("no permission to read it") from None
    except OSError as error:
        raise _Unusable("not readable", str(error.strerror)) from None  # a link that leads to itself among others
    except soundfile.LibsndfileError as error:
        known = "does not exist" not in error.error_string  # what libsndfile says of a damaged MP3
        raise _Unusable("not audio", f"{error.error_string if known else 'cannot be decoded'}") from None
    except TypeError:  # the name ends in .raw
        raise _Unusable("not audio", "samples without a header") from None


def _check_form(sound: soundfile.SoundFile, label: str, data: Data) -> None:
    where = {"pattern": "data.pattern does not match its path", "table": "its row in data.table has none"}
    if not label:
        raise _Unusable("no label", f"{where.get(data.labels, 'it lies in no folder below data.path')}")
    for name, value, (low, high) in (
        ("sample rate", sound.samplerate, SAMPLE_RATES),
        ("channels", sound.channels, CHANNELS),
    ):
        if not low <= value <= high:
            raise _Unusable(name, f"{value}; {low} to {high} can be used")
    if sound.frames > UNKNOWN_FRAMES:
        raise _Unusable("no length", "its header tells none, as in a streamed FLAC; write it anew")
    seconds = data.clip_seconds if sound.frames > data.max_seconds * sound.samplerate else data.max_seconds
    samples = round(min(sound.frames, seconds * sound.samplerate)) * sound.channels
    if samples > audio.MOST_SAMPLES:
        about = f"{samples} in one clip; {audio.MOST_SAMPLES} of all channels can be held"
        raise _Unusable("too many samples", f"{about}, lower data.max_seconds and data.clip_seconds")
    hours = sound.frames / sound.samplerate / 3600
    if hours > LONGEST / 3600:
        raise _Unusable("too long", f"{hours:.3g} h; at most {LONGEST / 3600:g} h can be used, cut the file")


def _pieces(frames: int, rate: int, data: Data) -> tuple[bool, list[int]]:
    """Whether a file is cut, and the frames of its clips, as :func:`_clips` gives them where all of it decodes."""
    if not frames:
        raise _Unusable("not audio", "nothing of it decodes")
    long = frames > data.max_seconds * rate
    size = max(1, round(data.clip_seconds * rate)) if long else frames
    full, rest = divmod(frames, size)
    pieces = [size] * full + ([rest] if rest and (not full or rest >= size / 2) else [])
    _check_length(pieces[0], rate, data.min_seconds)
    return long, [piece for piece in pieces if piece >= data.min_seconds * rate]


def _check_length(frames: int, rate: int, min_seconds: float) -> None:
    if frames < min_seconds * rate:
        raise _Unusable("too short", f"{frames / rate:.3g} s; data.min_seconds is {min_seconds:g}")


def _clips(
    sound: soundfile.SoundFile, path: str, below: str, folder: Path, data: Data, notes: list[Note]
) -> Iterator[tuple[dict, np.ndarray]]:
    """What a file gives: rows of the catalogue but for label, source and fold, each with samples `[channels, n]`."""
    rate, promised = sound.samplerate, sound.frames
    long = promised > data.max_seconds * rate
    size = max(1, round(data.clip_seconds * rate)) if long else promised
    strange = not _tabular(path)
    breaks_off, decoded, kept = _promises_more(sound), 0, 0
    changes, left_out, first = Counter(), Counter(), None
    for number, wave in enumerate(blocks(sound, path, size)):
        decoded += wave.shape[1]
        breaks_off |= not long and decoded < 0.99 * promised
        if long and number and wave.shape[1] < size / 2:  # the end of a long file
            continue
        try:
            wave, mended, doubts = _mend(wave, rate, data.min_seconds)
        except _Unusable as error:
            left_out[str(error)] += 1
            first = first or error
            continue
        kept += 1
        changes.update(mended + doubts)
        name, target = clip_id(below, number if long else None), path
        if long or breaks_off or strange or mended:
            if rate > 65535 and rate % 10:
                raise _Unusable("sample rate", f"{rate} cannot be written as FLAC, and the file would have to be")
            folder.mkdir(parents=True, exist_ok=True)
            target = (folder / f"{name}.flac").as_posix()
            audio.write_flac(target, wave, rate)
        form = {"seconds": wave.shape[1] / rate, "sample_rate": rate, "channels": sound.channels}
        yield {"clip_id": name, "path": target} | form, wave
    if not kept:
        raise first or _Unusable("not audio", "nothing of it decodes")
    if long:
        notes.append(Note("cut into clips", f"cut into {kept} clips"))
    if breaks_off or decoded < 0.99 * promised:
        notes.append(Note("breaks off", f"breaks off: {decoded / rate:.3g} s decode and are kept"))
    if strange:
        notes.append(Note("copied", "copied: tables cannot hold its name"))
    notes += [Note(what, f"{what} (clips: {n})" if long else what) for what, n in changes.items()]
    notes += [Note("clips left out", f"left out {n} clips ({reason})") for reason, n in left_out.items()]


def _tabular(path: str) -> bool:
    """Whether a path survives being written to a CSV file and read again."""
    with suppress(UnicodeEncodeError):
        path.encode()
        return "\r" not in path
    return False


def _promises_more(sound: soundfile.SoundFile) -> bool:
    """Whether a header gives a size that the file does not have, as libsndfile's log tells."""
    sizes = re.findall(r": (\d+) \(should be (\d+)\)", sound.extra_info)
    return any(int(actual) < 0.99 * int(promised) < UNKNOWN_BYTES for promised, actual in sizes)


def blocks(sound: soundfile.SoundFile, path: str, size: int) -> Iterator[np.ndarray]:
    """A file's samples in blocks `[channels, size]`, the last one shorter, up to where it ends or breaks.

    Args:
        sound: the opened file, at its beginning; never more than `size` frames of it are read at once.
        path: the same file.
    """
    start = 0
    while True:
        try:
            block = sound.read(size, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            yield from _remains(path, start, size)
            return
        if not len(block):
            return
        start += len(block)
        yield np.ascontiguousarray(block.T)  # ten times faster to look at


def _remains(path: str, start: int, size: int) -> Iterator[np.ndarray]:
    """What can be had of a block that does not decode to its end: `[channels, n]`, n up to `size`, or nothing."""
    parts = []
    with suppress(soundfile.LibsndfileError), soundfile.SoundFile(os.fsencode(path)) as again:
        again.seek(start)
        for _ in range(0, size, SYNC_BLOCK):
            parts.append(again.read(SYNC_BLOCK, dtype="float32", always_2d=True))
    if parts:
        yield np.ascontiguousarray(np.concatenate(parts).T)


def _mend(wave: np.ndarray, rate: int, min_seconds: float) -> tuple[np.ndarray, list[str], list[str]]:
    """The samples `[channels, n]` as they can be used, what was changed in them, and what is doubtful about them."""
    _check_length(wave.shape[1], rate, min_seconds)
    low, high = wave.min(axis=1).astype(np.float64), wave.max(axis=1).astype(np.float64)  # NaN wins in both
    if not np.isfinite([low, high]).all():
        raise _Unusable("not finite", "holds NaN or infinite samples")
    if (high - low).max() / 2 < SILENCE:
        raise _Unusable("silent", "nothing swings further than -90 dB of full scale")
    mended, doubts = [], []
    top, bottom = max(high.max(), FULL_SCALE) * LEVEL, min(low.min(), -FULL_SCALE) * LEVEL
    clipped = np.mean((wave >= top) | (wave <= bottom))
    if clipped > CLIPPED:
        raise _Unusable("clipped", f"{clipped:.0%} of its samples are at full scale; at most {CLIPPED:.0%} can be used")
    if clipped > DOUBTFUL:
        doubts.append("clipped in places")
    loudest = max(high.max(), -low.min())
    mean = wave.mean(axis=1, keepdims=True, dtype=np.float64)
    if np.abs(mean).max() > OFFSET * max(1.0, loudest):
        wave = (wave - mean).astype(np.float32)
        mended.append("constant offset subtracted")
    if loudest > LOUDEST:
        wave = wave * np.float32(FULL_SCALE / np.abs(wave).max())
        mended.append("turned down to full scale")
    return wave, mended, doubts


def _digest(wave: np.ndarray, rate: int) -> str:
    form = f"{rate} Hz, {wave.shape[0]} channels\n".encode()
    return hashlib.sha256(form + wave.tobytes()).hexdigest()


def check_share(rejected: list[dict], total: int, allowed: float, where: str) -> None:
    """Stop where more than a share of a collection's files is rejected, or all of them.

    Args:
        rejected: rows of `tables.REJECTED`.
        total: files that were listed.
        allowed: `data.max_rejected`.
        where: the key of `data` that names the files' folder.

    Raises:
        IntakeError: the message counts the reasons and names the first files.
    """
    if len(rejected) < total and len(rejected) <= allowed * total:
        return
    kinds = Counter(row["kind"] for row in rejected)
    counts = "".join(f"\n  {n} {kind}" for kind, n in kinds.most_common())
    first = "".join(f"\n  {row['path']}: {row['reason']}" for row in rejected[:5])
    raise IntakeError(
        f"{len(rejected)} of {total} files cannot be used; data.max_rejected allows a share of {allowed:g}. "
        f"Reasons:{counts}\nThe first:{first}\n"
        f"Mend or remove these files, correct data.{where}, or raise data.max_rejected; then run `dvc repro`."
    )
