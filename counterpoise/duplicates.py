"""Clips that are the same sound: exactly, or after another encoding, gain, sample rate, channel count or cut.

A fingerprint is a row of 32-bit words, one for each 16 ms: where the energy difference between two neighbouring bands
grows (Haitsma and Kalker, "A Highly Robust Audio Fingerprinting System", ISMIR 2002, section 4.2). Clips that share
some words are compared bit by bit at the time offset that these suggest. Sounds whose bits seldom change agree in most
of them by chance, so the similarity is what remains beyond that chance: Cohen's kappa (1960), 1 for the same sound and
about 0 for two others.

The paper takes every difference's sign. Here a difference must also reach a share of the window's energy, because the
signs in bands without sound are those of the noise, which every encoder changes. And since simple sounds, such as two
tones that swell, may be similar for a while, the bits of duplicates must also change at the same moments.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.fft
import scipy.signal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from counterpoise import audio, catalog

# The fingerprint
RATE = 16000  # Hz
WINDOW = 2048  # samples, 128 ms
HOP = 256  # samples, 16 ms
LAG = 4  # hops between the two windows whose band differences are compared; neighbours would hardly differ
BANDS = np.searchsorted(scipy.fft.rfftfreq(WINDOW, 1 / RATE), np.geomspace(300, 5500, 34))  # first bin of 33, and end
LEAST_GROWTH = 1e-3  # of the louder window's energy; what grows less counts as still
QUIET = 1e-6  # a window with so much less energy than the clip's loudest is left out (-60 dB)
STILL = 0  # the word of a window in which nothing grows, or which is left out; it is compared with none

# The search
SIMILAR = 0.5  # least similarity of near duplicates; benchmarks/duplicates.py measures what is found and what confused
LEAST_CHANGES = 40  # how many bits must change in both clips at the same moment: tones that swell alike have up to 16
SLICES = 8  # of the words, searched one after the other, which bounds the memory
NEIGHBOURS = 8  # with how many recordings of the same word each one is paired, which bounds the time
OFFSETS = 3  # time offsets that are tried for two clips, those with the most common words
BATCH = 1_000_000  # windows that are compared at once
SAME = 0.9  # two clips that share so much of the longer one are one sound, which cannot have two labels

TWO_LABELS, TWO_FOLDS = "two labels", "two folds"  # how the reasons of what `merge` leaves out begin


@dataclass(frozen=True)
class Duplicates:
    """What :func:`find` found."""

    pairs: pd.DataFrame  # columns catalog.DUPLICATES; twin sorts after clip_id

    def groups(self, kind: str) -> list[list[str]]:
        """The clip ids of "exact" or "near" duplicates, those that hang together in one list."""
        pairs = self.pairs[self.pairs.kind == kind]
        ids = np.unique(pairs[["clip_id", "twin"]].to_numpy(dtype=str))
        group = _components(np.searchsorted(ids, pairs.clip_id), np.searchsorted(ids, pairs.twin), len(ids))
        return [ids[group == g].tolist() for g in range(group.max(initial=-1) + 1)]


def fingerprint(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    """What a sound keeps when it is encoded, amplified, resampled, mixed down or cut otherwise.

    Args:
        wave: `[channels, n]`.
        sample_rate: Hz.

    Returns:
        uint32 `[windows]`, 250 bytes a second; empty where the sound is shorter than 0.2 s.
    """
    mono = audio.resample(wave.mean(axis=0, keepdims=True), sample_rate, RATE)[0]
    if len(mono) < WINDOW + LAG * HOP:
        return np.zeros(0, dtype=np.uint32)
    windows = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP]
    spectrum = scipy.fft.rfft(windows * scipy.signal.windows.hann(WINDOW, sym=False).astype(np.float32))
    power = spectrum.real**2 + spectrum.imag**2
    energy = np.add.reduceat(power, BANDS, axis=1)[:, :-1]  # [windows, 33]; what lies above the last edge is dropped
    growth = np.diff(energy, axis=1)
    growth = growth[LAG:] - growth[:-LAG]
    total = energy.sum(axis=1)
    louder = np.maximum(total[LAG:], total[:-LAG])
    bits = growth > LEAST_GROWTH * louder[:, None]
    words = np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)
    words[louder <= QUIET * louder.max()] = STILL
    return words


def find(clips: pd.DataFrame, content: Mapping[str, str], fingerprints: Mapping[str, np.ndarray]) -> Duplicates:
    """Find the clips that hold the same sound.

    Near duplicates are looked for between recordings, and within one between labels: clips cut from one recording
    may overlap as they like. They are found from about half a second of common sound on, exact ones at any length.

    Args:
        clips: the columns clip_id, source_id, label and seconds of `catalog.CLIPS`.
        content: from clip_id to a hash of the decoded samples.
        fingerprints: from clip_id to what :func:`fingerprint` returned.

    Returns:
        Exact duplicates, each with the first clip of its group; then near ones among the clips that are left. Of many
        copies of one sound not every two are listed, but each hangs together with the others.
    """
    clips = clips.sort_values("clip_id", ignore_index=True)
    ids = clips.clip_id.to_numpy(dtype=object)
    digests = pd.factorize(clips.clip_id.map(content))[0]
    first = pd.Series(np.arange(len(clips))).groupby(digests).transform("first").to_numpy(dtype=int)
    copies = np.flatnonzero(first != np.arange(len(clips)))
    exact = pd.DataFrame({"clip_id": ids[first[copies]], "twin": ids[copies], "kind": "exact", "similarity": 1.0})
    exact["seconds"] = clips.seconds.to_numpy()[copies]

    prints = [fingerprints[clip_id] for clip_id in ids]
    kept = np.array([i for i in range(len(clips)) if first[i] == i and prints[i].any()], dtype=int)
    unit = clips.groupby(["source_id", "label"], sort=False).ngroup().to_numpy()[kept]
    near = _near([prints[i] for i in kept], unit).sort_values(["a", "b"])
    near = near.assign(clip_id=ids[kept[near.a]], twin=ids[kept[near.b]], kind="near")
    columns = catalog.DUPLICATES
    pairs = pd.concat([exact[list(columns)].astype(columns), near[list(columns)].astype(columns)], ignore_index=True)
    return Duplicates(pairs)


def _near(prints: list[np.ndarray], unit: np.ndarray) -> pd.DataFrame:
    """Similar fingerprints of different units: columns a, b (a before b), similarity, seconds."""
    length = np.array([len(words) for words in prints], dtype=int)
    words = np.concatenate([np.zeros(0, dtype=np.uint32), *prints])
    start = np.cumsum(length) - length
    pairs = _candidates(words, np.repeat(np.arange(len(prints)), length), start, unit)
    overlap = np.minimum(length[pairs.a], length[pairs.b] + pairs.offset) - pairs.offset.clip(lower=0)
    pairs["overlap"] = overlap.astype(int)  # windows
    ones = _shares_of_ones(words, start)
    batches = pairs.groupby(pairs.overlap.cumsum() // BATCH)
    similar = [pairs.iloc[:0].assign(similarity=0.0, changes=0)]
    for _, batch in batches:
        compared = _compare(batch, words, start, ones)
        similar.append(compared[(compared.similarity >= SIMILAR) & (compared.changes >= LEAST_CHANGES)])
    near = pd.concat(similar).sort_values("similarity", ascending=False, kind="stable").drop_duplicates(["a", "b"])
    return near.assign(seconds=((near.overlap - 1 + LAG) * HOP + WINDOW) / RATE)


def _candidates(words: np.ndarray, clip: np.ndarray, start: np.ndarray, unit: np.ndarray) -> pd.DataFrame:
    """Clips of different units that share a word: a, b (a before b) and offset: b's window i may be a's i + offset.

    Each word's units are put into an order of chance, another for every word, and each is paired with the next few:
    so the work grows with the number of words and not with its square, and no word need be left out as too common.
    """
    found = []
    for part in range(SLICES):
        at = np.flatnonzero((_scrambled(words) % SLICES == part) & (words != STILL))
        turn = _scrambled(_scrambled(unit[clip[at]]) ^ words[at])
        order = np.lexsort((turn, words[at]))
        at, word, turn = at[order], words[at][order], turn[order]
        first = np.append(True, (word[1:] != word[:-1]) | (turn[1:] != turn[:-1]))[: len(at)]
        at, word = at[first], word[first]  # one window of each unit
        for step in range(1, NEIGHBOURS + 1):
            same = word[step:] == word[:-step]
            ends = np.sort([at[:-step][same], at[step:][same]], axis=0)  # so that a stands before b
            a, b = clip[ends]
            found.append(pd.DataFrame({"a": a, "b": b, "offset": (ends[0] - start[a]) - (ends[1] - start[b])}))
    votes = pd.concat(found).groupby(["a", "b", "offset"]).size().reset_index(name="votes")
    return votes.sort_values("votes", ascending=False, kind="stable").groupby(["a", "b"]).head(OFFSETS)


def _scrambled(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers below 2**32, each as another one of these, as if by chance: the finaliser of MurmurHash3."""
    numbers = numbers.astype(np.uint32)
    numbers = (numbers ^ (numbers >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    numbers = (numbers ^ (numbers >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return numbers ^ (numbers >> np.uint32(16))


def _shares_of_ones(words: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How often each bit is set in each fingerprint, still windows left out: float32 `[clips, 32]`."""
    heard = np.add.reduceat(words != STILL, start, dtype=np.float32)
    counts = [np.add.reduceat(words >> np.uint32(bit) & np.uint32(1), start, dtype=np.float32) for bit in range(32)]
    return np.stack(counts, axis=1) / heard[:, None]


def _compare(pairs: pd.DataFrame, words: np.ndarray, start: np.ndarray, ones: np.ndarray) -> pd.DataFrame:
    """The pairs with their similarity, and with the number of changes of a bit that both have in the same window."""
    a, b, offset, overlap = (pairs[column].to_numpy() for column in ("a", "b", "offset", "overlap"))
    pair = np.repeat(np.arange(len(pairs)), overlap)
    window = np.arange(len(pair)) - np.repeat(np.cumsum(overlap) - overlap, overlap)
    x = words[np.repeat(start[a] + np.maximum(0, offset), overlap) + window]
    y = words[np.repeat(start[b] + np.maximum(0, -offset), overlap) + window]
    heard = (x != STILL) & (y != STILL)
    windows = np.bincount(pair, weights=heard, minlength=len(pairs))
    different = np.bincount(pair, weights=np.bitwise_count(x ^ y) * heard, minlength=len(pairs))
    by_chance = windows * (ones[a] * (1 - ones[b]) + ones[b] * (1 - ones[a])).sum(axis=1)
    together = (x[1:] ^ x[:-1]) & (y[1:] ^ y[:-1])
    joined = heard[1:] & heard[:-1] & (pair[1:] == pair[:-1])
    changes = np.bincount(pair[1:], weights=np.bitwise_count(together) * joined, minlength=len(pairs))
    return pairs.assign(similarity=1 - different / np.maximum(by_chance, 1e-9), changes=changes)


def merge(clips: pd.DataFrame, found: Duplicates) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Unite the recordings of duplicates, and leave out what cannot be right.

    Recordings with duplicates between them become one, under the id that sorts first. Two things are left out:
    - one sound with two labels: exact duplicates, or near ones that share nearly all of their length, of which some
      carry another label. Nobody can tell which label is right, so all of them go;
    - one recording in two folds: official folds are never rewritten, and a recording on both sides of a split would
      leak. The fold that holds most of the united recording's clips keeps them (of equals the lowest), and its clips
      in other folds go. Fold 0 means none, and conflicts with nothing.

    Args:
        clips: columns `catalog.CLIPS`.
        found: the duplicates among them.

    Returns:
        The clips that stay, in their order, and the others (columns `catalog.REJECTED`), each with its reason.
    """
    clips = clips.reset_index(drop=True)
    a, b = (pd.Index(clips.clip_id).get_indexer(found.pairs[column]) for column in ("clip_id", "twin"))

    # One recording
    source, names = pd.factorize(clips.source_id, sort=True)
    united = _components(source[a], source[b], len(names))
    eldest = pd.Series(np.arange(len(names))).groupby(united).transform("min").to_numpy()
    clips["source_id"] = names[eldest[source]]

    # One label
    longer = np.maximum(clips.seconds.to_numpy()[a], clips.seconds.to_numpy()[b])
    whole = (found.pairs.kind == "exact").to_numpy() | (found.pairs.seconds.to_numpy() >= SAME * longer)
    sound = _components(a[whole], b[whole], len(clips))
    reasons = _of_two_labels(clips, sound)

    # One fold
    touched = clips.source_id.isin(clips.source_id.iloc[np.concatenate([a, b])]) & (clips.fold != 0)
    rest = clips[touched & ~clips.index.isin(reasons.index)]
    reasons = pd.concat([reasons, _of_two_folds(rest)])
    rejected = clips.loc[reasons.index].assign(reason=reasons).sort_index()
    clips = clips.drop(index=reasons.index).reset_index(drop=True)
    return clips, rejected[list(catalog.REJECTED)].astype(catalog.REJECTED).reset_index(drop=True)


def _of_two_labels(clips: pd.DataFrame, sound: np.ndarray) -> pd.Series:
    """The reason to leave a clip out whose sound, given by number, also carries another label; on the clips' index."""
    clips = clips.assign(sound=sound)
    mixed = clips[clips.groupby("sound").label.transform("nunique") > 1]
    reasons = {}
    for _, group in mixed.sort_values("clip_id").groupby("sound"):
        for row in group.itertuples():
            twin = group[group.label != row.label].iloc[0]
            reasons[row.Index] = f"{TWO_LABELS}: same sound as {twin.clip_id} labelled {twin.label}"
    return pd.Series(reasons, dtype="str")


def _of_two_folds(clips: pd.DataFrame) -> pd.Series:
    """The reason to leave a clip out that lies outside the fold of most of its recording; on the clips' index."""
    reasons = {}
    mixed = clips[clips.groupby("source_id").fold.transform("nunique") > 1]
    for _, group in mixed.sort_values("clip_id").groupby("source_id"):
        main = group[group.fold == group.fold.mode().iloc[0]].iloc[0]
        for index in group.index[group.fold != main.fold]:
            reasons[index] = f"{TWO_FOLDS}: same recording as {main.clip_id} in fold {main.fold}"
    return pd.Series(reasons, dtype="str")


def _components(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """To which of the connected groups each of n nodes belongs, given the edges between a and b."""
    return connected_components(coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n)), directed=False)[1]
