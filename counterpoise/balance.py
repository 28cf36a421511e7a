"""How many clips each class needs, and why."""

from collections.abc import Iterable, Mapping
from decimal import Decimal

import pandas as pd

from counterpoise import CounterpoiseError
from counterpoise.params import Aug
from counterpoise.runtime import seed_for


class BalanceError(CounterpoiseError):
    """A class that cannot be filled up."""


def plan(train_counts: Mapping[str, int], aug: Aug) -> pd.DataFrame:
    """Top every class up to the largest one, by no more than `factor` variations of each real clip.

    Args:
        train_counts: real training clips of each class.
        aug: `factor`, and `per_class` where a class has its own.

    Returns:
        One row a class, in the order given: label; real, the clips there are; target, the largest class's
        clips; wanted, what is missing to the target; synthetic, what will be made; factor; reason.
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
    return pd.DataFrame(rows, columns=["label", "real", "target", "wanted", "synthetic", "factor", "reason"])


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
