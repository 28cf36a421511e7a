"""Which clips a training step sees, and how they are read."""

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from counterpoise.core import audio as sound
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime, seed_for

KEPT_BYTES = 256 * 2**20  # of waves that a training keeps in memory, so that a small collection is decoded once


def order(
    made: Sequence[bool], batch_size: int, steps: int, done: int, real_last: float, seed: int
) -> Iterator[list[int]]:
    """The rows of the batch of each step that is left: :func:`draw` from all clips, at last from the real ones alone.

    Args:
        made: `[N]`, whether each clip was made; where all or none were, every step sees all.
        done: steps that an interrupted training has done.
        real_last: share of the steps, the last ones.
    """
    real = np.flatnonzero(~np.asarray(made, bool))
    last = round(real_last * steps) if 0 < len(real) < len(made) else 0
    switch = steps - last
    yield from draw(len(made), batch_size, range(min(done, switch), switch), seed)
    if last:
        ends = draw(len(real), batch_size, range(max(done - switch, 0), last), seed_for("real clips", seed))
        yield from (real[rows].tolist() for rows in ends)


def draw(examples: int, batch_size: int, steps: range, seed: int) -> Iterator[list[int]]:
    """The rows of each step's batch: permutations of all examples laid end to end, cut into full batches."""

    def permutation(epoch: int) -> list[int]:
        return np.random.default_rng(seed_for("order", seed, epoch)).permutation(examples).tolist()

    epoch, skipped = divmod(steps.start * batch_size, examples)
    endless = itertools.chain.from_iterable(map(permutation, itertools.count(epoch)))
    rows = itertools.islice(endless, skipped, None)
    for _ in steps:
        yield list(itertools.islice(rows, batch_size))


def balanced(classes: Sequence[Sequence[int]], batch_size: int, steps: range, seed: int) -> Iterator[list[int]]:
    """The rows of each step's batch, as many of one class as of another.

    This is class-balanced sampling (Kang et al. 2020, section 3) without replacement: the classes come in rounds, each
    once a round in another order. A class gives each of its rows once before any twice.

    Args:
        classes: the rows of each class; none is empty.
        steps: those that are left; they do not depend on where they start.
    """
    turns = range(steps.stop * batch_size)  # no class has more

    def endless() -> Iterator[int]:
        own = [draw(len(rows), 1, turns, seed_for("class", seed, i)) for i, rows in enumerate(classes)]
        for order in draw(len(classes), len(classes), turns, seed):
            picked = [rows[next(places)[0]] for rows, places in zip(classes, own, strict=True)]
            yield from (picked[i] for i in order)

    rows = itertools.islice(endless(), steps.start * batch_size, None)
    for _ in steps:
        yield list(itertools.islice(rows, batch_size))


class Waves(Sequence[np.ndarray]):
    """Clips' waves `[channels, samples]`, each read when it is asked for; what was read last stays in memory."""

    def __init__(self, paths: list[str], audio: Audio) -> None:
        self.paths = paths
        self.audio = audio
        self._samples = round(audio.seconds * audio.sample_rate)
        self._read = functools.lru_cache(KEPT_BYTES // (4 * audio.channels * self._samples))(self._read)  # type: ignore[method-assign]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        return self._read(self.paths[row])

    def _read(self, path: str) -> np.ndarray:
        wave = sound.fit(sound.read(path, self.audio.sample_rate, self.audio.channels), self._samples)
        wave.setflags(write=False)  # many batches share it
        return wave


class Batches(Dataset):
    """Inputs by their rows; what a reader process runs."""

    def __init__(self, inputs: Sequence[np.ndarray]) -> None:
        self.inputs = inputs

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """The rows `[B]`, and their inputs `[B, ...]`."""
        return torch.tensor(rows), torch.from_numpy(np.stack([self.inputs[row] for row in rows]))


def load(inputs: Sequence[np.ndarray], runtime: Runtime, order: Iterator[list[int]]) -> DataLoader:
    """The batches of `order`, each its rows `[B]` and their inputs `[B, ...]`, read ahead by `runtime.workers`."""
    return DataLoader(
        Batches(inputs),
        sampler=order,
        batch_size=None,  # the sampler's items are batches already
        num_workers=runtime.workers,
        # A fork starts in milliseconds, a fresh process in seconds (it imports torch), ten times a training. It is safe
        # because readers run libsndfile, soxr and copies alone: nothing that waits for a thread left behind.
        multiprocessing_context="fork" if runtime.workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # keeps the loader from drawing on the global one
    )
