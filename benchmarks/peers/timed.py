"""What the workers of `benchmarks.peers` share: a training that stops when its minutes are over, and the files.

A worker runs in the environment of its package. It reads `data [N, C, T]` and `seeds [N]` from a safetensors file and
writes one tensor `[N, C, T]` for each start, `own` and `noise`, with what the training took as metadata.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm  # the workers' environments have no counterpoise.core.progress

LEARNING_RATE, WARMUP_STEPS = 1e-3, 30  # as ours; the packages' 1e-4 and less are for hundreds of thousands of steps
SAMPLING_BATCH = 15  # clips


def arguments(*networks: str) -> argparse.Namespace:
    """The command line of a worker, with threads and the seed already set."""
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=networks)
    parser.add_argument("given", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--sigma", type=float, required=True, help="noise on `own`, in standard deviations of the data")
    parser.add_argument("--sampling-steps", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--bf16", action="store_true")
    parsed = parser.parse_args()
    torch.set_num_threads(parsed.threads)
    torch.manual_seed(parsed.seed)
    return parsed


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[[], Tensor],
    average: Callable[[], None],
    minutes: float,
    bf16: bool,
) -> dict[str, float]:
    """Steps until the minutes are over; says how many there were and what the last tenth of them lost."""
    losses: list[float] = []
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1 / WARMUP_STEPS, total_iters=WARMUP_STEPS)
    start = time.perf_counter()
    with tqdm(unit="step", mininterval=10, disable=None) as progress:
        while time.perf_counter() - start < 60 * minutes:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss = loss_of()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            average()
            losses.append(loss.item())
            progress.set_postfix(loss=f"{np.mean(losses[-20:]):.3f}", refresh=False)
            progress.update()
    last = losses[-max(1, len(losses) // 10) :]
    return {
        "minutes": (time.perf_counter() - start) / 60,
        "steps": len(losses),
        "loss": float(np.mean(last)),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def crops(data: Tensor, count: int, length: int) -> Tensor:
    """`[N, C, T]` to `[count, C, length]`: random clips, each from a random place."""
    clips = torch.randint(len(data), [count]).tolist()
    starts = torch.randint(data.shape[2] - length + 1, [count]).tolist()
    return torch.stack([data[clip, :, start : start + length] for clip, start in zip(clips, starts)])


def read(path: Path) -> tuple[Tensor, Tensor]:
    """`data [N, C, T]`, and noise of its shape that every clip draws from a seed of its own."""
    given = load_file(path)
    data = given["data"]
    noise = [torch.randn(data.shape[1:], generator=torch.Generator().manual_seed(int(s))) for s in given["seeds"]]
    return data, torch.stack(noise)


@torch.inference_mode()
def write(
    path: Path,
    sample: Callable[[Tensor, Tensor, str], Tensor],
    data: Tensor,
    noise: Tensor,
    took: dict[str, float],
    bf16: bool,
) -> None:
    """Sample from both starts and save what came, with the seconds of each."""
    made = {}
    for start in ("own", "noise"):
        begun = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            batches = [
                sample(clips, noises, start)
                for clips, noises in zip(data.split(SAMPLING_BATCH), noise.split(SAMPLING_BATCH))
            ]
        made[start] = torch.cat(batches).float().contiguous()
        took[f"{start} seconds"] = time.perf_counter() - begun
    save_file(made, path, {"took": json.dumps(took)})
