"""How many clips each class needs, and why."""

from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Annotated

import pandas as pd
from pydantic import Field, PositiveFloat

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.runtime import seed_for
from counterpoise.core.settings import Fraction, Section, Slug


class Aug(Section):
    """How many clips are added: the section `aug` of params.yaml."""

    factor: Annotated[float, Field(ge=0)]  # synthetic clips per original, at most
    per_class: dict[Slug, Annotated[float, Field(ge=0)]]
    warn_above: PositiveFloat  # a class with more variations of each real clip than this brings a warning
    # share of the real clips, of every class, that go through the codec in arms with decoded variations: then the
    # codec's traces tell nothing of the class
    real_through_codec: Fraction


class BalanceError(CounterpoiseError):
    """A class that cannot be filled up."""


def plan(train_counts: Mapping[str, int], aug: Aug, scarce: Collection[str] = ()) -> pd.DataFrame:
    """Top every class up to the largest one, by no more than `factor` variations of each real clip.

    Args:
        train_counts: real training clips of each class.
        aug: `factor`, and `per_class` where a class has its own.
        scarce: `data.scarce.classes`, see :func:`rare_classes`.

    Returns:
        Rows of `tables.BALANCE`, one a class, in the order given.
    """
    target = max(train_counts.values(), default=0)
    rows = []
    for label, real in train_counts.items():
        factor = aug.per_class.get(label, aug.factor)
        wanted = target - real
        bound = Decimal(str(factor)) * real  # decimal: 0.29 of 100 clips is 29, in binary it would be 28.99…
        synthetic = int(min(wanted, bound))
        if wanted == 0:
            reason = "largest class"
        elif synthetic == wanted:
            reason = "reaches the largest class"
        else:
            key = f"aug.per_class.{label}" if label in aug.per_class else "aug.factor"
            reason = f"bounded by {key} {factor:g} at {synthetic} of {wanted} missing"
        rows.append((label, real, target, wanted, synthetic, factor, reason))
    table = pd.DataFrame(rows, columns=["label", "real", "target", "wanted", "synthetic", "factor", "reason"])
    return table.assign(rare=table.label.isin(rare_classes(train_counts, scarce))).astype(tables.BALANCE)


def rare_classes(train_counts: Mapping[str, int], scarce: Collection[str] = ()) -> list[str]:
    """The labels that were made scarce on purpose, else those with fewer than half of the largest class's clips.

    Args:
        train_counts: the real training clips of each label; the answer keeps its order.
        scarce: `data.scarce.classes`: they stay the same at every limit, so that a curve over limits compares like.
    """
    largest = max(train_counts.values(), default=0)
    return [label for label, clips in train_counts.items() if (label in scarce if scarce else clips < largest / 2)]


def summary(plan: pd.DataFrame) -> list[str]:
    """A line a class: how many real clips it has, how many are added to it, and why."""
    return [f"{row.label}: {row.real} real clips, {row.synthetic} to add ({row.reason})" for row in plan.itertuples()]


def warnings(plan: pd.DataFrame, warn_above: float) -> list[str]:
    """A line for each class that :func:`plan` gives more than `warn_above` added clips for every real one."""
    return [
        f"{row.label}: {row.synthetic} added clips on {row.real} real ones, {row.synthetic / row.real:.3g} for each, "
        f"more than aug.warn_above ({warn_above:g}): what is learned of it rests on variations of few sounds; add "
        "recordings, or lower aug.factor"
        for row in plan.itertuples()
        if row.synthetic > warn_above * row.real
    ]


def per_root(clip_ids: list[str], n: int) -> list[tuple[str, int]]:
    """Which clip each of `n` variations starts from: every clip once, then every clip again.

    Args:
        clip_ids: a class's training clips; their order decides who has one more where `n` does not divide.
        n: variations to make. A larger `n` adds to the list and changes nothing in it.

    Returns:
        (root's clip id, number of the variation among its root's, from 0), in the order of making.

    Raises:
        BalanceError: variations are wanted, but there is no clip to start from.
    """
    if n > 0 and not clip_ids:
        raise BalanceError(f"{n} variations are wanted of a class that has no training clip; add recordings of it")
    return [(clip_ids[i % len(clip_ids)], i // len(clip_ids)) for i in range(n)]


def share_out(clip_ids: Iterable[str], n: int, *seeds: object) -> dict[str, int]:
    """How many of `n` added clips start from which clip: every clip once before any clip twice.

    Args:
        clip_ids: the clips that may be started from, in any order.
        n: clips to add. A larger `n` only adds to the shares.
        seeds: decide who comes first; the same seeds give the same order, whatever is added.

    Returns:
        Clip id to share, in the order of making, without the clips that no added clip starts from.

    Raises:
        BalanceError: as :func:`per_root`.
    """
    order = sorted(clip_ids, key=lambda clip_id: seed_for(*seeds, clip_id))
    shares: dict[str, int] = {}
    for root, number in per_root(order, n):
        shares[root] = number + 1
    return shares
