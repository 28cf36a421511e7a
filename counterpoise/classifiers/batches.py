"""Which clips a training step sees and what of them, what is asked about a clip, and how clips are read."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from counterpoise.core import audio as sound
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime, seed_for
from counterpoise.core.windows import Windows

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


class Inputs(Protocol):
    """What a network is given of clips, each of any length: `inputs[row]` is a whole clip, read when it is asked for.

    A network takes a window of it at a time. All windows have one shape.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> np.ndarray: ...

    def windows(self, clip: np.ndarray) -> Iterable[np.ndarray]:
        """All windows of a clip, in order."""

    def crop(self, clip: np.ndarray, number: int) -> np.ndarray:
        """One window at a place that a random number, 0 or more, chooses."""


class Waves:
    """Clips' waves `[channels, any]`; those that were read last stay in memory. A window is `[channels, samples]`."""

    def __init__(self, paths: list[str], audio: Audio) -> None:
        self.paths, self.audio = paths, audio
        self._form = Windows.of(audio.seconds, audio.sample_rate)
        self._kept: dict[str, np.ndarray] = {}  # the last one was asked for last
        self._bytes = 0  # of them

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> np.ndarray:
        path = self.paths[row]
        wave = self._kept.pop(path, None)
        if wave is None:
            wave = sound.read(path, self.audio.sample_rate, self.audio.channels)
            self._bytes += wave.nbytes
            while self._kept and self._bytes > KEPT_BYTES:
                self._bytes -= self._kept.pop(next(iter(self._kept))).nbytes
        self._kept[path] = wave
        return wave

    def windows(self, clip: np.ndarray) -> Iterable[np.ndarray]:
        return self._form.cut(clip)

    def crop(self, clip: np.ndarray, number: int) -> np.ndarray:
        return self._form.crop(clip, number)


class Embedded:
    """A frozen body's embeddings of clips, `[W, P, D]`; a window is `[P, D]`."""

    def __init__(self, embeddings: Sequence[np.ndarray]) -> None:
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, row: int) -> np.ndarray:
        return self.embeddings[row]

    def windows(self, clip: np.ndarray) -> Iterable[np.ndarray]:
        return clip

    def crop(self, clip: np.ndarray, number: int) -> np.ndarray:
        return clip[number % len(clip)]


class Crops(Dataset):
    """A window of each clip of a batch, of longer clips at random; what a reader process runs.

    The place depends on the seed, the step and the place in the batch alone.
    """

    def __init__(self, inputs: Inputs, seed: int) -> None:
        self.inputs, self.seed = inputs, seed

    def __getitem__(self, asked: tuple[int, list[int]]) -> tuple[Tensor, Tensor]:
        """Of a step and its rows: the rows `[B]`, and their inputs `[B, ...]`."""
        step, rows = asked
        numbers = (seed_for("crop", self.seed, step, place) for place in range(len(rows)))
        crops = [self.inputs.crop(self.inputs[row], number) for row, number in zip(rows, numbers)]
        return torch.tensor(rows), torch.from_numpy(np.stack(crops))


class Wholes(Dataset):
    """Whole clips; what a reader process runs."""

    def __init__(self, inputs: Inputs) -> None:
        self.inputs = inputs

    def __getitem__(self, row: int) -> Tensor:
        return torch.from_numpy(self.inputs[row])


def load(inputs: Inputs, runtime: Runtime, order: Iterable[list[int]], done: int, seed: int) -> DataLoader:
    """The batches of `order`, each its rows `[B]` and a window of each clip `[B, ...]`, read ahead by workers.

    Args:
        order: the rows of each step that is left.
        done: steps before these.
        seed: of the places of windows in longer clips.
    """
    return _loader(Crops(inputs, seed), runtime, enumerate(order, start=done))


def windows(inputs: Inputs, runtime: Runtime, batch_size: int) -> Iterator[tuple[np.ndarray, Tensor]]:
    """All windows of all clips, in order, in full batches but for the last: the clips' rows `[B]`, and `[B, ...]`.

    Memory holds a batch of windows, and the clips that are read.
    """
    rows: list[int] = []
    waiting: list[np.ndarray] = []
    for row, clip in enumerate(_loader(Wholes(inputs), runtime, range(len(inputs)))):
        for window in inputs.windows(clip.numpy()):
            rows.append(row)
            waiting.append(window)
            if len(waiting) == batch_size:
                yield np.array(rows), torch.from_numpy(np.stack(waiting))
                rows, waiting = [], []
    if waiting:
        yield np.array(rows), torch.from_numpy(np.stack(waiting))


def _loader(dataset: Dataset, runtime: Runtime, order: Iterable) -> DataLoader:
    """What a data set gives for each item of `order`, read ahead by `runtime.workers`."""
    return DataLoader(
        dataset,
        sampler=order,
        batch_size=None,  # the sampler's items are asked for one by one
        num_workers=runtime.workers,
        # A fork starts in milliseconds, a fresh process in seconds (it imports torch), ten times a training. It is safe
        # because readers run libsndfile, soxr and copies alone: nothing that waits for a thread left behind.
        multiprocessing_context="fork" if runtime.workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # keeps the loader from drawing on the global one
    )
