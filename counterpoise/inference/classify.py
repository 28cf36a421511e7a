"""What a trained classifier says of sound files: batches of windows, whatever files they come from."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from counterpoise.classifiers.networks import io
from counterpoise.classifiers.networks.network import Network
from counterpoise.core.audio import Audio, AudioError
from counterpoise.inference.windows import Recording, Window
from counterpoise.release import folder as releases


@dataclass(frozen=True)
class Classifier:
    """A trained network that is ready to be asked.

    Attributes:
        labels: the K classes' slugs, in the order of its outputs.
        names: display name by slug; the slug itself where the folder has no `release.json`.
        threshold: confidence below which a sound may be none of the classes; None: not known.
    """

    network: Network
    audio: Audio
    labels: list[str]
    names: dict[str, str]
    threshold: float | None
    device: torch.device


class Source(NamedTuple):
    """A file to be heard."""

    name: str  # what people call it
    path: str


class _End(NamedTuple):
    name: str
    recording: Recording


class Failure(NamedTuple):
    """A file that could not be heard."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class Heard:
    """What a classifier says of a file with W windows.

    Attributes:
        name: of the source.
        sample_rate: the file's own, Hz.
        seconds: the file's length.
        broken: what is wrong with the file's end, or None.
        probabilities: float64 `[K]`, the mean over windows.
        starts, ends: `[W]`, s; empty where windows are not kept.
        windows: W times `[K]`, each window's probabilities; likewise.
    """

    name: str
    sample_rate: int
    seconds: float
    broken: str | None
    probabilities: np.ndarray
    starts: list[float]
    ends: list[float]
    windows: list[np.ndarray]


def load(folder: Path, device: torch.device) -> Classifier:
    """A release, or a folder of `models/classifier/<arm>-<model>/seed<n>`.

    Raises:
        ModelError: a file is missing or damaged.
        ReleaseError: `release.json` is damaged.
    """
    network, card = io.load(folder, device)
    about = releases.read(folder)
    names = {label: label for label in card.labels} if about is None else about.labels
    if list(names) != card.labels:
        raise releases.ReleaseError(
            f"{folder / releases.FILE} names the classes {', '.join(names)}, but config.json {', '.join(card.labels)}: "
            "run `dvc repro release`"
        )
    return Classifier(network, card.audio, card.labels, names, about.threshold if about else None, device)


def classify(
    classifier: Classifier,
    sources: Iterable[Source],
    hop: float,
    batch_size: int,
    keep_windows: bool,
    progress: Callable[[str, float], None] = lambda name, seconds: None,
) -> Iterator[Heard | Failure]:
    """Ask about files. What is said of one depends on no other, but for the rounding of sums in a batch.

    Memory holds a batch of windows and a block of one file, however long files are and however many; with
    `keep_windows` also the K probabilities of each window of the file that is heard.

    Args:
        hop: seconds between windows' starts, as in :class:`Recording`.
        batch_size: windows that pass the network at once.
        keep_windows: give what is said of each window, too.
        progress: told the file's name and the seconds of it that were read, after each window.

    Yields:
        One of the two for each source, in their order.

    Raises:
        ValueError: the hop is not allowed.
    """
    waiting: list[Window | _End | Failure] = []  # a file's windows, then its end
    waves: list[np.ndarray] = []
    totals = _Totals(len(classifier.labels), keep_windows)
    for source in sources:
        try:
            recording = Recording(source.path, classifier.audio, hop)
            for window in recording.windows():
                waiting.append(window._replace(wave=np.empty(0)))
                waves.append(window.wave)
                progress(source.name, window.end)
                if len(waves) == batch_size:
                    yield from totals.add(waiting, _ask(classifier, waves))
                    waiting, waves = [], []
        except AudioError as error:
            waiting.append(Failure(source.name, str(error)))
        else:
            waiting.append(_End(source.name, recording))
        if not waves:
            yield from totals.add(waiting, np.empty((0, len(classifier.labels))))
            waiting = []
    yield from totals.add(waiting, _ask(classifier, waves))


class _Totals:
    """Puts windows together to files, in their order."""

    def __init__(self, classes: int, keep: bool) -> None:
        self._classes, self._keep = classes, keep
        self._renew()

    def _renew(self) -> None:
        self._sum, self._count = np.zeros(self._classes), 0
        self._starts, self._ends, self._windows = [], [], []

    def add(self, waiting: list[Window | _End | Failure], said: np.ndarray) -> Iterator[Heard | Failure]:
        """The files that end here; the windows of one that fails count for nothing.

        Args:
            waiting: windows, and ends of files.
            said: the probabilities of those windows, `[W, K]`.
        """
        rows = iter(said)
        for item in waiting:
            if isinstance(item, Window):
                row = next(rows)
                self._sum += row
                self._count += 1
                if self._keep:
                    self._starts.append(item.start)
                    self._ends.append(item.end)
                    self._windows.append(row)
                continue
            yield self._heard(*item) if isinstance(item, _End) else item
            self._renew()

    def _heard(self, name: str, recording: Recording) -> Heard:
        mean, form = self._sum / self._count, (recording.sample_rate, recording.seconds, recording.broken)
        return Heard(name, *form, mean, self._starts, self._ends, self._windows)


@torch.inference_mode()
def _ask(classifier: Classifier, waves: list[np.ndarray]) -> np.ndarray:
    """Probabilities `[W, K]`, float64, of W waves; in float32 throughout, so that batches differ by rounding alone."""
    if not waves:
        return np.empty((0, len(classifier.labels)))
    batch = torch.from_numpy(np.stack(waves)).to(classifier.device)
    return classifier.network(batch).exp().double().cpu().numpy()
