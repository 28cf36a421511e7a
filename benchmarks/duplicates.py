"""How well duplicates are found: recall for each kind of change, false alarms, time and memory.

    python -m benchmarks.duplicates FOLDER [--clips N] [--scale 1000,10000,100000]

FOLDER has the layout of UrbanSound8K: audio/ and metadata/UrbanSound8K.csv. Each clip is changed in every way; what is
asked is whether `counterpoise.duplicates.find` pairs the changed clip with its original, with all originals about.
"""

import argparse
import io
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from counterpoise.core import audio
from counterpoise.datasets import duplicates

THRESHOLDS = (0.4, 0.5, 0.6, 0.7)
Sound = tuple[np.ndarray, int]  # [channels, n], Hz
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


CHANGES: dict[str, Callable[[np.ndarray, int], Sound]] = {
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
    for clip_id, path in zip(tqdm(clips.clip_id, desc="change clips", unit="clip"), paths, strict=True):
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, help="so many clips, drawn at random (default: all)")
    parser.add_argument("--scale", default="1000,10000,100000", help="numbers of clips to time the search with")
    args = parser.parse_args()
    clips, paths = read(args.folder, args.clips)
    measure(clips, paths)
    print()
    scale(paths, [int(n) for n in args.scale.split(",")])


if __name__ == "__main__":
    main()
