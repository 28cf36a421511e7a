"""What a denoiser makes of clips on its way to the clean latent: its inner activations, as features of a classifier.

Xiang, Yang, Huang & Wang, "Denoising Diffusion Autoencoders are Unified Self-supervised Learners", ICCV 2023, section
3; Baranchuk, Rubachev, Voynov, Khrulkov & Babenko, "Label-Efficient Semantic Segmentation with Diffusion Models", ICLR
2022, section 3. As in both, a clip gets a little noise, passes the network once, and the decoder is listened to.
"""

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import torch
from torch import Tensor

from counterpoise.codecs.latents import Normaliser, Shelf, batches, lengthened
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, autocast, seed_for
from counterpoise.diffusion import edm
from counterpoise.diffusion.networks import Denoiser
from counterpoise.diffusion_classifier.settings import DiffusionClassifier

SAVE_EVERY = 16  # batches; what is saved grows with the clips


@torch.inference_mode()
def measure(
    network: Denoiser,
    normaliser: Normaliser,
    clip_ids: Sequence[str],
    shelf: Shelf,
    settings: DiffusionClassifier,
    runtime: Runtime,
    device: torch.device,
    checkpoint: Checkpoint,
) -> np.ndarray:
    """Read a denoiser's activations at the noise level `settings.feature_sigma`, with one draw of noise for each clip.

    The blocks are `mid_block` and all of `up_blocks`, in the order in which they run. They have the same names in
    `UNet2DModel`, which a mel's denoiser is, and in `UNet1DModel`, which EnCodec's is. Of each channel of a block's
    output come the mean, the standard deviation and the maximum over the clip's own positions: over time and, in 2-D,
    over frequency. A position counts if it has a frame of the clip; the others are padding.

    Memory holds a batch of clips, and the features. A clip's features do not depend on the others, beyond float
    rounding.

    Args:
        network: without a label: see :func:`counterpoise.diffusion.networks.generalise`.
        normaliser: of the latents that it knows.
        clip_ids: N clips.
        shelf: their latents.
        settings: the noise level, its seed, and how many clips pass together.
        checkpoint: unfinished work is kept here, and continued from.

    Returns:
        float32 `[N, F]`: for each block all means, then all standard deviations, then all maxima of its channels.

    Raises:
        ValueError: `settings.feature_sigma` is None.
    """
    level = settings.feature_sigma
    if level is None:
        raise ValueError("feature_sigma is null: there is no noise level to read features at")
    lengths = [shelf.frames(clip_id) for clip_id in clip_ids]
    order = batches(lengths, network.frame_multiple, settings.batch_size)
    found: list[Tensor] = []  # of each batch
    if state := checkpoint.load():
        found = state["features"]

    bar = progress(initial=sum(map(len, found)), total=len(clip_ids), desc="features", unit="clip")
    for rows in order[len(found) :]:
        latents = [shelf[clip_ids[row]] for row in rows]
        clean = normaliser(lengthened(latents, network.frame_multiple, network.shortest))
        noise = torch.stack([_noise(clean.shape[1:], settings.seed, clip_ids[row]) for row in rows])
        noisy, sigma = clean + level * noise, torch.full((len(rows),), level)
        scaled, c_noise = edm.network_input(noisy.to(device), sigma.to(device), normaliser.sigma_data)
        with autocast(runtime, device, amx=True):
            outputs = _outputs(network, scaled, c_noise)
        own = [[_own(output[at], lengths[row], clean.shape[2]) for output in outputs] for at, row in enumerate(rows)]
        found.append(torch.stack([_statistics(activations) for activations in own]).cpu())
        bar.update(len(rows))
        if len(found) % SAVE_EVERY == 0:
            checkpoint.save({"features": found})
    bar.close()
    features = torch.cat(found)
    return features[np.argsort(np.concatenate(order))].numpy()


def _outputs(network: Denoiser, scaled: Tensor, c_noise: Tensor) -> list[Tensor]:
    """What the blocks put out, each `[B, C, T]` or `[B, C, bands, T]`, with a T of its own."""
    found: list[Tensor] = []
    with ExitStack() as hooks:
        for block in (network.unet.mid_block, *network.unet.up_blocks):
            hooks.enter_context(block.register_forward_hook(lambda block, given, output: found.append(output)))
        network(scaled, c_noise)
    return found


def _own(output: Tensor, length: int, padded: int) -> Tensor:
    """The positions `[C, ...]` of a block's output `[C, ..., T]` that have one of the first `length` frames."""
    return output[..., : -(-length * output.shape[-1] // padded)].flatten(1).float()


def _statistics(activations: Sequence[Tensor]) -> Tensor:
    """The features `[F]` of one clip, whose activations are `[C, positions]` for each block."""
    return torch.cat([s for a in activations for s in (a.mean(dim=1), a.std(dim=1, correction=0), a.amax(dim=1))])


def _noise(shape: Sequence[int], seed: int, clip_id: str) -> Tensor:
    """Standard normal noise that depends on the clip alone."""
    generator = torch.Generator().manual_seed(seed_for("denoiser features", seed, clip_id))
    return torch.randn(tuple(shape), generator=generator)
