"""Worker: denoising-diffusion-pytorch on normalised mels, with the objective, schedules and EMA that are its defaults.

`1d` is the README's example, on whole clips with the bands as channels. `2d` is its image network on the mel folded
4 x 2 into channels and cut into crops of 64 frames, as our own denoiser has them. Data are scaled to 0..1, as the
README asks. Its `sample` begins with noise alone, so its DDIM steps (Song, Meng and Ermon 2021, equation 12, eta = 0)
are taken here, through the package's `q_sample` and `model_predictions`, from any noise level.
"""

from itertools import pairwise

import torch
from denoising_diffusion_pytorch import GaussianDiffusion, GaussianDiffusion1D, Unet, Unet1D
from ema_pytorch import EMA
from timed import LEARNING_RATE, arguments, crops, read, train, write
from torch import Tensor

BATCH = {"1d": 16, "2d": 8}
CROP = 64  # frames
FOLD_BANDS, FOLD_FRAMES = 4, 2


def fold(x: Tensor) -> Tensor:
    """`[B, bands, T]` to `[B, 8, bands / 4, T / 2]`."""
    x = x.unflatten(1, (-1, FOLD_BANDS)).unflatten(3, (-1, FOLD_FRAMES))
    return x.permute(0, 2, 4, 1, 3).flatten(1, 2)


def unfold(x: Tensor) -> Tensor:
    """The inverse of :func:`fold`."""
    x = x.unflatten(1, (FOLD_BANDS, FOLD_FRAMES)).permute(0, 3, 1, 4, 2)
    return x.flatten(1, 2).flatten(2, 3)


def main() -> None:
    asked = arguments("1d", "2d")
    data, noise = read(asked.given)
    low, high = data.min(), data.max()
    scaled = (data - low) / (high - low)
    bands, frames = data.shape[1:]
    if asked.network == "1d":
        network = Unet1D(dim=64, dim_mults=(1, 2, 4, 8), channels=bands)
        diffusion = GaussianDiffusion1D(network, seq_length=frames, timesteps=1000, objective="pred_v")
        shape, back, length = (lambda x: x), (lambda x: x), frames
    else:
        network = Unet(dim=48, dim_mults=(1, 2), channels=FOLD_BANDS * FOLD_FRAMES)
        diffusion = GaussianDiffusion(network, image_size=(bands // FOLD_BANDS, CROP // FOLD_FRAMES))
        shape, back, length = fold, unfold, CROP
    # Of every step, not of every tenth: a training of minutes has few steps.
    ema = EMA(diffusion, beta=0.995, update_every=1)

    took = train(
        diffusion,
        torch.optim.Adam(diffusion.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99)),
        lambda: diffusion(shape(crops(scaled, BATCH[asked.network], length))),
        ema.update,
        asked.minutes,
        asked.bf16,
    )
    averaged = ema.ema_model.eval()

    # The package's -1..1 is 2 / (high - low) times ours, and so is noise that is comparable.
    alphas = averaged.alphas_cumprod
    ratio = ((1 - alphas) / alphas).sqrt()
    nearest = int((ratio - 2 * asked.sigma / (high - low)).abs().argmin())

    def sample(clips: Tensor, noises: Tensor, start: str) -> Tensor:
        noises = shape(noises)
        first = nearest if start == "own" else averaged.num_timesteps - 1
        clean = averaged.normalize(shape((clips - low) / (high - low)))
        t = torch.full([len(clips)], first)
        x = averaged.q_sample(clean, t, noises) if start == "own" else noises
        times = torch.linspace(first, -1, min(asked.sampling_steps, first + 1) + 1).round().int().tolist()
        for now, after in pairwise(times):
            predicted = averaged.model_predictions(
                x, torch.full([len(x)], now), clip_x_start=True, rederive_pred_noise=True
            )
            alpha = alphas[after] if after >= 0 else torch.tensor(1.0)
            x = alpha.sqrt() * predicted.pred_x_start + (1 - alpha).sqrt() * predicted.pred_noise
        return back(averaged.unnormalize(x)) * (high - low) + low

    write(asked.made, sample, data, noise, took, asked.bf16)


if __name__ == "__main__":
    main()
