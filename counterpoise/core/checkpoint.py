"""The state of unfinished work."""

import pickle
from pathlib import Path
from typing import Any

import torch

from counterpoise.core import CounterpoiseError, unfinished


class CheckpointError(CounterpoiseError):
    """A file of unfinished work that cannot be read."""


class Checkpoint:
    """The state of one unfinished computation, in a file with a checksum beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or None. Only tensors and plain values are read, never code.

        A file that does not match its checksum is deleted, which is said: torch itself would take flipped bits.

        Raises:
            CheckpointError: the file holds something else.
        """
        if not self.path.exists():
            return None
        if not unfinished.is_whole(self.path):
            unfinished.discard(self.path)
            print(f"{self.path} is damaged: what it held is computed again", flush=True)
            return None
        try:
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
            raise CheckpointError(f"{self.path} cannot be read ({error}): delete it, then run `dvc repro`") from None

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state in one step: a crash leaves the old file or the new one, never half of one."""
        with unfinished.keeping(self.path) as partial:
            torch.save(state, partial)
