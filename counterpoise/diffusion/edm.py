"""Preconditioning and loss of EDM (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
Models", Table 1), in the form that diffusers' EDM schedulers expect when they sample.

Symbols: y a clean latent, n noise, sigma its standard deviation, x = y + n, F the network, D the denoiser
D(x; sigma) = c_skip x + c_out F(c_in x; c_noise).
"""

import torch
from torch import Tensor

# diffusers hands c_noise = ln(sigma) / 4 to the network. Its sinusoidal embedding is made for steps 0..1000.
NOISE_EMBEDDING_SCALE = 1000.0


def sample_sigma(count: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Noise levels for training, `[count]`: ln(sigma) is normal with P_mean and P_std."""
    return (torch.randn(count, generator=generator) * std + mean).exp()


def network_input(x: Tensor, sigma: Tensor, sigma_data: float) -> tuple[Tensor, Tensor]:
    """c_in x and c_noise for x `[B, C, T]` and sigma `[B]`."""
    c_in = (sigma**2 + sigma_data**2).rsqrt()
    return x * c_in[:, None, None], sigma.log() / 4


def network_target(y: Tensor, x: Tensor, sigma: Tensor, sigma_data: float) -> Tensor:
    """What F must put out so that D(x; sigma) = y: (y - c_skip x) / c_out.

    The weighted denoising loss, lambda(sigma) |D - y|^2 with lambda = 1 / c_out^2, is then the plain squared error of F
    (EDM, equation 8), and equals 1 for a network that has learned nothing.
    """
    variance = sigma**2 + sigma_data**2
    c_skip = sigma_data**2 / variance
    c_out = sigma * sigma_data / variance.sqrt()
    return (y - c_skip[:, None, None] * x) / c_out[:, None, None]
