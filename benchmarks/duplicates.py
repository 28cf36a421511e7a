"""How well duplicates are found: recall for each kind of change, false alarms, time and memory.

    python -m benchmarks.duplicates FOLDER [--clips N] [--scale 1000,10000,100000]
    python -m benchmarks.duplicates FOLDER --chromaprint [--clips N]

FOLDER has the layout of UrbanSound8K: audio/ and metadata/UrbanSound8K.csv. Each clip is changed in every way; what is
asked is whether `counterpoise.datasets.duplicates.find` pairs the changed clip with its original, with all originals
about. `--chromaprint` asks the same of Chromaprint instead, on one clip of each recording, and compares the two.
"""

import argparse
import io
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from counterpoise.core import audio
from counterpoise.core.progress import progress
from counterpoise.datasets import duplicates

THRESHOLDS = (0.4, 0.5, 0.6, 0.7)
Sound = tuple[np.ndarray, int]  # [channels, n], Hz
Change = Callable[[np.ndarray, int], Sound]
MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz


def encoded(wave: np.ndarray, rate: int, form: str, subtype: str) -> Sound:
    """Through a lossy encoder at libsndfile's default quality and back."""
    if form == "MP3" and rate not in MP3_RATES:
        wave, rate = audio.resample(wave, rate, 44100), 44100
    file = io.BytesIO()
    soundfile.write(file, wave.T, rate, format=form, subtype=subtype)
    file.seek(0)
    wave, rate = soundfile.read(file, dtype="float32", always_2d=True)
    return wave.T, rate


def stereo(wave: np.ndarray, rate: int) -> Sound:
    """Two channels, the right one 6 dB lower, with a DC offset."""
    mono = wave.mean(axis=0)
    return np.stack([mono, mono / 2]) + np.float32(0.05), rate


def later(wave: np.ndarray, rate: int, seconds: float) -> Sound:
    """A cut that starts later, so that the beginning is missing."""
    return wave[:, round(seconds * rate) :], rate


CHANGES: dict[str, Change] = {
    "ogg": lambda wave, rate: encoded(wave, rate, "OGG", "VORBIS"),
    "mp3": lambda wave, rate: encoded(wave, rate, "MP3", "MPEG_LAYER_III"),
    "-12 dB": lambda wave, rate: (wave * np.float32(10 ** (-12 / 20)), rate),
    "+6 dB, clipped": lambda wave, rate: (np.clip(wave * np.float32(10 ** (6 / 20)), -1, 1), rate),
    "16 kHz": lambda wave, rate: (audio.resample(wave, rate, 16000), 16000),
    "44.1 kHz": lambda wave, rate: (audio.resample(wave, rate, 44100), 44100),
    "8 kHz": lambda wave, rate: (audio.resample(wave, rate, 8000), 8000),
    "stereo, DC": stereo,
    "0.1 s later": lambda wave, rate: later(wave, rate, 0.1),
    "0.5 s later": lambda wave, rate: later(wave, rate, 0.5),
    "1.0 s later": lambda wave, rate: later(wave, rate, 1.0),
    "mp3, 16 kHz, -12 dB, 0.5 s later": lambda wave, rate: encoded(
        audio.resample(later(wave, rate, 0.5)[0] / 4, rate, 16000), 16000, "MP3", "MPEG_LAYER_III"
    ),
}


# The comparison with Chromaprint
LENGTHS = (1, 2, 4)  # seconds to which clips are cut
MOST_CLIPS = 200
SILENCE = 2.6  # seconds on either side; Chromaprint gives no word for less than 2.7 s
ALLOWED = (0, 1_000, 10_000)  # false alarms per million pairs of the clips by which its threshold is chosen
LEAST_OVERLAP = 0.5  # of the shorter fingerprint; fewer words agree too often by chance
OURS, PLAIN, PADDED = "ours", "Chromaprint", "Chromaprint, silence around"


def mixed_down(wave: np.ndarray, rate: int) -> Sound:
    """One channel of two, of which the right one was 6 dB lower and 1 ms later."""
    mono = wave.mean(axis=0)
    late = round(0.001 * rate)
    return (np.pad(mono, (0, late)) + np.pad(mono, (late, 0)) / 2)[None, : len(mono)] / 2, rate


COPIES: dict[str, Change] = {
    "ogg": CHANGES["ogg"],
    "mp3": CHANGES["mp3"],
    "-6 dB": lambda wave, rate: (wave / 2, rate),
    "0.3 s later": lambda wave, rate: later(wave, rate, 0.3),
    "second half": lambda wave, rate: (wave[:, wave.shape[1] // 2 :], rate),
    "16 kHz": CHANGES["16 kHz"],
    "mixed down": mixed_down,
}


def read(folder: Path, n: int | None) -> tuple[pd.DataFrame, list[Path]]:
    """The first n clips of a shuffled list, and their files."""
    table = pd.read_csv(folder / "metadata" / "UrbanSound8K.csv").sample(frac=1, random_state=0)[:n]
    paths = [folder / "audio" / f"fold{row.fold}" / row.slice_file_name for row in table.itertuples()]
    clips = pd.DataFrame(
        {
            "clip_id": table.slice_file_name.str.removesuffix(".wav").to_numpy(),
            "label": table["class"].to_numpy(),
            "source_id": table.fsID.astype(str).to_numpy(),
            "seconds": [soundfile.info(path).duration for path in paths],
        }
    )
    return clips, paths


def similar_pairs(clips: pd.DataFrame, prints: dict[str, np.ndarray]) -> pd.DataFrame:
    """The pairs that `find` returns."""
    return duplicates.find(clips, {clip_id: clip_id for clip_id in clips.clip_id}, prints).pairs


def measure(clips: pd.DataFrame, paths: list[Path]) -> None:
    """Print false alarms among the originals, and recall for each change, at several thresholds."""
    prints: dict[str, dict[str, np.ndarray]] = {change: {} for change in ("", *CHANGES)}
    spent = 0.0
    for clip_id, path in zip(progress(clips.clip_id, desc="change clips", unit="clip"), paths, strict=True):
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        wave = np.ascontiguousarray(wave.T)
        begin = time.perf_counter()
        prints[""][clip_id] = duplicates.fingerprint(wave, rate)
        spent += time.perf_counter() - begin
        for change, apply in CHANGES.items():
            prints[change][f"{clip_id} {change}"] = duplicates.fingerprint(*apply(wave, rate))
    size = sum(words.nbytes for words in prints[""].values()) / clips.seconds.sum()
    print(f"fingerprint: {1e3 * spent / len(clips):.1f} ms a clip, {size:.0f} bytes a second of sound")

    chosen, duplicates.SIMILAR = duplicates.SIMILAR, min(THRESHOLDS)
    names = clips.set_index("clip_id")
    alarms = similar_pairs(clips, prints[""])
    by_source = {frozenset((names.source_id[row.clip_id], names.source_id[row.twin])) for row in alarms.itertuples()}
    rows = []
    for change in CHANGES:
        copies = clips.assign(
            clip_id=clips.clip_id + f" {change}", source_id="copy of " + clips.source_id, twin=clips.clip_id
        )
        pairs = similar_pairs(pd.concat([clips, copies]), prints[""] | prints[change])
        source = [
            frozenset(names.source_id[pair.removesuffix(f" {change}")] for pair in (row.clip_id, row.twin))
            for row in pairs.itertuples()
        ]
        strangers = [len(pair) == 2 and pair not in by_source for pair in source]
        own = pairs[pairs.twin == pairs.clip_id + f" {change}"]
        rows.append(
            {"change": change}
            | {f"{threshold}": f"{(own.similarity >= threshold).sum() / len(clips):.3f}" for threshold in THRESHOLDS}
            | {f"false at {chosen}": int((pairs[strangers].similarity >= chosen).sum())}
        )
    duplicates.SIMILAR = chosen
    print(f"\nrecall of {len(clips)} copies, by threshold (chosen: {chosen}); pairs of strangers with the copies about")
    print(pd.DataFrame(rows).to_string(index=False))
    print(f"\n{len(alarms)} pairs of originals from different recordings, similarity {min(THRESHOLDS)} or more")
    alarms = alarms.assign(labels=[f"{names.label[r.clip_id]}, {names.label[r.twin]}" for r in alarms.itertuples()])
    print(alarms.sort_values("similarity", ascending=False).round(3).to_string(index=False))


def scale(paths: list[Path], sizes: list[int]) -> None:
    """Print the time of the search among many one-second clips made of words that real clips hold, two bits changed."""
    waves = (soundfile.read(path, dtype="float32", always_2d=True) for path in paths)
    pool = np.concatenate([duplicates.fingerprint(wave.T, rate) for wave, rate in waves])
    rng = np.random.default_rng(0)
    length = 1 + (duplicates.RATE - duplicates.WINDOW) // duplicates.HOP - duplicates.LAG
    for n in sizes:
        words = rng.choice(pool, (n, length))
        for _ in range(2):
            words ^= np.uint32(1) << rng.integers(0, 32, words.shape, dtype=np.uint32)
        ids = [f"{i:06}" for i in range(n)]
        clips = pd.DataFrame({"clip_id": ids, "label": "any", "source_id": ids, "seconds": 1.0})
        prints = dict(zip(ids, words, strict=True))
        begin = time.perf_counter()
        found = similar_pairs(clips, prints)
        spent = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{n:7} clips: {1e6 * spent / n:5.0f} µs a clip, {len(found)} pairs, peak memory so far {peak:.0f} MiB")


def chromaprint(wave: np.ndarray, rate: int, silence: float = 0.0) -> np.ndarray:
    """Chromaprint's raw fingerprint, uint32 `[words]`; empty where the sound is too short for it."""
    wave = np.pad(wave, ((0, 0), (round(silence * rate),) * 2))
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        soundfile.write(file.name, wave.T, rate, subtype="PCM_16")
        command = ["fpcalc", "-raw", "-plain", "-length", "120", "-algorithm", "2", file.name]
        # Its exit status says nothing: with some editions of FFmpeg the end of every file is an error
        words = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    return np.array(words.split(",") if words else [], dtype=np.uint32)


METHODS = {OURS: duplicates.fingerprint, PLAIN: chromaprint, PADDED: partial(chromaprint, silence=SILENCE)}
Prints = dict[str, list[np.ndarray]]  # by change, "" for the originals: one fingerprint per clip


def error_rates(first: list[np.ndarray], second: list[np.ndarray]) -> np.ndarray:
    """The share of different bits at the best time offset, `[first, second]`; 1 where a fingerprint is empty."""
    (x, x_size), (y, y_size) = _padded(first), _padded(second)
    least = np.maximum(1, LEAST_OVERLAP * np.minimum(x_size[:, None], y_size))
    best = np.ones(least.shape)
    for offset in range(1 - y.shape[1], x.shape[1]):
        u, v = x[:, max(0, offset) :], y[:, max(0, -offset) :]
        width = min(u.shape[1], v.shape[1])
        overlap = np.minimum(x_size[:, None], y_size + offset) - max(0, offset)
        inside = np.arange(width) < overlap[:, :, None]
        different = (np.bitwise_count(u[:, None, :width] ^ v[None, :, :width]) * inside).sum(axis=2, dtype=int)
        rate = different / (32 * np.maximum(1, overlap))
        best = np.where(overlap >= least, np.minimum(best, rate), best)
    return best


def _padded(prints: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The fingerprints in one array, with zeros after them, and the length of each."""
    size = np.array([len(words) for words in prints])
    array = np.zeros((len(prints), size.max()), dtype=np.uint32)
    for row, words in zip(array, prints, strict=True):
        row[: len(words)] = words
    return array, size


def our_similarities(prints: Prints) -> dict[str, np.ndarray]:
    """By change, what `find` says of each original (row) and each changed clip (column); 0 where it pairs them not."""
    n = len(prints[""])
    ids = [f"{i:06}" for i in range(n)]
    found = {}
    for change, copies in prints.items():
        names = ids + [f"{clip_id} copy" for clip_id in ids] if change else ids
        clips = pd.DataFrame({"clip_id": names, "label": "any", "source_id": names, "seconds": 1.0})
        pairs = similar_pairs(clips, dict(zip(names, [*prints[""], *copies])))
        found[change] = np.zeros((n, n))
        for row in pairs.itertuples():
            a, b = sorted((row.clip_id, row.twin), key=len)
            if len(b) > len(a) or not change:  # an original with a copy, or two originals where there are no copies
                found[change][int(a), int(b.split()[0])] = row.similarity
    return found


def strangers(matrices: dict[str, np.ndarray]) -> np.ndarray:
    """What the matrices say of every two clips of different recordings."""
    n = len(matrices[""])
    pairs = [matrix[~np.eye(n, dtype=bool)] for change, matrix in matrices.items() if change]
    return np.concatenate([matrices[""][np.triu_indices(n, 1)], *pairs])


def halves(prints: Prints) -> tuple[Prints, Prints]:
    """The clips by which a threshold is chosen, and those with which it is judged."""
    middle = len(prints[""]) // 2
    return {c: p[:middle] for c, p in prints.items()}, {c: p[middle:] for c, p in prints.items()}


def fingerprints(waves: Iterable[Sound], seconds: float) -> tuple[dict[str, Prints], dict[str, float]]:
    """By method, the fingerprints of the clips, cut to so many seconds, and of their copies; and seconds per clip."""
    prints: dict[str, Prints] = {method: {change: [] for change in ("", *COPIES)} for method in METHODS}
    spent = dict.fromkeys(METHODS, 0.0)
    for wave, rate in waves:
        wave = wave[:, : round(seconds * rate)]
        sounds = {change: apply(wave, rate) for change, apply in COPIES.items()}
        for method, fingerprint in METHODS.items():
            begin = time.perf_counter()
            prints[method][""].append(fingerprint(wave, rate))
            spent[method] += time.perf_counter() - begin
            nothing = prints[method][""][-1][:0]
            for change, sound in sounds.items():  # a copy is no longer than its original, and empty where that is
                prints[method][change].append(fingerprint(*sound) if prints[method][""][-1].size else nothing)
    return prints, {method: spent[method] / len(prints[method][""]) for method in METHODS}


def compare(clips: pd.DataFrame, paths: list[Path]) -> None:
    """Print copies found, false alarms and time, of our fingerprints and Chromaprint's, for each length of clips.

    Our threshold is the pipeline's. Chromaprint's is the highest bit error rate with which one half of the clips gives
    no more false alarms than allowed. The other half is reported.
    """
    one = clips[clips.seconds >= 0.99 * max(LENGTHS)].drop_duplicates("source_id").index[:MOST_CLIPS]
    sounds = [soundfile.read(paths[i], dtype="float32", always_2d=True) for i in one]
    rows = []
    for seconds in LENGTHS:
        waves = progress(((wave.T, rate) for wave, rate in sounds), desc=f"{seconds} s", total=len(one), unit="clip")
        prints, spent = fingerprints(waves, seconds)
        for method in METHODS:
            choosing, judging = halves(prints[method])
            empty = np.mean([not words.size for words in judging[""]])
            about = {"s": seconds, "fingerprints": method, "ms a clip": f"{1e3 * spent[method]:.1f}", "empty": empty}
            if method == OURS:
                same = {change: matrix >= duplicates.SIMILAR for change, matrix in our_similarities(judging).items()}
                rows.append(about | {"allowed": "", "limit": duplicates.SIMILAR} | outcome(same))
            elif empty == 1:
                rows.append(about)
            else:
                others = np.sort(strangers({c: error_rates(choosing[""], p) for c, p in choosing.items()}))
                errors = {c: error_rates(judging[""], p) for c, p in judging.items()}
                for allowed in ALLOWED:
                    limit = others[int(allowed / 1e6 * len(others))]
                    same = {change: matrix < limit for change, matrix in errors.items()}
                    rows.append(about | {"allowed": f"{allowed}", "limit": round(limit, 3)} | outcome(same))
    print(f"share of the copies of {len(one) - len(one) // 2} clips that are found; false alarms per million pairs")
    print(pd.DataFrame(rows).to_string(index=False, na_rep=""))


def outcome(same: dict[str, np.ndarray]) -> dict[str, str]:
    """By change, the share of the copies found; and false alarms. `same` says which clips are taken for one sound."""
    found = {change: matrix.diagonal().mean() for change, matrix in same.items() if change}
    alarms = strangers(same)
    return (
        {change: f"{share:.2f}" for change, share in found.items()}
        | {"all": f"{np.mean(list(found.values())):.3f}"}
        | {"false": f"{1e6 * alarms.mean():.0f}", "pairs": f"{len(alarms)}"}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, help="so many clips, drawn at random (default: all)")
    parser.add_argument("--scale", default="1000,10000,100000", help="numbers of clips to time the search with")
    parser.add_argument("--chromaprint", action="store_true", help=f"compare with it, on {MOST_CLIPS} clips at most")
    args = parser.parse_args()
    if args.chromaprint and not shutil.which("fpcalc"):
        parser.error("--chromaprint needs the program fpcalc: apt-get install libchromaprint-tools")
    clips, paths = read(args.folder, args.clips)
    if args.chromaprint:
        compare(clips, paths)
        return
    measure(clips, paths)
    print()
    scale(paths, [int(n) for n in args.scale.split(",")])


if __name__ == "__main__":
    main()
