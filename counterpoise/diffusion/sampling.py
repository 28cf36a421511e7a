"""Sample variations: noise a latent, then follow the probability-flow ODE back with a diffusers scheduler."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import Tensor, nn

from counterpoise.diffusion.networks import Denoiser
from counterpoise.latents import Normaliser, reflect
from counterpoise.params import Generate, Runtime
from counterpoise.runtime import autocast, compiled, seed_for

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0  # noise that cannot be heard; noise that drowns everything (EDM, Table 1)
LEVELS = 4  # strengths that a range has, evenly spaced on a logarithmic scale: clips of one strength share batches
BLEND = (0.35, 0.65)  # share of the root in a blend

Schedule = EDMEulerScheduler | EDMDPMSolverMultistepScheduler


def scheduler(sigma_data: float) -> EDMEulerScheduler:
    """The noise schedule that belongs to a model; its config is saved beside the network."""
    return EDMEulerScheduler(sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=sigma_data)


def schedule(sigma_data: float, solver: str, strength: float) -> Schedule:
    """The noise levels from that which a variation starts with down to none.

    Args:
        sigma_data: RMS of the normalised latents.
        solver: euler | heun (EDM, Algorithm 1) | dpmpp_2m (Lu et al. 2022, DPM-Solver++, multistep of order 2).
        strength: sigma of the first noise.
    """
    kind = EDMDPMSolverMultistepScheduler if solver == "dpmpp_2m" else EDMEulerScheduler
    # Noise must fall: a strength near or below SIGMA_MIN brings its own end of the schedule.
    return kind(sigma_min=min(SIGMA_MIN, strength / 2), sigma_max=strength, sigma_data=sigma_data)


class Guided(nn.Module):
    """A network pushed away from a weaker version of itself, so that it leaves their common mistakes behind.

    D = D_weak + guidance (D_strong - D_weak): Karras et al. 2024, "Guiding a Diffusion Model with a Bad Version of
    Itself", equation 3. Both share c_skip and c_out, so the same holds for their raw outputs.
    """

    def __init__(self, strong: Denoiser, weak: Denoiser, guidance: float) -> None:
        super().__init__()
        self.strong, self.weak, self.guidance = strong, weak, guidance
        self.frame_multiple = strong.frame_multiple

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """F(x; c_noise), as the networks that it is made of."""
        weak = self.weak(x, c_noise)
        return weak + self.guidance * (self.strong(x, c_noise) - weak)


def guided(strong: Denoiser, weak: Denoiser | None, guidance: float) -> Denoiser | Guided:
    """The network to sample with; with a guidance of 1, or without a weaker version, the network itself."""
    return strong if weak is None or guidance == 1 else Guided(strong, weak, guidance)


def start_sigma(params: Generate, seed: int) -> float:
    """Standard deviation of one clip's first noise: the strength, drawn where it is a range, or all there is."""
    if params.start == "noise":
        return SIGMA_MAX
    if isinstance(params.strength, float):
        return params.strength
    levels = np.geomspace(*params.strength, LEVELS)
    return float(levels[seed_for("strength", seed) % LEVELS])


def blend(root: Tensor, other: Tensor, seed: int) -> Tensor:
    """A weighted mean of two latents, `[C, T]` and `[C, U]` to `[C, T]`, in the proportion that the seed gives."""
    share = BLEND[0] + (BLEND[1] - BLEND[0]) * seed_for("blend", seed) / 2**63
    return share * root + (1 - share) * reflect(other, root.shape[1])


def batches(frames: Sequence[int], sigmas: Sequence[float], multiple: int, size: int) -> list[list[int]]:
    """Group clips for sampling: those of one strength and one length, rounded up to `multiple` frames, share batches.

    Args:
        frames: length of each clip.
        sigmas: strength of each clip.
        multiple: the network's `frame_multiple`.
        size: clips in a batch, at most.

    Returns:
        Indices into `frames`, each once.
    """
    groups: dict[tuple[float, int], list[int]] = {}
    for index, (length, sigma) in enumerate(zip(frames, sigmas, strict=True)):
        groups.setdefault((sigma, -(-length // multiple)), []).append(index)
    return [group[i : i + size] for _, group in sorted(groups.items()) for i in range(0, len(group), size)]


@torch.inference_mode()
def vary(
    network: Denoiser | Guided,
    normaliser: Normaliser,
    schedule: Schedule,
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
        network: from :func:`guided`.
        schedule: from :func:`schedule`, with the strength of these clips.
        sources: latents `[C, T_i]` in the codec's scale; with `start: noise` only their lengths are used.
        seeds: one per source.
        params: kind of start, solver, number of steps.

    Returns:
        `[B, C, T]` in the codec's scale, T the common length rounded up to the network's multiple.
    """
    multiple = network.frame_multiple
    frames = -(-max(source.shape[1] for source in sources) // multiple) * multiple
    x = torch.stack([
        _start(source, frames, normaliser, seed, params.start, schedule.config.sigma_max)
        for source, seed in zip(sources, seeds)
    ])
    schedule.set_timesteps(params.steps)
    follow = _heun if params.solver == "heun" else _multistep
    network = compiled(network, runtime, device)
    return normaliser.inverse(follow(network, schedule, x.to(device), runtime, device).cpu())


def _start(source: Tensor, frames: int, normaliser: Normaliser, seed: int, start: str, sigma: float) -> Tensor:
    """The noised latent `[C, frames]` from which the ODE starts."""
    noise = torch.randn(source.shape[0], frames, generator=torch.Generator().manual_seed(seed))
    clean = torch.zeros_like(noise) if start == "noise" else normaliser(reflect(source, frames))
    return clean + sigma * noise


def _multistep(network: nn.Module, schedule: Schedule, x: Tensor, runtime: Runtime, device: torch.device) -> Tensor:
    for c_noise in schedule.timesteps:
        output = _output(network, schedule.scale_model_input(x, c_noise), c_noise, runtime, device)
        x = schedule.step(output, c_noise, x).prev_sample
    return x


def _heun(network: nn.Module, schedule: Schedule, x: Tensor, runtime: Runtime, device: torch.device) -> Tensor:
    """EDM, Algorithm 1 without churn: two evaluations a step, one in the last. diffusers has it for no EDM schedule."""

    def slope(x: Tensor, step: int) -> Tensor:
        sigma = schedule.sigmas[step]
        scaled = schedule.precondition_inputs(x, sigma)
        output = _output(network, scaled, schedule.timesteps[step], runtime, device)
        return (x - schedule.precondition_outputs(x, output, sigma)) / sigma

    last = len(schedule.timesteps) - 1
    for step in range(last + 1):
        change = schedule.sigmas[step + 1] - schedule.sigmas[step]
        first = slope(x, step)
        second = first if step == last else slope(x + change * first, step + 1)
        x = x + change * (first + second) / 2
    return x


def _output(network: nn.Module, scaled: Tensor, c_noise: Tensor, runtime: Runtime, device: torch.device) -> Tensor:
    with autocast(runtime, device, amx=True):
        return network(scaled, c_noise.expand(len(scaled)).to(device)).float()
