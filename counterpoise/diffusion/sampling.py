"""Sample variations by SDEdit: noise a latent, then follow the probability-flow ODE back with a diffusers scheduler."""

from collections.abc import Sequence
from typing import TypeAlias

import torch
from diffusers import EDMDPMSolverMultistepScheduler, EDMEulerScheduler
from torch import Tensor, nn

from counterpoise.codecs.latents import Normaliser, lengthened
from counterpoise.core.runtime import Runtime, autocast, compiled
from counterpoise.diffusion.networks import Denoiser
from counterpoise.diffusion.settings import SIGMA_MAX, SIGMA_MIN

Schedule: TypeAlias = "EDMEulerScheduler | EDMDPMSolverMultistepScheduler"


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
        self.frame_multiple, self.shortest = strong.frame_multiple, strong.shortest

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """F(x; c_noise), as the networks that it is made of."""
        weak = self.weak(x, c_noise)
        return weak + self.guidance * (self.strong(x, c_noise) - weak)


def guided(strong: Denoiser, weak: Denoiser | None, guidance: float) -> Denoiser | Guided:
    """The network to sample with; with a guidance of 1, or without a weaker version, the network itself."""
    return strong if weak is None or guidance == 1 else Guided(strong, weak, guidance)


@torch.inference_mode()
def sdedit(
    network: Denoiser | Guided,
    normaliser: Normaliser,
    sources: Sequence[Tensor],
    strength: float,
    seeds: Sequence[int],
    solver: str,
    steps: int,
    runtime: Runtime,
    device: torch.device,
    from_noise: bool = False,
) -> Tensor:
    """Make one variation of each source of a batch: put noise on it, then follow the ODE back to a clean latent.

    This is SDEdit: Meng, He, Song, Song, Wu, Zhu & Ermon, "SDEdit: Guided Image Synthesis and Editing with Stochastic
    Differential Equations", ICLR 2022, section 3; with EDM's deterministic samplers in place of the SDE.

    Each clip's noise comes from its own seed, so neither the order nor the size of batches changes what a clip becomes,
    beyond float rounding.

    Args:
        network: from :func:`guided`.
        sources: latents `[C, T_i]` in the codec's scale, from `codecs.latents.batches`.
        strength: sigma of the noise that is put on the normalised latents.
        seeds: one per source.
        solver: euler | heun (EDM, Algorithm 1) | dpmpp_2m (Lu et al. 2022, DPM-Solver++, multistep of order 2).
        steps: of the solver.
        from_noise: of the sources only their lengths are used.

    Returns:
        `[B, C, T]` in the codec's scale, T the common length rounded up to the network's multiple.
    """
    clean = normaliser(lengthened(sources, network.frame_multiple, network.shortest))
    noise = [torch.randn(clean.shape[1:], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    x = (torch.zeros_like(clean) if from_noise else clean) + strength * torch.stack(noise)
    levels = schedule(normaliser.sigma_data, solver, strength)
    levels.set_timesteps(steps)
    follow = _heun if solver == "heun" else _multistep
    fast = compiled(network, runtime, device)
    return normaliser.inverse(follow(fast, levels, x.to(device), runtime, device).cpu())


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
