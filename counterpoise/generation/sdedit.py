"""The making of variations: latents with noise on them, denoised by their class's model and decoded."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from counterpoise.augment import effects
from counterpoise.augment.latents import augmented
from counterpoise.codecs.codec import Codec
from counterpoise.codecs.latents import Shelf, batches, reflect
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, seed_for
from counterpoise.diffusion import sampling
from counterpoise.diffusion.model import Model
from counterpoise.generation.settings import Generate

BLEND = (0.35, 0.65)  # share of the root in a blend


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
        lineage: rows of `tables.LINEAGE`, from :func:`counterpoise.generation.planning.lineage`.
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
