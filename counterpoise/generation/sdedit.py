"""Which variations a class gets, from which clips each starts, with what seed and how much noise; and their making."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from counterpoise.augment import effects
from counterpoise.augment.latents import augmented
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Shelf, batches, reflect
from counterpoise.core import tables
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, seed_for
from counterpoise.diffusion import sampling
from counterpoise.diffusion.model import Model
from counterpoise.generation.settings import Generate
from counterpoise.splits import balance

LEVELS = 4  # strengths that a range has, evenly spaced on a logarithmic scale: clips of one strength share batches
BLEND = (0.35, 0.65)  # share of the root in a blend


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


def make(
    model: Model,
    lineage: pd.DataFrame,
    shelf: Shelf,
    codec: Codec,
    generate: Generate,
    runtime: Runtime,
    device: torch.device,
    finished: Callable[[Sequence[str]], bool] = lambda clip_ids: False,
) -> Iterator[tuple[str, np.ndarray]]:
    """Sample variations and decode them, a batch in memory at a time.

    Args:
        lineage: rows of `tables.LINEAGE`, from :func:`lineage`.
        shelf: holds every clip that a variation starts from.
        finished: whether a batch of these ids is already there and need not be made again. Batches do not depend on
            it, so that a resumed run gives the same bits.

    Yields:
        The id of a variation and its wave `[channels, samples]` at the codec's rate, as many frames as its root has;
        batch by batch, not in the order of the lineage.
    """
    network = sampling.guided(model.network, model.weak, generate.guidance)
    network.to(memory_format=torch.channels_last)  # measured a fifth faster on CPUs; training is slower by as much
    frames = [shelf.frames(root) for root in lineage.root_clip_id]
    grouped = batches(frames, network.frame_multiple, generate.batch_size, lineage.strength.tolist())
    for batch in progress(grouped, desc="variations", unit="batch"):
        rows = lineage.iloc[batch]
        if finished(rows.clip_id.tolist()):
            continue
        sources = [_source(shelf, codec, row) for row in rows.itertuples()]
        latents = sampling.sdedit(
            network,
            model.normaliser,
            sources,
            rows.strength.iloc[0],
            rows.seed.tolist(),
            generate.solver,
            generate.steps,
            runtime,
            device,
            from_noise=generate.start == "noise",
        )
        waves = codec.decode(latents).cpu().numpy()
        for row, wave, source in zip(rows.itertuples(), waves, sources, strict=True):
            wave = wave[:, : source.shape[1] * codec.hop]
            if generate.finish == "classic":
                wave = effects.augment(wave, codec.sample_rate, seed_for("finish", row.seed))
            yield row.clip_id, wave


def start_sigma(generate: Generate, seed: int) -> float:
    """Standard deviation of one clip's first noise: the strength, drawn where it is a range, or all there is."""
    if generate.start == "noise":
        return sampling.SIGMA_MAX
    if isinstance(generate.strength, float):
        return generate.strength
    levels = np.geomspace(*generate.strength, LEVELS)
    return float(levels[seed_for("strength", seed) % LEVELS])


def blend(root: Tensor, other: Tensor, seed: int) -> Tensor:
    """A weighted mean of two latents, `[C, T]` and `[C, U]` to `[C, T]`, in the proportion that the seed gives."""
    share = BLEND[0] + (BLEND[1] - BLEND[0]) * seed_for("blend", seed) / 2**63
    return share * root + (1 - share) * reflect(other, root.shape[1])


def _source(shelf: Shelf, codec: Codec, row: Any) -> Tensor:
    """The latent `[C, T]` that noise is put on, T the frames of the root."""
    root = shelf[row.root_clip_id]
    match row.start:
        case "blend" if row.other_clip_id:  # a class with a single clip has no other
            return blend(root, shelf[row.other_clip_id], row.seed)
        case "augmented":
            return augmented(root, codec, row.seed)
    return root
