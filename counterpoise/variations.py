"""Which variations a class gets: from which clips each starts, with what seed and how much noise."""

import math
from pathlib import Path

import pandas as pd

from counterpoise import balance, catalog
from counterpoise.diffusion import sampling
from counterpoise.params import Generate
from counterpoise.runtime import seed_for


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
    order = sorted(starts, key=lambda clip_id: seed_for(*parts, clip_id))
    shares: dict[str, int] = {}
    for root, _ in balance.per_root(order, amount):
        shares[root] = shares.get(root, 0) + 1
    return shares


def candidates(shares: dict[str, int], generate: Generate) -> dict[str, int]:
    """How many are made of each root, so that the judge has a choice."""
    times = generate.candidates if generate.keep == "best" else 1
    return {root: math.ceil(share * times) for root, share in shares.items()}


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
        Rows of `catalog.LINEAGE`: every root's first variation, then every root's second, and so on.
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
            rows.append({
                "clip_id": clip_id,
                "path": (folder / f"{clip_id}.flac").as_posix(),
                "label": label,
                "start": generate.start,
                "root_clip_id": root,
                "other_clip_id": partners[seed_for("partner", seed) % len(partners)] if partners else "",
                "source_id": parents.source_id[root],
                "fold": parents.fold[root],
                "seed": seed,
                "strength": sampling.start_sigma(generate, seed),
                "model": model.as_posix(),
            })
    return catalog.table(rows, catalog.LINEAGE)
