"""One way in for every sound: decode it once, reject what is no use, mend what can be mended, cut what is long.

A sound file is left where it lies and only named in the catalogue. What had to be changed or decoded by ffmpeg, the
clips of a long file, and events in it, are written as 16-bit FLAC. A user is told of everything that is not taken
exactly as it is.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal, NamedTuple, Self

import numpy as np
import pandas as pd
import soundfile

from counterpoise.core import CounterpoiseError, audio, tables
from counterpoise.core.naming import UNLABELLED, clip_id, printable
from counterpoise.core.progress import progress
from counterpoise.datasets import foreign
from counterpoise.datasets.foreign import ForeignError, Form
from counterpoise.datasets.settings import Data

SAMPLE_RATES = (1000, 384000)  # Hz
CHANNELS = (1, 8)  # FLAC has no more than 8
LONGEST = 3600.0  # s; a clip comes from no longer file,
DAY = 86400.0  # s; and an event from none that is longer and has to be decoded by ffmpeg
SILENCE = 10 ** (-90 / 20)  # a sound that never swings further than this is silent: one step of 16-bit audio
OFFSET = 0.02  # a larger mean of a channel, as a share of full scale, is the recorder's fault and is subtracted
CLIPPED = 0.2  # a larger share of samples on one level at full scale: what was recorded cannot be told any more
DOUBTFUL = 0.01  # a larger share is mentioned; a sine at full scale has 0.009
FULL_SCALE = 0.99  # the highest level of 8-bit audio is 127/128
LEVEL = 1 - 1e-4  # samples are on the highest or lowest level if they come so near to it
OPPOSITE = 10 ** (-40 / 20)  # a mix that is so much softer than its channels: they are one sound in opposite phase
CANCELLING = 10 ** (-15 / 20)  # a mix that is so much softer is mentioned
LOUDEST = 2.0  # lossy codecs overshoot 1 a little; a larger peak means another scale, such as that of integers
PADDING = 4096  # frames; so many may a header promise of a coded file without its breaking off: codecs fill up blocks
PLAIN = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW")  # codings without blocks
FAR = 10  # an event that begins so many times beyond the end may be told in another unit
BEYOND = 0.05  # s; an event that ends so little after its file does is not mentioned
SYNC_BLOCK = 256  # frames; how near a damaged file is read to where it breaks off
UNKNOWN_BYTES = 0x7FFFFF00  # a streamed WAV promises this or more, because it cannot know
RATES_OF_BYTES = ("Bytes/sec", "Avg Bytes/sec", "Block Align", "Samples/Block")  # in libsndfile's log beside sizes
UNKNOWN_FRAMES = 2**62  # what libsndfile says of a streamed FLAC

NOT_AUDIO = "not audio"  # kind of what does not decode

Fingerprint = Callable[[np.ndarray, int], np.ndarray]  # from [channels, n] and Hz


class IntakeError(CounterpoiseError):
    """Too few of the files can be used; the message counts the reasons."""


class _Unusable(Exception):
    """Why a file or a part of it is left out: a kind of reason, and what is particular about this file."""

    def __init__(self, kind: str, detail: str = "") -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind, self.detail = kind, detail


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
    with _Desk(raw) as desk:
        for path, label, source_id, fold, begin, end in progress(
            _rows(files), desc="read audio", total=len(files), unit="file"
        ):
            below = _name(path, raw, root, where)
            notes: list[Note] = []
            try:
                sound, place, notes = desk.open(path, LONGEST + 1 if np.isnan(begin) else DAY)
                with sound:
                    event = _event(begin, end, sound.frames, sound.samplerate, notes)
                    _check_form(sound, label, data, event)
                    name = _named(below, begin, end)
                    _take(name, path, taken)
                    for clip, wave in _clips(sound, place, name, raw / label, data, notes, event, place != path):
                        clip["path"] = clip["path"] or path
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
    bar = progress(_rows(files), desc="read headers", total=len(files), unit="file", leave=False)
    for path, label, source_id, fold, begin, end in bar:
        below = _name(path, raw, root, where)
        notes: list[Note] = []
        try:
            form, notes = _form(path)
            rate, channels, frames = form
            event = _event(begin, end, frames, rate, notes)
            _check_form(form, label, data, event)
            name = _named(below, begin, end)
            _take(name, path, taken)
            long, pieces = _pieces(event[1] - event[0] if event else frames, rate, data)
        except _Unusable as error:
            rejected.append({"path": printable(path), "label": label, "kind": error.kind, "reason": str(error)})
            continue
        mended += [{"path": printable(path), "kind": note.kind, "note": note.text} for note in notes]
        if long:
            note = f"cut into {len(pieces)} clips"
            mended.append({"path": printable(path), "kind": "cut into clips", "note": note})
        for number, length in enumerate(pieces):
            named = {"clip_id": _numbered(name, number if long else None), "path": path, "label": label}
            described = {"seconds": length / rate, "sample_rate": rate, "channels": channels}
            clips.append(named | {"source_id": source_id, "fold": fold} | described)
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


def _rows(files: pd.DataFrame) -> Iterator[tuple]:
    return zip(*(files[column].tolist() for column in ("path", "label", "source_id", "fold", "begin", "end")))


def _named(below: str, begin: float, end: float) -> str:
    """The clip id of a file, or of an event in it, which is the same whatever other events there are."""
    name = clip_id(below)
    return name if np.isnan(begin) else f"{name}_{round(begin * 1000)}_{round(end * 1000)}"


def _numbered(name: str, number: int | None) -> str:
    return name if number is None else f"{name}_{number:04d}"


def _event(begin: float, end: float, frames: int, rate: int, notes: list[Note]) -> tuple[int, int] | None:
    """The first frame of an event, and the one after its last; None where the whole file is meant."""
    if np.isnan(begin):
        return None
    seconds = frames / rate
    if begin >= seconds:
        guess = ""
        if begin > FAR * seconds and end / 1000 <= seconds + BEYOND:
            guess = "; if the table counts milliseconds, divide them by 1000"
        elif begin > FAR * seconds and end / rate <= seconds + BEYOND:
            guess = "; if the table counts samples, divide them by the sample rate"
        raise _Unusable("event beyond the end", f"{begin:g} to {end:g} s, and the file has {seconds:.4g} s{guess}")
    if end > seconds + BEYOND:
        notes.append(Note("event cut", f"the event from {begin:g} to {end:g} s ends with the file at {seconds:.4g} s"))
    return round(begin * rate), min(round(end * rate), frames)


def _take(name: str, path: str, taken: dict[str, str]) -> None:
    if first := taken.get(name):
        raise _Unusable("name taken", f"{printable(first)} has it, be it in another unicode form")
    taken[name] = path


def _below(path: str, *roots: str | Path) -> str:
    for root in roots:
        with suppress(ValueError):
            return PurePath(path).relative_to(root).as_posix()
    return PurePath(path).as_posix()


class _Desk:
    """Opens files one after another; what has to be decoded or finished first lies in a folder of its own meanwhile."""

    def __init__(self, raw: Path) -> None:
        self._raw = raw
        self._folder: tempfile.TemporaryDirectory | None = None
        self._last: tuple[str, str, list[Note]] | None = None  # a file with several events is decoded once

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder:
            self._folder.cleanup()

    def open(self, path: str, longest: float) -> tuple[soundfile.SoundFile, str, list[Note]]:
        """The file, where it was opened, and what is to be said of it. ffmpeg decodes at most `longest` seconds."""
        if self._last and self._last[0] == path:
            return _open(self._last[1]), self._last[1], list(self._last[2])
        try:
            sound = _open(path)
        except _Unusable as error:
            if error.kind != NOT_AUDIO or not (what := foreign.kind(path)):
                raise
            return self._made(path, self._decoded(path, what, error, longest))
        if sound.frames or not (found := foreign.unfinished(path)):
            return sound, path, []
        sound.close()
        target = self._place("finished.wav")
        foreign.finish(path, found, target)
        return self._made(path, [Note("unfinished", "its header told of no data; what follows it was taken")], target)

    def _decoded(self, path: str, what: str, error: _Unusable, longest: float) -> list[Note]:
        _check_ffmpeg(path, what, error)
        try:
            complaint = foreign.decode(path, self._place("decoded.wav"), longest)
        except ForeignError as reason:
            raise _Unusable(NOT_AUDIO, f"{error.detail.rstrip('.')}; {reason}") from None
        said = f", which said: {complaint}" if complaint else ""
        return [Note("decoded by ffmpeg", f"decoded by ffmpeg ({what}){said}")]

    def _made(self, path: str, notes: list[Note], target: Path | None = None) -> tuple:
        place = str(target or self._place("decoded.wav"))
        self._last = path, place, notes
        return _open(place), place, list(notes)

    def _place(self, name: str) -> Path:
        if self._folder is None:
            self._raw.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.TemporaryDirectory(dir=self._raw, prefix=".decoded-")
        return Path(self._folder.name) / name


def _form(path: str) -> tuple[Form, list[Note]]:
    """What a file's header says, and what will be said of the file."""
    try:
        with _open(path) as sound:
            form = Form(sound.samplerate, sound.channels, sound.frames)
    except _Unusable as error:
        if error.kind != NOT_AUDIO or not (what := foreign.kind(path)):
            raise
        _check_ffmpeg(path, what, error)
        try:
            return foreign.probe(path), [Note("decoded by ffmpeg", f"decoded by ffmpeg ({what})")]
        except ForeignError as reason:
            raise _Unusable(NOT_AUDIO, f"{error.detail.rstrip('.')}; {reason}") from None
    if form.frames or not (found := foreign.unfinished(path)):
        return form, []
    return found.form, [Note("unfinished", "its header tells of no data; what follows it will be taken")]


def _check_ffmpeg(path: str, what: str, error: _Unusable) -> None:
    if foreign.has_ffmpeg():
        return
    if what in foreign.LIBSNDFILE:
        raise _Unusable(NOT_AUDIO, f"{error.detail.rstrip('.')}. Perhaps ffmpeg reads it: {foreign.advice(path, what)}")
    raise _Unusable("needs ffmpeg", foreign.advice(path, what))


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
        raise _Unusable(NOT_AUDIO, f"{error.error_string if known else 'cannot be decoded'}") from None
    except TypeError:  # the name ends in .raw
        raise _Unusable(NOT_AUDIO, "samples without a header") from None


def _check_form(sound: soundfile.SoundFile | Form, label: str, data: Data, event: tuple[int, int] | None) -> None:
    where = {"pattern": "data.pattern does not match its path", "table": "its row in data.table has none"}
    rate = sound.sample_rate if isinstance(sound, Form) else sound.samplerate
    if not label:
        raise _Unusable("no label", f"{where.get(data.labels, 'it lies in no folder that would be one')}")
    for name, value, (low, high) in (("sample rate", rate, SAMPLE_RATES), ("channels", sound.channels, CHANNELS)):
        if not low <= value <= high:
            raise _Unusable(name, f"{value}; {low} to {high} can be used")
    if sound.frames > UNKNOWN_FRAMES:
        raise _Unusable("no length", "its header tells none, as in a streamed FLAC; write it anew")
    frames = event[1] - event[0] if event else sound.frames
    seconds = data.clip_seconds if frames > data.max_seconds * rate else data.max_seconds
    samples = round(min(frames, seconds * rate)) * sound.channels
    if samples > audio.MOST_SAMPLES:
        about = f"{samples} in one clip; {audio.MOST_SAMPLES} of all channels can be held"
        raise _Unusable("too many samples", f"{about}, lower data.max_seconds and data.clip_seconds")
    hours = frames / rate / 3600
    if hours > LONGEST / 3600:
        raise _Unusable("too long", f"{hours:.3g} h; at most {LONGEST / 3600:g} h can be used, cut the file")


def _pieces(frames: int, rate: int, data: Data) -> tuple[bool, list[int]]:
    """Whether a file is cut, and the frames of its clips, as :func:`_clips` gives them where all of it decodes."""
    if not frames:
        raise _Unusable(NOT_AUDIO, "nothing of it decodes")
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
    sound: soundfile.SoundFile,
    path: str,
    name: str,
    folder: Path,
    data: Data,
    notes: list[Note],
    event: tuple[int, int] | None,
    is_copy: bool,
) -> Iterator[tuple[dict, np.ndarray]]:
    """What a file gives: rows of the catalogue but for label, source and fold, each with samples `[channels, n]`.

    Args:
        path: where the sound was opened.
        name: the clip's id.
        folder: for what has to be written.
        event: the frames that are meant, see :func:`_event`.
        is_copy: the sound was decoded or finished into a file that will not stay.

    Yields:
        `path` is "" where the file can be used where it lies.
    """
    rate, start = sound.samplerate, event[0] if event else 0
    promised = (event[1] if event else sound.frames) - start
    long = promised > data.max_seconds * rate
    size = max(1, round(data.clip_seconds * rate)) if long else promised
    strange = not _tabular(path)
    breaks_off, decoded, kept = not event and _promises_more(sound), 0, 0
    changes, left_out, first = Counter(), Counter(), None
    for number, wave in enumerate(blocks(sound, path, size, start, promised)):
        decoded += wave.shape[1]
        breaks_off |= not long and _falls_short(decoded, promised, sound.subtype)
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
        one, target = _numbered(name, number if long else None), ""
        if long or event or is_copy or breaks_off or strange or mended:
            if rate > 65535 and rate % 10:
                raise _Unusable("sample rate", f"{rate} cannot be written as FLAC, and the file would have to be")
            folder.mkdir(parents=True, exist_ok=True)
            target = (folder / f"{one}.flac").as_posix()
            audio.write_flac(target, wave, rate)
        form = {"seconds": wave.shape[1] / rate, "sample_rate": rate, "channels": sound.channels}
        yield {"clip_id": one, "path": target} | form, wave
    if not kept:
        raise first or _Unusable(NOT_AUDIO, "nothing of it decodes")
    if long:
        notes.append(Note("cut into clips", f"cut into {kept} clips"))
    if breaks_off or _falls_short(decoded, promised, sound.subtype):
        notes.append(Note("breaks off", f"breaks off: {decoded / rate:.3g} s decode and are kept"))
    if strange:
        notes.append(Note("copied", "copied: tables cannot hold its name"))
    notes += [Note(what, f"{what} (clips: {n})" if long else what) for what, n in changes.items()]
    notes += [Note("clips left out", f"left out {n} clips ({reason})") for reason, n in left_out.items()]


def _falls_short(decoded: int, promised: int, subtype: str) -> bool:
    """Whether fewer frames decode than were promised, other than by the padding of a codec's last block."""
    return decoded < 0.99 * promised and (subtype in PLAIN or promised - decoded > PADDING)


def _tabular(path: str) -> bool:
    """Whether a path survives being written to a CSV file and read again."""
    with suppress(UnicodeEncodeError):
        path.encode()
        return "\r" not in path
    return False


def _promises_more(sound: soundfile.SoundFile) -> bool:
    """Whether a header gives a size that the file does not have, as libsndfile's log tells."""
    sizes = re.findall(r"(?m)^\s*(.*?)\s*: (\d+) \(should be (\d+)\)", sound.extra_info)
    chunks = [(promised, actual) for name, promised, actual in sizes if not name.startswith(RATES_OF_BYTES)]
    return any(int(actual) < 0.99 * int(promised) < UNKNOWN_BYTES for promised, actual in chunks)


def blocks(
    sound: soundfile.SoundFile, path: str, size: int, start: int = 0, frames: int | None = None
) -> Iterator[np.ndarray]:
    """A file's samples in blocks `[channels, size]`, the last one shorter, up to where it ends or breaks.

    Args:
        sound: the opened file, at its beginning; never more than `size` frames of it are read at once.
        path: the same file.
        start: the first frame to read.
        frames: how many are wanted; None, or more than there are, reads to the end. From the beginning a file is
            read to its end, as a header may promise too little.
    """
    end = start + frames if start and frames is not None else None
    if frames is not None and not start and frames < sound.frames:
        end = frames
    try:
        if start:
            sound.seek(start)
    except soundfile.LibsndfileError:
        return
    while end is None or start < end:
        wanted = size if end is None else min(size, end - start)
        try:
            block = sound.read(wanted, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError:
            yield from _remains(path, start, wanted)
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
    mended = []
    doubts = [*_check_clipping(wave, low.min(), high.max()), *_check_mix(wave)]
    loudest = max(high.max(), -low.min())
    mean = wave.mean(axis=1, keepdims=True, dtype=np.float64)
    if np.abs(mean).max() > OFFSET * max(1.0, loudest):
        wave = (wave - mean).astype(np.float32)
        mended.append("constant offset subtracted")
    if loudest > LOUDEST:
        wave = wave * np.float32(FULL_SCALE / np.abs(wave).max())
        mended.append("turned down to full scale")
    return wave, mended, doubts


def _check_clipping(wave: np.ndarray, low: float, high: float, what: str = "") -> list[str]:
    """What is doubtful about samples at full scale."""
    top, bottom = max(high, FULL_SCALE) * LEVEL, min(low, -FULL_SCALE) * LEVEL
    clipped = np.mean((wave >= top) | (wave <= bottom))
    if clipped > CLIPPED:
        limit = f"at most {CLIPPED:.0%} can be used"
        raise _Unusable("clipped", f"{clipped:.0%} of its samples are at full scale{what}; {limit}")
    return ["clipped in places"] if clipped > DOUBTFUL else []


def _check_mix(wave: np.ndarray) -> list[str]:
    """What is doubtful about the mix of several channels, which is what is used: the same checks as of each channel."""
    if wave.shape[0] == 1:
        return []
    mix = audio.mix(wave, 1).astype(np.float64)
    if not np.isfinite(mix).all():
        raise _Unusable("not finite", "the mix of its channels has infinite samples")
    steady = mix - mix.mean()
    power = float(np.mean(steady**2))
    channels = float(np.mean(np.square(wave - wave.mean(axis=1, keepdims=True, dtype=np.float64), dtype=np.float64)))
    softer = (power / channels) ** 0.5 if channels else 1.0
    if (mix.max() - mix.min()) / 2 < SILENCE or softer < OPPOSITE:
        how = f"{-20 * np.log10(softer):.0f} dB softer than they are" if softer else "silent"
        do = "keep one channel, or turn one round"
        raise _Unusable("opposite phase", f"its channels cancel each other: their mix, which is used, is {how}; {do}")
    doubts = _check_clipping(mix, mix.min(), mix.max(), " in the mix of its channels")
    if softer < CANCELLING:
        doubts.append("channels nearly cancel in their mix")
    return doubts


def _digest(wave: np.ndarray, rate: int) -> str:
    form = f"{rate} Hz, {wave.shape[0]} channels\n".encode()
    return hashlib.sha256(form + wave.tobytes()).hexdigest()


def check_classes(files: pd.DataFrame, clips: pd.DataFrame, rejected: pd.DataFrame) -> None:
    """Stop where nothing is left of a class.

    Args:
        files: what was listed, columns `tables.FILES`.
        clips: what can be used, columns `tables.CLIPS`.
        rejected: what was left out, columns `tables.REJECTED`.

    Raises:
        IntakeError: the message names each such class, counts the reasons, and names a file.
    """
    lines = []
    for label in sorted(set(files.label) - set(clips.label) - {""}):
        own = rejected[rejected.label == label]
        kinds = ", ".join(f"{n} {kind}" for kind, n in own.kind.value_counts().items())
        first = f"; e.g. {own.path.iloc[0]}: {own.reason.iloc[0]}" if len(own) else ""
        lines.append(f"\n  {label}: {int((files.label == label).sum())} files ({kinds}){first}")
    if lines:
        raise IntakeError(
            f"No clip is left of {len(lines)} class(es):{''.join(lines)}\n"
            "Mend or add files of such a class, or take it out of `classes` in params.yaml; then run `dvc repro`."
        )


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
