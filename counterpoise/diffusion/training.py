"""Train a denoiser: one class's from scratch, the shared base of all classes, or one class's from that base."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel
from torch import Tensor

from counterpoise.codecs.latents import Normaliser, Pool, reflect
from counterpoise.core import CounterpoiseError
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, autocast, compiled
from counterpoise.diffusion import edm, muon
from counterpoise.diffusion.networks import Denoiser
from counterpoise.diffusion.settings import Diffusion

REPORT_EVERY = 10  # steps
EARLY = 0.25  # of the steps: what the network was then is the weak one that guidance pushes away from
USEFUL_LOSS = 0.45  # networks above it were heard to make noise; 1.0 is that of having learned nothing


class TrainingDiverged(CounterpoiseError):
    """The loss is no number any more."""


class UnusableLatents(CounterpoiseError):
    """Latents that no denoiser can learn from."""


@dataclass
class Trained:
    """What a training leaves beside the network.

    Attributes:
        loss: mean over the last tenth of the steps.
        early: averaged weights after a quarter of the steps, or before the first validation.
        steps: after which the network was taken.
    """

    loss: float
    early: dict[str, Tensor]
    steps: int


def train(
    network: Denoiser,
    pool: Pool,
    normaliser: Normaliser,
    steps: int,
    params: Diffusion,
    runtime: Runtime,
    device: torch.device,
    checkpoint: Checkpoint,
    report: Callable[[int, float], None],
    name: str,
    validate: Callable[[int, dict[str, Tensor]], float] | None = None,
) -> Trained:
    """Learn the distribution of a pool's latents, in place; the network ends in eval mode with its EMA weights.

    Unlabelled clips, if the pool has any, are drawn with the probability `params.unlabelled_share`; otherwise classes
    are drawn equally often, and a class's clips equally often.

    Args:
        network: fresh, or a base that is to be tuned.
        pool: the training clips; no other clip is read.
        normaliser: of this pool, or that of the base.
        steps: to train for.
        params: batch, crop, learning rate, distribution of the noise.
        checkpoint: the unfinished state is kept here, and continued from.
        report: called every ten steps with the step and the mean loss since the last call; 1.0 is the loss of having
            learned nothing. A continued run reports its earlier steps again.
        name: in the progress bar.
        validate: called every `validate_every` steps and after the last one, with the step and the early weights;
            the network holds its averaged ones; says how bad it is. The network ends with its best weights, and
            training after `patience` validations that were no better.

    Raises:
        UnusableLatents: the normalised latents are not finite, or far from zero mean and unit variance.
        TrainingDiverged: the loss is NaN or infinite.
    """
    # Measure the data
    check_scale(pool, normaliser)
    network.to(device)
    crop = -(-max(params.crop_frames, network.shortest) // network.frame_multiple) * network.frame_multiple

    # Optimisers, schedules, average
    optimisers = muon.build(network, params)
    schedules = [get_cosine_schedule_with_warmup(each, params.warmup_steps, steps) for each in optimisers]
    ema = EMAModel(network.parameters(), decay=params.ema_decay, use_ema_warmup=True, power=3 / 4, foreach=True)
    generator = torch.Generator().manual_seed(params.seed)

    # Continue where a killed run stopped
    parts = {"network": network, "ema": ema}
    for each, schedule in zip(optimisers, schedules):
        parts |= {type(each).__name__: each, f"{type(each).__name__} schedule": schedule}
    losses: list[float] = []
    early: dict[str, Tensor] = {}
    best = Best(params.patience)
    if state := checkpoint.load():
        for part_name, part in parts.items():
            part.load_state_dict(state[part_name])
        generator.set_state(state["generator"])
        losses, early = state["losses"], state["early"]
        best.load_state_dict(state["best"])
        for step in range(REPORT_EVERY, len(losses) + 1, REPORT_EVERY):
            report(step, _recent(losses[:step]))
    ema.to(device)
    early_at = math.ceil(EARLY * steps)
    if validate:
        early_at = min(early_at, max(1, params.validate_every // 2))  # well before any network that may be kept

    # Train
    network.train()
    denoise = compiled(network, runtime, device)
    bar = progress(initial=len(losses), total=steps, desc=name, unit="step")
    for step in range(len(losses) + 1, steps + 1):
        if best.over:
            break
        y, label = crops(pool, params.batch_size, crop, params.unlabelled_share, generator)
        y, label = normaliser(y).to(device), label.to(device)
        sigma = edm.sample_sigma(len(y), params.noise_mean, params.noise_std, generator).to(device)
        x = y + sigma[:, None, None] * torch.randn(y.shape, generator=generator).to(device)
        with autocast(runtime, device, amx=True):
            output = denoise(*edm.network_input(x, sigma, normaliser.sigma_data), label)
        target = edm.network_target(y, x, sigma, normaliser.sigma_data)
        loss = (output.float() - target).square().mean()
        if not loss.isfinite():
            raise TrainingDiverged(
                f"the diffusion loss is {loss.item()} at step {step}. Lower diffusion.learning_rate (now "
                f"{params.learning_rate}) or raise diffusion.warmup_steps (now {params.warmup_steps}): `dvc repro`."
            )
        network.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        for part in (*optimisers, *schedules):
            part.step()
        ema.step(network.parameters())
        losses.append(loss.item())
        bar.update()
        if step % REPORT_EVERY == 0:
            report(step, _recent(losses))
            bar.set_postfix(loss=f"{_recent(losses):.3f}")
        if step == early_at:
            with averaged(network, ema):
                early = copied(network)
        if validate and (step % params.validate_every == 0 or step == steps):
            with averaged(network, ema):
                best.take(step, validate(step, early), network)
        if step % params.checkpoint_every == 0 and step < steps:
            states = {part_name: part.state_dict() for part_name, part in parts.items()}
            checkpoint.save(
                {
                    **states,
                    "generator": generator.get_state(),
                    "losses": losses,
                    "early": early,
                    "best": best.state_dict(),
                }
            )

    bar.close()
    ema.copy_to(network.parameters())
    if best.weights:
        network.load_state_dict(best.weights)
    network.eval()
    last = losses[-max(1, len(losses) // 10) :]
    return Trained(sum(last) / len(last), early, best.step or len(losses))


class Best:
    """The best weights so far, by a number that is better the lower it is."""

    def __init__(self, patience: int) -> None:
        self.patience, self.score, self.step, self.worse = patience, math.inf, 0, 0
        self.weights: dict[str, Tensor] = {}

    @property
    def over(self) -> bool:
        """Whether so many in a row were no better that training can end."""
        return self.worse >= self.patience

    def take(self, step: int, score: float, network: Denoiser) -> None:
        """Look at the network's weights of now; the first ones are better than none, whatever their score."""
        if score < self.score or not self.weights:
            self.score, self.step, self.worse, self.weights = score, step, 0, copied(network)
        else:
            self.worse += 1

    def state_dict(self) -> dict:
        """For a checkpoint."""
        return {"score": self.score, "step": self.step, "worse": self.worse, "weights": self.weights}

    def load_state_dict(self, state: dict) -> None:
        """From a checkpoint."""
        self.score, self.step, self.worse, self.weights = (state[k] for k in ("score", "step", "worse", "weights"))


@contextlib.contextmanager
def averaged(network: Denoiser, ema: EMAModel) -> Iterator[None]:
    """The network with its averaged weights, in eval mode; afterwards it trains on as it was."""
    ema.store(network.parameters())
    ema.copy_to(network.parameters())
    network.eval()
    yield
    network.train()
    ema.restore(network.parameters())


def copied(network: Denoiser) -> dict[str, Tensor]:
    """The weights of now, on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def check_scale(pool: Pool, normaliser: Normaliser) -> None:
    """Stop before a long training on latents that are silent, broken, or of another codec than the normaliser.

    Raises:
        UnusableLatents: see :func:`train`.
    """
    latents = torch.cat([normaliser(pool[index]) for index in range(0, len(pool), max(1, len(pool) // 16))], dim=1)
    mean, rms = latents.mean().item(), latents.square().mean().sqrt().item()
    # A dozen gun shots, mostly pauses, had a mean of -1.1 beside the base of all classes. NaN fails, too.
    if not (abs(mean) < 2 and 0.1 < rms < 4):
        raise UnusableLatents(
            f"the normalised latents have mean {mean:.2f} and RMS {rms:.2f}, which should be near 0 and 1. Silent or "
            "broken clips, or the latents of another codec: look at data/mended.csv, then `dvc repro --force encode`."
        )


def advice(loss: float, label: str, params: Diffusion) -> str | None:
    """What to change where a finished denoiser has learned too little to be of use, or None."""
    if loss <= USEFUL_LOSS:
        return None
    more = f"diffusion.steps (now {params.steps})"
    if params.steps_per_clip is not None:
        more += f", diffusion.steps_per_clip ({params.steps_per_clip:g}) and diffusion.min_steps ({params.min_steps})"
    other = ", or set diffusion.init to shared" if params.init == "scratch" else " and diffusion.base_steps"
    return (
        f"{label}: the diffusion loss ended at {loss:.2f}; above {USEFUL_LOSS} variations are mostly noise. "
        f"Raise {more}{other}."
    )


def crops(
    pool: Pool, count: int, frames: int, unlabelled_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draw random crops: of unlabelled clips or of classes, classes equally often, and clips of either equally often.

    Cropping is safe; stretching would be learned. A clip that is shorter than a crop is reflected at its end.

    Args:
        pool: the clips, 1 or more.
        count: how many crops to draw.
        frames: of each crop.
        unlabelled_share: probability, below 1, that a crop is of an unlabelled clip, if the pool has any.
        generator: on the CPU; it is asked once, for `[3, count]` numbers.

    Returns:
        Crops `[count, C, frames]`, as the pool has them, and their classes `[count]`.
    """
    members: dict[int, list[int]] = {}
    for index, label in enumerate(pool.labels):
        members.setdefault(label, []).append(index)
    unlabelled = members.pop(pool.unlabelled, []) if pool.unlabelled is not None else []
    groups = list(members.values())
    share = unlabelled_share if unlabelled else 0.0
    drawn, picked, where = torch.rand(3, count, generator=generator).tolist()
    found, labels = [], []
    for of_classes, of_clips, position in zip(drawn, picked, where):
        of_labelled = (of_classes - share) / (1 - share)  # in 0..1; below 0 for unlabelled clips
        group = unlabelled if of_labelled < 0 else groups[int(of_labelled * len(groups))]
        index = group[int(of_clips * len(group))]
        latent = pool[index]
        if latent.shape[1] < frames:
            latent = reflect(latent, frames)
        start = round(position * (latent.shape[1] - frames))
        found.append(latent[:, start : start + frames])
        labels.append(pool.labels[index])
    return torch.stack(found), torch.tensor(labels)


def _recent(losses: Sequence[float]) -> float:
    return sum(losses[-REPORT_EVERY:]) / REPORT_EVERY
