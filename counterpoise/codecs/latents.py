"""The latents of one class: packed in one safetensors file, read row by row, normalised per channel."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from counterpoise.core import CounterpoiseError, unfinished

CLIP_COLUMNS = ["clip_id", "label", "source_id", "fold", "seconds", "frames"]


class LatentsError(CounterpoiseError):
    """A file of latents that cannot be used; the message says which and why."""


class Writer:
    """Writes latents `[N, C, T]` one clip at a time, so that memory holds a batch and never a class.

    The file is a plain safetensors file: tensor `latents` in float16, zero after each clip's own frames, and one
    metadata entry `clips`, a JSON list of rows. It appears under its name only when it is complete, with the checksum
    of :mod:`counterpoise.core.unfinished` beside it.

    Args:
        clips: one row per clip with :data:`CLIP_COLUMNS`, in the order in which latents will be added.
        channels: C.
    """

    def __init__(self, path: Path, clips: pd.DataFrame, channels: int) -> None:
        shape = [len(clips), channels, int(clips.frames.max())]
        size = 2 * math.prod(shape)
        header = {
            "__metadata__": {"clips": json.dumps(clips[CLIP_COLUMNS].to_dict("records"))},
            "latents": {"dtype": "F16", "shape": shape, "data_offsets": [0, size]},
        }
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        self._path, self._partial, self._frames = path, unfinished.partial_of(path), clips.frames.tolist()
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(self._partial, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.flush()
            _reserve(file.fileno(), 8 + len(text) + size)
        self._array = np.memmap(self._partial, np.float16, "r+", offset=8 + len(text), shape=tuple(shape))

    def put(self, row: int, latent: Tensor) -> None:
        """Store the latent `[C, >= frames]` of one clip, cut to its frames."""
        frames = self._frames[row]
        self._array[row, :, :frames] = latent[:, :frames].to(torch.float16).cpu().numpy()

    def close(self) -> None:
        """Complete the file."""
        self._array.flush()
        del self._array
        unfinished.complete(self._partial, self._path)


def _reserve(handle: int, size: int) -> None:
    """Give a file its size and its place on the disk: a mapped file on a full disk would end the process (SIGBUS)."""
    if hasattr(os, "posix_fallocate"):  # not on macOS
        os.posix_fallocate(handle, 0, size)
    else:
        os.ftruncate(handle, size)


class Packed:
    """A class's latents on disk; `packed[i]` reads one clip's `[C, frames]` as float32.

    Raises:
        LatentsError: the file is missing or is not what :class:`Writer` makes.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = safe_open(path, framework="pt")
            self.clips = pd.DataFrame(json.loads(self._file.metadata()["clips"]), columns=CLIP_COLUMNS)
            self._rows = self._file.get_slice("latents")
        except FileNotFoundError:
            raise LatentsError(f"{path} is missing: run `dvc repro encode`") from None
        except (SafetensorError, KeyError, TypeError) as error:
            raise LatentsError(f"{path} is no file of latents ({error}): delete it, `dvc repro encode`") from None
        self.channels = self._rows.get_shape()[1]

    def __len__(self) -> int:
        return len(self.clips)

    def rows(self, clip_ids: Iterable[str]) -> list[int]:
        """The rows of these clips, in the file's order."""
        return np.flatnonzero(self.clips.clip_id.isin(list(clip_ids))).tolist()

    def __getitem__(self, row: int) -> Tensor:
        return self._rows[row, :, : int(self.clips.frames.iloc[row])].float()


class Shelf:
    """Clips' latents by their ids, over the packed files of several classes: `shelf[clip_id]` is `[C, frames]`.

    Args:
        files: one or more; no clip id occurs twice.
    """

    def __init__(self, files: Sequence[Packed]) -> None:
        self._places = {clip_id: (packed, row) for packed in files for row, clip_id in enumerate(packed.clips.clip_id)}

    def __getitem__(self, clip_id: str) -> Tensor:
        packed, row = self._places[clip_id]
        return packed[row]

    def frames(self, clip_id: str) -> int:
        """The length of one clip's latent, which is not read for it."""
        packed, row = self._places[clip_id]
        return int(packed.clips.frames.iloc[row])

    def seconds(self, clip_id: str) -> float:
        """The length of one clip in seconds."""
        packed, row = self._places[clip_id]
        return float(packed.clips.seconds.iloc[row])


class Pool:
    """The training clips of one class or of several, and nothing of the others: `pool[i]` is clip i's `[C, frames]`.

    Args:
        parts: packed files, and the rows of each that may be read.
        classes: of each part; by default every part is a class of its own.
        unlabelled: the number, among the classes, that stands for clips without a label; None: all have one.
    """

    def __init__(
        self,
        parts: Sequence[tuple[Packed, Sequence[int]]],
        classes: Sequence[int] | None = None,
        unlabelled: int | None = None,
    ) -> None:
        self.unlabelled = unlabelled
        self.channels = parts[0][0].channels
        self._clips = [(packed, row) for packed, rows in parts for row in rows]
        classes = range(len(parts)) if classes is None else classes
        self.labels = [label for label, (_, rows) in zip(classes, parts, strict=True) for _ in rows]  # of each clip
        self.clip_ids = [packed.clips.clip_id.iloc[row] for packed, row in self._clips]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Tensor:
        packed, row = self._clips[index]
        return packed[row]


class Normaliser:
    """Per-channel mean and standard deviation of the training clips' latents.

    Raw latents are a hundred times too wide for a diffusion model (EnCodec's span about -40..40), and their
    channels differ in scale.

    Args:
        mean, std: `[C]`.
        sigma_data: RMS of the training latents after normalisation; EDM's sigma_data.
    """

    def __init__(self, mean: Tensor, std: Tensor, sigma_data: float) -> None:
        self.mean, self.std, self.sigma_data = mean, std, sigma_data

    @classmethod
    def fit(cls, pool: Pool) -> "Normaliser":
        """Measure a pool, one clip in memory at a time."""
        count = 0
        total, squares = (torch.zeros(pool.channels, dtype=torch.float64) for _ in range(2))
        for index in range(len(pool)):
            latent = pool[index].double()
            count += latent.shape[1]
            total += latent.sum(1)
            squares += latent.square().sum(1)
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        std = variance.sqrt()
        # A channel that hardly moves must not be blown up to unit noise.
        floored = std.clamp(min=max(0.05 * float(std.max()), 1e-6))
        sigma_data = float((variance / floored.square()).mean().sqrt())
        return cls(mean.float(), floored.float(), sigma_data)

    def __call__(self, latent: Tensor) -> Tensor:
        """`[..., C, T]` to zero mean and unit variance."""
        return (latent - self.mean[:, None]) / self.std[:, None]

    def inverse(self, latent: Tensor) -> Tensor:
        """`[..., C, T]` back to the codec's scale."""
        return latent * self.std[:, None] + self.mean[:, None]

    def save(self, path: Path) -> None:
        """Write the three values as safetensors."""
        save_file({"mean": self.mean, "std": self.std, "sigma_data": torch.tensor(self.sigma_data)}, path)

    @classmethod
    def load(cls, path: Path) -> "Normaliser":
        """Read what :meth:`save` wrote."""
        values = load_file(path)
        return cls(values["mean"], values["std"], float(values["sigma_data"]))


def reflect(latent: Tensor, frames: int) -> Tensor:
    """Lengthen `[C, T]` to `[C, frames]` by going back and forth, so that added frames still sound like the clip."""
    length = latent.shape[1]
    if length == 1:
        return latent.expand(-1, frames)
    period = 2 * (length - 1)
    index = torch.arange(frames) % period
    return latent[:, torch.minimum(index, period - index)]


def lengthened(latents: Sequence[Tensor], multiple: int, shortest: int = 0) -> Tensor:
    """Latents `[C, T_i]` side by side, `[B, C, T]`: each reflected until T, the next multiple of the longest's frames.

    T is no less than `shortest`. So neither the network's edge nor the decoder's is within a clip, and a clip's
    neighbours are not, either.
    """
    longest = max(shortest, *(latent.shape[1] for latent in latents))
    frames = -(-longest // multiple) * multiple
    return torch.stack([reflect(latent, frames) for latent in latents])


def batches(frames: Sequence[int], multiple: int, size: int, apart: Sequence[float] | None = None) -> list[list[int]]:
    """Group clips whose lengths are rounded up to the same multiple, so that no clip depends on its neighbours.

    Args:
        frames: length of each clip.
        multiple: of frames.
        size: clips in a batch, at most.
        apart: a number of each clip; those with different ones share no batch.

    Returns:
        Indices into `frames`, each once.
    """
    groups: dict[tuple[float, int], list[int]] = {}
    for index, length in enumerate(frames):
        key = (0.0 if apart is None else apart[index], -(-length // multiple))
        groups.setdefault(key, []).append(index)
    return [group[i : i + size] for _, group in sorted(groups.items()) for i in range(0, len(group), size)]
