"""Embeddings of clips by a network that does not change, kept on disk: many arms and seeds share one pass."""

import hashlib
import inspect
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core import audio as sound
from counterpoise.core import windows as places
from counterpoise.core.audio import Audio
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime
from counterpoise.core.windows import Windows

CHECKSUM_BYTES = 16


class EmbeddingsError(CounterpoiseError):
    """Embeddings that vanished while they were in use."""


class Kept(Sequence[np.ndarray]):
    """Embeddings `[W, P, D]`, float32, in a folder; each is read when it is asked for."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> np.ndarray:
        embedding = _read(self.files[row])
        if embedding is None:
            raise EmbeddingsError(f"{self.files[row]} was deleted or damaged while in use: run `dvc repro` again")
        return embedding


def embed_clips(
    network: Any, examples: pd.DataFrame, audio: Audio, runtime: Runtime, device: torch.device, cache: Path | None
) -> Sequence[np.ndarray]:
    """Every clip's embeddings by `network.embed_waves`, `[W, P, D]` float32 of W windows, in the table's order.

    Windows pass the network one by one, in float32, so that an embedding depends on no other clip. A file of the cache
    is named by the clip's content and by all else that its numbers depend on; one that is damaged is made again.
    Several processes may use the same cache at once, and it may be deleted whenever none does.

    Args:
        network: a classifier; it is only evaluated.
        examples: `tables.EXAMPLES`.
        audio: the form in which clips are read; the one that the network was built for.
        runtime: its threads, on which the last bits may depend.
        device: where to compute.
        cache: a folder, or None to keep the embeddings in memory.

    Raises:
        TableError: a clip is not what its `sha256` says.
        AudioError: a clip cannot be read.
    """
    was_training = network.training
    network.to(device).eval()
    if cache is None:
        embedded: Sequence[np.ndarray] = [_embed(network, path, audio, device) for path in _shown(examples.path)]
    else:
        embedded = _embed_into(cache / key(network, audio, runtime, device), network, examples, audio, device)
    network.train(was_training)
    return embedded


def _embed_into(folder: Path, network: Any, examples: pd.DataFrame, audio: Audio, device: torch.device) -> Kept:
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{digest}.npy" for digest in examples.sha256]
    lacking = np.array([_read(file) is None for file in files], dtype=bool)
    missing = examples[lacking].drop_duplicates("sha256")
    tables.check_contents(missing)
    for path, digest in zip(_shown(missing.path), missing.sha256):
        _write(folder / f"{digest}.npy", _embed(network, path, audio, device))
    return Kept(files)


def key(network: Any, audio: Audio, runtime: Runtime, device: torch.device) -> str:
    """A name for all that embeddings depend on beside the clip: weights but the head's, audio form, machine, code."""
    digest = hashlib.sha256(f"{audio!r} {runtime.threads} {device.type} {torch.__version__}".encode())
    rules = [Path(sound.__file__), Path(places.__file__), Path(inspect.getfile(type(network)))]
    code = [*sorted(Path(__file__).parent.glob("*.py")), *rules]
    for source in code:
        digest.update(source.read_bytes())
    for name, tensor in network.state_dict().items():
        if not name.startswith("head."):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _shown(paths: pd.Series) -> Iterable[str]:
    return progress(paths.tolist(), desc="embeddings", unit="clip", disable=paths.empty)


@torch.inference_mode()
def _embed(network: Any, path: str, audio: Audio, device: torch.device) -> np.ndarray:
    wave = sound.read(path, audio.sample_rate, audio.channels)
    windows = Windows.of(audio.seconds, audio.sample_rate).cut(wave)
    waves = (torch.from_numpy(window)[None].to(device) for window in windows)
    return np.concatenate([network.embed_waves(wave).float().cpu().numpy() for wave in waves])


def _write(file: Path, embedding: np.ndarray) -> None:
    """A .npy file with a checksum behind it, in one step."""
    content = io.BytesIO()
    np.save(content, embedding)
    partial = file.with_suffix(f".{os.getpid()}.partial")
    partial.write_bytes(content.getvalue() + _checksum(content.getvalue()))
    os.replace(partial, file)


def _read(file: Path) -> np.ndarray | None:
    """The array, or None where the file is missing or damaged."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    array, checksum = content[:-CHECKSUM_BYTES], content[-CHECKSUM_BYTES:]
    return np.load(io.BytesIO(array), allow_pickle=False) if checksum == _checksum(array) else None


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES).digest()
