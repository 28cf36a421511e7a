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

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.fft
import scipy.signal
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from counterpoise.core import audio, tables
from counterpoise.core.naming import UNLABELLED
from counterpoise.core.progress import progress

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
SLICES = 32  # of the words, put in order one after the other, which bounds the memory
PART = 50_000  # windows whose clips are compared with all others before the next are, which bounds it, too
NEIGHBOURS = 8  # with how many recordings of the same word each one is paired, which bounds the time
OFFSETS = 3  # time offsets that are tried for two clips, those with the most common words
BATCH = 100_000  # pairs of windows that are compared at once
SAME = 0.9  # two clips that share so much of the longer one are one sound, which cannot have two labels

TWO_LABELS, TWO_FOLDS = "two labels", "two folds"  # kinds of reasons why `merge` leaves a clip out


@dataclass(frozen=True)
class Duplicates:
    """What :func:`find` found."""

    pairs: pd.DataFrame  # columns tables.DUPLICATES; twin sorts after clip_id

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
        clips: the columns clip_id, source_id, label and seconds of `tables.CLIPS`.
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
    columns = tables.DUPLICATES
    pairs = pd.concat([exact[list(columns)].astype(columns), near[list(columns)].astype(columns)], ignore_index=True)
    return Duplicates(pairs)


def _near(prints: list[np.ndarray], unit: np.ndarray) -> pd.DataFrame:
    """Similar fingerprints of different units: columns a, b (a before b), similarity, overlap, seconds."""
    length = np.array([len(words) for words in prints], dtype=int)
    start = np.cumsum(length) - length
    words = np.concatenate([np.zeros(0, dtype=np.uint32), *prints])
    clip = np.repeat(np.arange(len(prints), dtype=np.int32), length)
    ones = _shares_of_ones(words, start)
    neighbours = _neighbours(words, clip, unit)
    similar = [pd.DataFrame({"a": 0, "b": 0, "similarity": 0.0, "overlap": 0}, index=[])]
    for part in progress(_portions(length, PART), desc="compare sounds", unit="part"):
        windows = np.arange(start[part][0], start[part][-1] + length[part][-1])
        pairs = _candidates(windows, neighbours, clip, start)
        pairs["overlap"] = np.minimum(length[pairs.a], length[pairs.b] + pairs.offset) - pairs.offset.clip(lower=0)
        pairs["similarity"] = _similarity(pairs, words, start, ones)
        pairs = pairs[pairs.similarity >= SIMILAR]
        pairs = pairs[_changes(pairs, words, start) >= LEAST_CHANGES]
        similar.append(pairs[similar[0].columns])
    near = pd.concat(similar).sort_values("similarity", ascending=False, kind="stable").drop_duplicates(["a", "b"])
    return near.assign(seconds=((near.overlap - 1 + LAG) * HOP + WINDOW) / RATE)


def _portions(sizes: np.ndarray, most: int) -> list[slice]:
    """Slices of neighbouring items, each of which holds items of about this size in sum."""
    before = np.cumsum(sizes) - sizes
    edges = [*np.flatnonzero(np.diff(before // most, prepend=-1)), len(sizes)]
    return [slice(first, end) for first, end in pairwise(edges)]


class Neighbours(NamedTuple):
    """Windows with the same word that are to be compared: `order[first[i] : first[i] + count[i]]` for window i.

    Each word's units are put into an order of chance, another for every word, and each is paired with the next few:
    so the work grows with the number of words and not with its square, and no word need be left out as too common.
    """

    order: np.ndarray  # windows; those with the same word stand together, one of each unit
    first: np.ndarray  # of each window
    count: np.ndarray  # type: ignore[assignment]  # of each window; it is a neighbour of its own


def _neighbours(words: np.ndarray, clip: np.ndarray, unit: np.ndarray) -> Neighbours:
    index = np.int32 if len(words) < 2**31 else np.int64
    found = Neighbours(np.zeros_like(words, index), np.zeros_like(words, index), np.zeros_like(words, np.uint8))
    part = (_scrambled(words) % np.uint32(SLICES)).astype(np.uint8)
    done = 0
    for number in range(SLICES):
        at = np.flatnonzero((part == number) & (words != STILL))
        turn = _scrambled(_scrambled(unit[clip[at]]) ^ words[at])
        order = np.lexsort((turn, words[at]))
        at, word, turn = at[order], words[at][order], turn[order]
        once = np.append(True, (word[1:] != word[:-1]) | (turn[1:] != turn[:-1]))[: len(at)]
        at, word = at[once], word[once]
        place = np.arange(len(at))
        low = np.maximum(place - NEIGHBOURS, np.searchsorted(word, word, side="left"))
        high = np.minimum(place + NEIGHBOURS + 1, np.searchsorted(word, word, side="right"))
        found.order[done : done + len(at)] = at
        found.first[at], found.count[at] = done + low, high - low
        done += len(at)
    return found


def _candidates(windows: np.ndarray, neighbours: Neighbours, clip: np.ndarray, start: np.ndarray) -> pd.DataFrame:
    """The clips of these windows with others after them that share a word: a (before b), b and offset.

    The offset says that b's window i may be a's window i + offset; of each two clips the OFFSETS likeliest are given.
    """
    order, first, count = neighbours.order, neighbours.first[windows], neighbours.count[windows].astype(int)
    x = np.repeat(windows, count)
    y = order[np.arange(len(x)) + np.repeat(first - (np.cumsum(count) - count), count)]
    later = clip[x] < clip[y]
    x, y = x[later], y[later]
    a, b = clip[x], clip[y]
    pairs = pd.DataFrame({"a": a, "b": b, "offset": (x - start[a]) - (y - start[b])})
    votes = pairs.groupby(["a", "b", "offset"]).size().reset_index(name="votes")
    return votes.sort_values("votes", ascending=False, kind="stable").groupby(["a", "b"]).head(OFFSETS)


def _scrambled(numbers: np.ndarray) -> np.ndarray:
    """Whole numbers below 2**32, each as another one of these, as if by chance: the finaliser of MurmurHash3."""
    numbers = numbers.astype(np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35), (16, 1)):
        numbers ^= numbers >> np.uint32(shift)
        numbers *= np.uint32(factor)
    return numbers


def _shares_of_ones(words: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How often each bit is set in each fingerprint, still windows left out: float32 `[clips, 32]`."""
    heard = np.add.reduceat(words != STILL, start, dtype=np.float32)
    counts = [np.add.reduceat(words >> np.uint32(bit) & np.uint32(1), start, dtype=np.float32) for bit in range(32)]
    return np.stack(counts, axis=1) / heard[:, None]


def _similarity(pairs: pd.DataFrame, words: np.ndarray, start: np.ndarray, ones: np.ndarray) -> np.ndarray:
    """Cohen's kappa of the bits of each pair, where they overlap and neither is still."""
    similarity = np.zeros(len(pairs))
    for batch, x, y, first in _common(pairs, words, start):
        heard = (x != STILL) & (y != STILL)
        windows = np.add.reduceat(heard, first, dtype=int)
        different = np.add.reduceat(np.bitwise_count(x ^ y) * heard, first, dtype=int)
        a, b = ones[pairs.a.iloc[batch]], ones[pairs.b.iloc[batch]]
        by_chance = windows * (a * (1 - b) + b * (1 - a)).sum(axis=1)
        similarity[batch] = 1 - different / np.maximum(by_chance, 1e-9)
    return similarity


def _changes(pairs: pd.DataFrame, words: np.ndarray, start: np.ndarray) -> np.ndarray:
    """How many bits change in both clips of each pair in the same window."""
    changes = np.zeros(len(pairs), dtype=int)
    for batch, x, y, first in _common(pairs, words, start):
        heard = (x != STILL) & (y != STILL)
        together = np.zeros(len(x), dtype=np.uint8)  # in each window, from the one before
        together[1:] = np.bitwise_count((x[1:] ^ x[:-1]) & (y[1:] ^ y[:-1])) * (heard[1:] & heard[:-1])
        together[first] = 0
        changes[batch] = np.add.reduceat(together, first, dtype=int)
    return changes


def _common(pairs: pd.DataFrame, words: np.ndarray, start: np.ndarray) -> Iterator[tuple]:
    """Batch by batch: which pairs, the words of both where they overlap, pair after pair, and where each begins."""
    a, b, offset, overlap = (pairs[column].to_numpy() for column in ("a", "b", "offset", "overlap"))
    first_of_a, first_of_b = start[a] + np.maximum(0, offset), start[b] + np.maximum(0, -offset)
    for batch in _portions(overlap, BATCH):
        size = overlap[batch]
        first = np.cumsum(size) - size
        window = np.arange(size.sum())
        x = words[np.repeat(first_of_a[batch] - first, size) + window]
        y = words[np.repeat(first_of_b[batch] - first, size) + window]
        yield batch, x, y, first


def merge(clips: pd.DataFrame, found: Duplicates) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Unite the recordings of duplicates, and leave out what cannot be right.

    Recordings with duplicates between them become one, under the id that sorts first. Two things are left out:
    - one sound with two labels: exact duplicates, or near ones that share nearly all of their length, of which some
      carry another label. Nobody can tell which label is right, so all of them go;
    - one recording in two folds: official folds are never rewritten, and a recording on both sides of a split would
      leak. The fold that holds most of the united recording's clips keeps them (of equals the lowest), and its clips
      in other folds go. A clip without a fold conflicts with nothing.

    Args:
        clips: columns `tables.CLIPS`.
        found: the duplicates among them.

    Returns:
        The clips that stay, in their order, and the others (columns `tables.REJECTED`), each with its reason.
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
    labels = _of_two_labels(clips, sound)

    # One fold
    touched = clips.source_id.isin(clips.source_id.iloc[np.concatenate([a, b])]) & (clips.fold != tables.NO_FOLD)
    folds = _of_two_folds(clips[touched & ~clips.index.isin(labels.index)])
    left_out = [(TWO_LABELS, labels), (TWO_FOLDS, folds)]
    reasons = pd.concat([f"{kind}: " + why for kind, why in left_out])
    kinds = pd.concat([pd.Series(kind, why.index, dtype="str") for kind, why in left_out])
    rejected = clips.loc[reasons.index].assign(kind=kinds, reason=reasons).sort_index()
    clips = clips.drop(index=reasons.index).reset_index(drop=True)
    return clips, rejected[list(tables.REJECTED)].astype(tables.REJECTED).reset_index(drop=True)


def related(clips: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Which recordings of unlabelled clips share sound with which of labelled clips, be it through other recordings.

    Args:
        clips: labelled and unlabelled ones, columns `tables.CLIPS`.
        pairs: the duplicates among them, columns `tables.DUPLICATES`.

    Returns:
        Columns `tables.RELATED`, sorted. A recording of both kinds of clips is related to itself.
    """
    source, names = pd.factorize(clips.source_id, sort=True)
    a, b = (pd.Index(clips.clip_id).get_indexer(pairs[column]) for column in ("clip_id", "twin"))
    united = _components(source[a], source[b], len(names))
    recordings = pd.DataFrame({"source_id": clips.source_id.to_numpy(), "united": united[source]})
    unlabelled = (clips.label == UNLABELLED).to_numpy()
    own, labelled = recordings[unlabelled].drop_duplicates(), recordings[~unlabelled].drop_duplicates()
    both = own.merge(labelled.rename(columns={"source_id": "labelled"}), on="united")
    both = both.sort_values(["source_id", "labelled"], ignore_index=True)
    return both[list(tables.RELATED)].astype(tables.RELATED)


def _of_two_labels(clips: pd.DataFrame, sound: np.ndarray) -> pd.Series:
    """The reason to leave a clip out whose sound, given by number, also carries another label; on the clips' index."""
    clips = clips.assign(sound=sound)
    mixed = clips[clips.groupby("sound").label.transform("nunique") > 1]
    reasons = {}
    for _, group in mixed.sort_values("clip_id").groupby("sound"):
        for row in group.itertuples():
            twin = group[group.label != row.label].iloc[0]
            reasons[row.Index] = f"same sound as {twin.clip_id} labelled {twin.label}"
    return pd.Series(reasons, dtype="str")


def _of_two_folds(clips: pd.DataFrame) -> pd.Series:
    """The reason to leave a clip out that lies outside the fold of most of its recording; on the clips' index."""
    reasons = {}
    mixed = clips[clips.groupby("source_id").fold.transform("nunique") > 1]
    for _, group in mixed.sort_values("clip_id").groupby("source_id"):
        main = group[group.fold == group.fold.mode().iloc[0]].iloc[0]
        for index in group.index[group.fold != main.fold]:
            reasons[index] = f"same recording as {main.clip_id} in fold {main.fold}"
    return pd.Series(reasons, dtype="str")


def _components(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    """To which of the connected groups each of n nodes belongs, given the edges between a and b."""
    return connected_components(coo_array((np.ones(len(a), dtype=np.int8), (a, b)), shape=(n, n)), directed=False)[1]
