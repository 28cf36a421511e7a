"""The state of unfinished work."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from counterpoise.core import CounterpoiseError


class CheckpointError(CounterpoiseError):
    """A file of unfinished work that cannot be read."""


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
