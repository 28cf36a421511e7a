"""Which variations a class gets, from which clips each starts, with what seed and how much noise.

No network is needed for that, and none is imported.
"""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.core import tables
from counterpoise.core.runtime import seed_for
from counterpoise.diffusion.settings import SIGMA_MAX
from counterpoise.generation.settings import Generate
from counterpoise.splits import balance

LEVELS = 4  # strengths that a range has, evenly spaced on a logarithmic scale: clips of one strength share batches


def share_out(training: pd.DataFrame, label: str, amount: int, generate: Generate) -> dict[str, int]:
    """How many variations start from which clip: every clip once before any clip twice.

    Args:
        training: the catalogue's training clips of all classes.
        label: the class that is filled up; with `start: cross` its variations start from the clips of all others.
        amount: variations of the class.

    Returns:
        Clip id to number of variations, in an order that depends on the seed and on nothing else.
    """
    crossed = generate.start == "cross"
    starts = training.clip_id[(training.label != label) if crossed else (training.label == label)]
    parts = (generate.seed, label) if crossed else (generate.seed,)
    return balance.share_out(starts, amount, *parts)


def candidates(shares: dict[str, int], generate: Generate) -> dict[str, int]:
    """How many are made of each root: `generate.candidates` times as many in all, so that the filter can choose."""
    if generate.keep == "all":
        return shares
    amounts, made, wanted = {}, 0, 0
    for root, share in shares.items():
        wanted += share
        amounts[root] = max(share, math.ceil(wanted * generate.candidates - 1e-9) - made)
        made += amounts[root]
    return amounts


def plan(
    training: pd.DataFrame, label: str, amount: int, generate: Generate, folder: Path, model: Path
) -> pd.DataFrame:
    """The variations to make of one class; with `keep: best` more than are wanted.

    Args:
        training: the catalogue's training clips of all classes.
        amount: variations that are wanted.
        folder: where they will lie.
        model: of the class.

    Returns:
        Rows of `tables.PLANNED`, in the order of :func:`lineage`. A root's first ones are wanted, the others are spare.
    """
    wanted = share_out(training, label, amount, generate)
    rows = lineage(training, label, candidates(wanted, generate), generate, folder, model)
    number = rows.groupby("root_clip_id").cumcount()
    return rows.assign(spare=(number >= rows.root_clip_id.map(wanted)).astype(bool)).astype(tables.PLANNED)


def lineage(
    training: pd.DataFrame, label: str, amounts: dict[str, int], generate: Generate, folder: Path, model: Path
) -> pd.DataFrame:
    """Everything about each variation that is to be made.

    Args:
        training: the catalogue's training clips of all classes.
        amounts: root's clip id to number of variations.
        folder: where the variations will lie.
        model: of the class.

    Returns:
        Rows of `tables.LINEAGE`: every root's first variation, then every root's second, and so on.
    """
    parents = training.set_index("clip_id")
    own = sorted(training.clip_id[training.label == label])
    rows = []
    for number in range(max(amounts.values(), default=0)):
        for root, amount in amounts.items():
            if number >= amount:
                continue
            crossed = generate.start == "cross"  # many classes may start from one clip
            clip_id = f"{root}_{label}{number}" if crossed else f"{root}_v{number}"
            seed = seed_for(generate.seed, root, number, *([label] if crossed else []))
            partners = [clip for clip in own if clip != root] if generate.start == "blend" else []
            rows.append(
                {
                    "clip_id": clip_id,
                    "path": (folder / f"{clip_id}.flac").as_posix(),
                    "label": label,
                    "start": generate.start,
                    "root_clip_id": root,
                    "other_clip_id": partners[seed_for("partner", seed) % len(partners)] if partners else "",
                    "source_id": parents.source_id[root],
                    "fold": parents.fold[root],
                    "seed": seed,
                    "strength": start_sigma(generate, seed),
                    "model": model.as_posix(),
                }
            )
    return tables.table(rows, tables.LINEAGE)


def start_sigma(generate: Generate, seed: int) -> float:
    """Standard deviation of one clip's first noise: the strength, drawn where it is a range, or all there is."""
    if generate.start == "noise":
        return SIGMA_MAX
    if isinstance(generate.strength, float):
        return generate.strength
    levels = np.geomspace(*generate.strength, LEVELS)
    return float(levels[seed_for("strength", seed) % LEVELS])
