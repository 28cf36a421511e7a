"""How well every class's denoiser explains every clip: the diffusion classifier's raw material.

Li, Prabhudesai, Duggal, Brown & Pathak, "Your Diffusion Model is Secretly a Zero-Shot Classifier", ICCV 2023, section
3.2; Clark & Jaini, "Text-to-Image Diffusion Models are Zero-Shot Classifiers", NeurIPS 2023. As in both, all classes
see the same noise, so that what a clip's noise does to the loss cancels between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from counterpoise.codecs.latents import Normaliser, Shelf, batches, lengthened
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, autocast, seed_for
from counterpoise.diffusion import edm
from counterpoise.diffusion_classifier.settings import DiffusionClassifier


@dataclass(frozen=True)
class Denoiser:
    """What explains one class.

    Attributes:
        network: F(c_in x, c_noise, label) of a batch: see :mod:`counterpoise.diffusion.edm`.
        number: the label that the network wants, or None.
        normaliser: of the latents that it knows.
        frame_multiple: what the length of its inputs must be a multiple of.
        shortest: the least length of its inputs, in frames.
    """

    network: Callable[[Tensor, Tensor, Tensor | None], Tensor]
    number: int | None
    normaliser: Normaliser
    frame_multiple: int
    shortest: int


def volumes(denoisers: Sequence[Denoiser]) -> np.ndarray:
    """What normalising does to each class's density: the mean over channels of ln(std), `[K]`, nats per element.

    With one normaliser for all classes, all are equal, and cancel.
    """
    return np.array([float(denoiser.normaliser.std.double().log().mean()) for denoiser in denoisers])


def elements(clip_ids: Sequence[str], shelf: Shelf, settings: DiffusionClassifier) -> float:
    """How many elements of a clip's latent are looked at: channels times frames, of the median clip."""
    frames = [_frames(shelf, clip_id, settings.seconds) for clip_id in clip_ids]
    return float(np.median(frames)) * shelf[clip_ids[0]].shape[0]


@torch.inference_mode()
def measure(
    denoisers: Sequence[Denoiser],
    clip_ids: Sequence[str],
    shelf: Shelf,
    settings: DiffusionClassifier,
    runtime: Runtime,
    device: torch.device,
    checkpoint: Checkpoint,
) -> np.ndarray:
    """Denoise every clip with every class's denoiser, at every noise level, with every draw of noise.

    A loss is E|D(y + n; sigma) - y|^2 / sigma^2 over the elements of the clip: in nats for each element and each unit
    of ln(sigma), the integrand of the variational bound (Kingma, Salimans, Poole & Ho, "Variational Diffusion Models",
    2021, equation 15, with an SNR of 1 / sigma^2). It is 1 for a denoiser that leaves the noise as it is.

    Memory holds a batch of clips. A clip's losses do not depend on the others, beyond float rounding.

    Args:
        denoisers: of K classes.
        clip_ids: N clips.
        shelf: their latents.
        settings: L levels, D draws, how much of each clip.
        checkpoint: unfinished work is kept here, and continued from.

    Returns:
        float64 `[N, K, L, D]`.
    """
    multiple = int(np.lcm.reduce([denoiser.frame_multiple for denoiser in denoisers]))
    shortest = max(denoiser.shortest for denoiser in denoisers)
    lengths = [_frames(shelf, clip_id, settings.seconds) for clip_id in clip_ids]
    shape = (len(clip_ids), len(denoisers), len(settings.sigmas), settings.draws)
    found, done = torch.full(shape, torch.nan, dtype=torch.float64), 0
    if state := checkpoint.load():
        found, done = state["losses"], state["batches"]

    order = batches(lengths, multiple, settings.batch_size)
    bar = progress(initial=sum(map(len, order[:done])), total=len(clip_ids), desc="denoise", unit="clip")
    for at, rows in enumerate(order[done:], start=done + 1):
        sources = lengthened([_middle(shelf[clip_ids[row]], lengths[row]) for row in rows], multiple, shortest)
        own = torch.tensor([lengths[row] for row in rows])
        inside = (torch.arange(sources.shape[2]) < own[:, None])[:, None]  # [B, 1, T]
        for level, sigma in enumerate(settings.sigmas):
            for draw in range(settings.draws):
                noise = torch.stack(
                    [_noise(sources.shape[1:], settings.seed, clip_ids[row], level, draw) for row in rows]
                ).to(device)
                for k, each in enumerate(denoisers):
                    clean = each.normaliser(sources).to(device)
                    squares = _squares(each, clean, noise, sigma, runtime, device).cpu() * inside
                    found[rows, k, level, draw] = squares.double().sum(dim=(1, 2)) / (own * sources.shape[1])
        bar.update(len(rows))
        checkpoint.save({"losses": found, "batches": at})
    bar.close()
    return found.numpy()


def _squares(
    denoiser: Denoiser,
    clean: Tensor,
    noise: Tensor,
    sigma: float,
    runtime: Runtime,
    device: torch.device,
) -> Tensor:
    """|D(y + n; sigma) - y|^2 / sigma^2 of each element `[B, C, T]`."""
    levels = torch.full((len(clean),), sigma, device=device)
    label = None if denoiser.number is None else torch.full((len(clean),), denoiser.number, device=device)
    noisy, data = clean + sigma * noise, denoiser.normaliser.sigma_data
    with autocast(runtime, device, amx=True):
        output = denoiser.network(*edm.network_input(noisy, levels, data), label)
    # D - y = c_out (F - target), and (c_out / sigma)^2 = sigma_data^2 / (sigma^2 + sigma_data^2)
    target = edm.network_target(clean, noisy, levels, data)
    return (output.float() - target).square() * data**2 / (sigma**2 + data**2)


def _noise(shape: Sequence[int], seed: int, clip_id: str, level: int, draw: int) -> Tensor:
    """Standard normal noise that depends on the clip, the level and the draw, and on no class."""
    generator = torch.Generator().manual_seed(seed_for("diffusion classifier", seed, clip_id, level, draw))
    return torch.randn(tuple(shape), generator=generator)


def _frames(shelf: Shelf, clip_id: str, seconds: float | None) -> int:
    """How many frames of a clip are looked at."""
    frames = shelf.frames(clip_id)
    return frames if seconds is None else min(frames, max(1, round(frames * seconds / shelf.seconds(clip_id))))


def _middle(latent: Tensor, frames: int) -> Tensor:
    start = (latent.shape[1] - frames) // 2
    return latent[:, start : start + frames]
