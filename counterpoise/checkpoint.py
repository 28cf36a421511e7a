"""Unfinished work, kept under a key of everything that determines its result."""

import hashlib
import json
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import torch

from counterpoise import CounterpoiseError


class CheckpointError(CounterpoiseError):
    """A file of unfinished work that cannot be read."""


def key(**determinants: Any) -> str:
    """A name for a computation: other parameters, data or code give another name.

    Args:
        determinants: plain values (parameters, hashes of files). The source of the running script, and of every
            module of this package that is loaded now, is added, so an edit never continues what older code began.
    """
    package = __name__.partition(".")[0]
    modules = sorted(name for name in sys.modules if name.partition(".")[0] in (package, "__main__"))
    digest = hashlib.sha256(json.dumps(determinants, sort_keys=True, default=str).encode())
    for name in modules:
        if source := getattr(sys.modules[name], "__file__", None):
            digest.update(name.encode() + Path(source).read_bytes())
    return digest.hexdigest()[:32]


class Checkpoint:
    """The state of one unfinished computation, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None. Only tensors and plain values are read, never code.

        Raises:
            CheckpointError: the file is damaged, or holds something else.
        """
        if not self.path.exists():
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be read ({error}): delete it, then run `dvc repro`") from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state in one step: a crash leaves the old file or the new one, never half of one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        torch.save(state, partial)
        os.replace(partial, self.path)
