"""Train one class's denoiser from scratch on its training clips."""

from collections.abc import Callable, Sequence

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor
from tqdm import tqdm

from counterpoise import CounterpoiseError
from counterpoise.checkpoint import Checkpoint
from counterpoise.diffusion import edm, networks
from counterpoise.latents import Normaliser, Packed, reflect
from counterpoise.params import Diffusion, Runtime
from counterpoise.runtime import autocast


REPORT_EVERY = 10  # steps


class TrainingDiverged(CounterpoiseError):
    """The loss is no number any more."""


def train(
    packed: Packed,
    rows: Sequence[int],
    picture: bool,
    params: Diffusion,
    runtime: Runtime,
    device: torch.device,
    checkpoint: Checkpoint,
    report: Callable[[int, float], None],
) -> tuple[networks.MelUNet | networks.LatentUNet1D, Normaliser]:
    """Learn the distribution of the given rows' latents.

    Args:
        packed: latents of one class.
        rows: the training clips among them; no other row is read.
        picture: the latents' channels are ordered (mel bands).
        checkpoint: the unfinished state is kept here, and continued from.
        report: called every ten steps with the step and the mean loss since the last call; 1.0 is the loss of having
            learned nothing. A continued run reports its earlier steps again.

    Returns:
        The network with its EMA weights, in eval mode, and the normaliser.

    Raises:
        TrainingDiverged: the loss is NaN or infinite.
    """
    # Measure the data
    normaliser = Normaliser.fit(packed, rows)
    network = networks.build(params, packed.channels, picture, params.seed).to(device)
    crop = -(-params.crop_frames // network.frame_multiple) * network.frame_multiple

    # Optimiser, schedule, average
    optimiser = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, fused=True)
    schedule = get_cosine_schedule_with_warmup(optimiser, params.warmup_steps, params.steps)
    ema = EMAModel(network.parameters(), decay=params.ema_decay, use_ema_warmup=True, power=3 / 4, foreach=True)
    generator = torch.Generator().manual_seed(params.seed)

    # Continue where a killed run stopped
    parts = {"network": network, "optimiser": optimiser, "schedule": schedule, "ema": ema}
    losses: list[float] = []
    if state := checkpoint.load():
        for name, part in parts.items():
            part.load_state_dict(state[name])
        generator.set_state(state["generator"])
        losses = state["losses"]
        for step in range(REPORT_EVERY, len(losses) + 1, REPORT_EVERY):
            report(step, _recent(losses[:step]))
    ema.to(device)

    # Train
    network.train()
    progress = tqdm(initial=len(losses), total=params.steps, desc=packed.clips.label.iloc[0], unit="step")
    for step in range(len(losses) + 1, params.steps + 1):
        y = normaliser(_crops(packed, rows, params.batch_size, crop, generator)).to(device)
        sigma = edm.sample_sigma(len(y), params.noise_mean, params.noise_std, generator).to(device)
        x = y + sigma[:, None, None] * torch.randn(y.shape, generator=generator).to(device)
        with autocast(runtime, device, amx=True):
            output = network(*edm.network_input(x, sigma, normaliser.sigma_data))
        target = edm.network_target(y, x, sigma, normaliser.sigma_data)
        loss = (output.float() - target).square().mean()
        if not loss.isfinite():
            raise TrainingDiverged(
                f"the diffusion loss is {loss.item()} at step {step}. Lower diffusion.learning_rate (now "
                f"{params.learning_rate}) or raise diffusion.warmup_steps (now {params.warmup_steps}): `dvc repro`."
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        ema.step(network.parameters())
        losses.append(loss.item())
        progress.update()
        if step % REPORT_EVERY == 0:
            report(step, _recent(losses))
            progress.set_postfix(loss=f"{_recent(losses):.3f}")
        if step % params.checkpoint_every == 0 and step < params.steps:
            states = {name: part.state_dict() for name, part in parts.items()}
            checkpoint.save({**states, "generator": generator.get_state(), "losses": losses})

    progress.close()
    ema.copy_to(network.parameters())
    return network.eval(), normaliser


def _crops(packed: Packed, rows: Sequence[int], count: int, frames: int, generator: torch.Generator) -> Tensor:
    """Random crops `[count, C, frames]` of random clips. Cropping is safe; stretching would be learned."""
    picked = torch.randint(len(rows), (count,), generator=generator).tolist()
    where = torch.rand(count, generator=generator).tolist()
    crops = []
    for row, position in zip(picked, where):
        latent = packed[rows[row]]
        if latent.shape[1] < frames:
            latent = reflect(latent, frames)
        start = round(position * (latent.shape[1] - frames))
        crops.append(latent[:, start : start + frames])
    return torch.stack(crops)


def _recent(losses: Sequence[float]) -> float:
    return sum(losses[-REPORT_EVERY:]) / REPORT_EVERY
