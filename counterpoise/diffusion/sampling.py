"""Sample variations: noise a latent, then follow the probability-flow ODE back with a diffusers scheduler."""

from collections.abc import Sequence
from pathlib import Path

import torch
from diffusers import EDMEulerScheduler
from torch import Tensor

from counterpoise.diffusion.networks import LatentUNet1D, MelUNet
from counterpoise.latents import Normaliser, reflect
from counterpoise.params import Generate, Runtime
from counterpoise.runtime import autocast

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0  # noise that cannot be heard; noise that drowns everything (EDM, Table 1)


def scheduler(sigma_data: float) -> EDMEulerScheduler:
    """The noise schedule that belongs to a model; its config is saved beside the network."""
    return EDMEulerScheduler(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=sigma_data)


def load_scheduler(folder: Path, params: Generate) -> EDMEulerScheduler:
    """The saved schedule, from the noise that a variation starts with down to none."""
    sigma = start_sigma(params)
    # Noise must fall: a strength near or below SIGMA_MIN brings its own end of the schedule.
    return EDMEulerScheduler.from_pretrained(folder, sigma_min=min(SIGMA_MIN, sigma / 2), sigma_max=sigma)


def start_sigma(params: Generate) -> float:
    """Standard deviation of the first noise: the strength, or, without a source, all there is."""
    return params.strength if params.start == "own" else SIGMA_MAX


def batches(frames: Sequence[int], multiple: int, size: int) -> list[list[int]]:
    """Group clips for sampling: those of one length, rounded up to `multiple` frames, share batches.

    Args:
        frames: length of each clip.
        multiple: the network's `frame_multiple`.
        size: clips in a batch, at most.

    Returns:
        Indices into `frames`, each once.
    """
    groups: dict[int, list[int]] = {}
    for index, length in enumerate(frames):
        groups.setdefault(-(-length // multiple), []).append(index)
    return [group[i : i + size] for _, group in sorted(groups.items()) for i in range(0, len(group), size)]


@torch.inference_mode()
def vary(
    network: MelUNet | LatentUNet1D,
    normaliser: Normaliser,
    schedule: EDMEulerScheduler,
    sources: Sequence[Tensor],
    seeds: Sequence[int],
    params: Generate,
    runtime: Runtime,
    device: torch.device,
) -> Tensor:
    """Make one variation of each source of a batch from :func:`batches`.

    Each clip's noise comes from its own seed, so neither the order nor the size of batches changes what a clip becomes,
    beyond float rounding.

    Args:
        sources: latents `[C, T_i]` in the codec's scale; with `start: noise` only their lengths are used.
        seeds: one per source.

    Returns:
        `[B, C, T]` in the codec's scale, T the common length rounded up to the network's multiple.
    """
    multiple = network.frame_multiple
    frames = -(-max(source.shape[1] for source in sources) // multiple) * multiple
    x = torch.stack([
        _start(source, frames, normaliser, seed, params.start, schedule.config.sigma_max)
        for source, seed in zip(sources, seeds)
    ])
    x = _denoise(network, schedule, x.to(device), params.steps, runtime, device)
    return normaliser.inverse(x.cpu())


def _start(source: Tensor, frames: int, normaliser: Normaliser, seed: int, start: str, sigma: float) -> Tensor:
    """The noised latent `[C, frames]` from which the ODE starts."""
    noise = torch.randn(source.shape[0], frames, generator=torch.Generator().manual_seed(seed))
    clean = normaliser(reflect(source, frames)) if start == "own" else torch.zeros_like(noise)
    return clean + sigma * noise


def _denoise(
    network: MelUNet | LatentUNet1D,
    schedule: EDMEulerScheduler,
    x: Tensor,
    steps: int,
    runtime: Runtime,
    device: torch.device,
) -> Tensor:
    schedule.set_timesteps(steps)
    for c_noise in schedule.timesteps:
        scaled = schedule.scale_model_input(x, c_noise)
        with autocast(runtime, device, amx=True):
            output = network(scaled, c_noise.expand(len(x)).to(device))
        x = schedule.step(output.float(), c_noise, x).prev_sample
    return x
