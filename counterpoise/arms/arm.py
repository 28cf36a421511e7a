"""What an arm is: a way of treating imbalance. Every other file of this folder holds one, under its own name.

An arm says which real clips train, which made clips are added to them, and how the loss and the batches are weighed.
All arms that add clips add the same number, shared out over a class's training clips in the same way, so that they
differ in nothing but what the added clips are. Where the class filter keeps the best, diffusion may have fewer.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from counterpoise.core import CounterpoiseError

if TYPE_CHECKING:  # an arm is read where nothing is trained, too
    import numpy as np
    import pandas as pd
    from torch import Tensor

Kind = Literal["classic", "roundtrip", "background", "diffusion"]  # of made clips
DECODED = ("roundtrip", "diffusion")  # kinds that a codec decoded

BASELINE = "none"  # the arm that all others are compared with


class ArmError(CounterpoiseError):
    """An arm that does not exist, or one whose clips were not made; the message says which, and what to run."""


class Material(Protocol):
    """What an arm draws from: :class:`counterpoise.splits.training_tables.Material`."""

    training: "pd.DataFrame"  # the catalogue's rows of all training clips

    def share_out(self, clip_ids: "Iterable[str]", amount: int) -> dict[str, int]:
        """How often each of these clips is taken, every one once before any twice."""

    def turns(self, clips: "pd.DataFrame") -> "np.ndarray":
        """The place of each clip when recordings give one clip a round: int `[clips]`."""


@dataclass(frozen=True)
class Arm:
    """One way of treating imbalance.

    Attributes:
        about: what it does, in a line.
        cheap: it needs no diffusion model. Arms with one are compared with the best cheap arm.
        real: which real clips train, rows of `material.training` in any order, as often as they stand there;
            None: every clip once.
        fills: the kinds of made clips that fill rare classes up, taking turns over a class and over each root.
        weighted: classes weigh in cross-entropy in inverse proportion to their clips; a `loss` is given no weights.
        mixup: batches are mixed in pairs.
        retrain_head: share of the steps, the last ones, in which the last layer alone learns: from new weights, on real
            clips, as many of one class as of another. 0 to below 1.
        steps: how many training steps, as a factor of `classifier.steps`. Arms that treat the imbalance leave it at 1,
            so that none of them has more training than another.
        loss: from log-probabilities `[B, classes]`, targets `[B]`, label smoothing `[B]` (0 to 1) and the clips of each
            class in the training table `[classes]`, float32, to a scalar; None: cross-entropy.
        balances: `loss` makes all classes count the same, however many clips of each there are.
    """

    about: str
    cheap: bool
    real: "Callable[[Material], pd.DataFrame] | None" = None
    fills: tuple[Kind, ...] = ()
    weighted: bool = False
    mixup: bool = False
    retrain_head: float = 0.0
    steps: float = 1.0
    loss: "Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] | None" = None
    balances: bool = False

    @property
    def decoded(self) -> bool:
        """Whether it adds clips that a codec decoded; then `aug.real_through_codec` holds for its real clips."""
        return any(kind in DECODED for kind in self.fills)

    def prior(self, clips: "Mapping[str, int]") -> dict[str, float]:
        """The class frequencies that training by this arm lets a classifier expect, from its table's clips."""
        if self.weighted or self.balances or self.retrain_head:
            return dict.fromkeys(clips, 1 / len(clips))
        return {label: amount / sum(clips.values()) for label, amount in clips.items()}


def names() -> list[str]:
    """The arms that there are, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]) if module.name != "arm")


def load(name: str) -> "Arm":
    """The arm that `counterpoise/arms/<name>.py` holds as `ARM`.

    Raises:
        ArmError: there is no such file; the message names those that there are.
    """
    if name not in names():
        raise ArmError(f"no arm is called {name!r}; set `arms` in params.yaml to some of {', '.join(names())}")
    return importlib.import_module(f"counterpoise.arms.{name}").ARM


def is_cheap(name: str) -> bool:
    """Whether an arm works without a diffusion model. One of an older version is told by its name."""
    return load(name).cheap if name in names() else not name.startswith("diffusion")
