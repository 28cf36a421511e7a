"""Worker: audio-diffusion-pytorch on waveforms, its `DiffusionModel` with `UNetV0`, v-diffusion and its sampler.

The network is the README's with fewer and narrower layers, so that minutes on a CPU are some hundred steps. The package
has neither a trainer nor an EMA: it has the EMA that our own denoiser has, and AdamW.
"""

import math

import torch
from audio_diffusion_pytorch import DiffusionModel, LinearSchedule, UNetV0, VDiffusion, VSampler
from diffusers.training_utils import EMAModel
from timed import LEARNING_RATE, arguments, crops, read, train, write
from torch import Tensor

BATCH = 8
CROP = 2**14  # samples, a second


def main() -> None:
    asked = arguments("waveform")
    data, noise = read(asked.given)
    rms = data.square().mean().sqrt()
    model = DiffusionModel(
        net_t=UNetV0,
        in_channels=1,
        channels=[8, 32, 64, 128, 256],
        factors=[1, 4, 4, 4, 2],
        items=[1, 1, 1, 2, 2],
        attentions=[0, 0, 0, 0, 1],
        attention_heads=4,
        attention_features=32,
        modulation_features=256,
        diffusion_t=VDiffusion,
        sampler_t=VSampler,
    )
    # Not `torch.optim.swa_utils` nor ema-pytorch: a copy of this network would run the original's layers.
    ema = EMAModel(model.parameters(), decay=0.995, use_ema_warmup=True, power=3 / 4, foreach=True)
    took = train(
        model,
        torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE),
        lambda: model(crops(data / rms, BATCH, CROP)),
        lambda: ema.step(model.parameters()),
        asked.minutes,
        asked.bf16,
    )
    ema.copy_to(model.parameters())
    model.eval()

    def sample(clips: Tensor, noises: Tensor, start: str) -> Tensor:
        # Level s has a signal of cos(s pi / 2) and noise of sin(s pi / 2).
        level = 2 / math.pi * math.atan(asked.sigma) if start == "own" else 1.0
        angle = level * math.pi / 2
        x = math.cos(angle) * clips / rms + math.sin(angle) * noises if start == "own" else noises
        return rms * VSampler(model.net, LinearSchedule(start=level))(x, num_steps=asked.sampling_steps)

    write(asked.made, sample, data, noise, took, asked.bf16)


if __name__ == "__main__":
    main()
