"""What is a cheaper look at the denoisers worth? Scores against time, from the losses of a finished run.

    python -m benchmarks.denoiser_speed [--arm none] [--model cnn] [--weight 0.8]

Run it where `dvc repro` has run with a system that has `denoisers`. Rows: which noise levels are looked at, and of
which classes: all, the M likeliest by the network, or in rounds (every level halves the classes that are left, by the
network and the losses so far). A class that is not looked at counts as the worst of those that are. Columns: passes
through the denoiser for each clip; times real time, from the measured time of one pass of the median clip in a batch
of 16; scores of the network and the denoisers together, means over seeds. `standard` calibration by validation clips.
These are test clips: choose nothing by them that is then reported on them.
"""

import itertools
import time

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import inputs
from counterpoise.cli.params import Params
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.core import runtime, tables
from counterpoise.diffusion import networks
from counterpoise.diffusion_classifier import posterior
from counterpoise.diffusion_classifier import table as losses
from counterpoise.ensembles import fusion
from counterpoise.evaluation import scores
from stages.base import paths
from stages.base.work import run
from stages.evaluate import networks_of, training_prior

BATCH, REPEATS = 16, 5


def main(*given: str) -> None:
    options = inputs.beside(__doc__ or "").parse_args(given)
    p = Params.read()
    labels, sigmas = list(p.classes), p.diffusion_classifier.sigmas
    clips = {part: tables.read(paths.SPLITS / f"{part}.csv", tables.EXAMPLES) for part in ("val", "test")}
    plan = tables.read(paths.PLAN, tables.BALANCE)
    rare = plan.label[plan.rare].tolist()
    kept = tables.read(paths.DENOISER_LOSSES / "losses.csv", losses.schema(labels))
    found = {part: losses.from_table(kept, own.clip_id.tolist(), labels) for part, own in clips.items()}
    weights = posterior.calibrate("standard", found["val"], np.empty(0), sigmas, 1.0, np.zeros(len(labels))).weights
    found = {part: each.mean(axis=3) for part, each in found.items()}
    said = networks_of(clips, labels)["test"]
    prior = training_prior(options.arm, labels, p.classifier.real_last)
    networks_say = {
        seed: fusion.log_likelihoods(said[options.arm, options.model, seed], prior) for seed in p.classifier.seeds
    }

    # What one pass takes
    seconds, clip_seconds = pass_time(p, labels)

    def row(name: str, levels: list[int], classes: int | None, rounds: bool) -> tuple:
        measured, passes = [], 0.0
        for seed, likelihoods in networks_say.items():
            z, looked = look(likelihoods, found["test"], weights, levels, classes, rounds, options.weight)
            together = fusion.combine([likelihoods, z], [1.0, options.weight], np.full(len(labels), 1 / len(labels)))
            test = scores.predictions(clips["test"], together, labels, options.model, name, seed, 0)
            measured.append(scores.scores(test, labels, rare))
            passes = looked
        means = [
            np.mean([one.get(metric, np.nan) for one in measured]) for metric in ("macro_f1", "rare_ap", "mean_ap")
        ]
        return name, passes, clip_seconds / (passes * seconds) if passes else np.inf, *means

    shown = Table("looked at", "passes", "x real time", "macro-F1", "rare AP", "mean AP")
    every = list(range(len(sigmas)))
    choices = [every, *(list(one) for size in (3, 2, 1) for one in itertools.combinations(every, size))]
    tried = [("no denoiser", [], None, False)]
    for levels in choices if len(every) <= 5 else [every]:
        text = "σ " + ", ".join(f"{sigmas[i]:g}" for i in levels)
        tried.append((f"{text}, all classes", levels, None, False))
        tried += [(f"{text}, {m} likeliest", levels, m, False) for m in (2, 3, 4) if m < len(labels)]
        if len(levels) > 1:
            tried.append((f"{text}, rounds", levels, None, True))
    rows = [row(*one) for one in tried]
    for name, passes, speed, *numbers in rows[:1] + sorted(rows[1:], key=lambda one: -one[1]):
        shown.add_row(name, f"{passes:.1f}", f"{speed:.1f}", *(f"{number:.3f}" for number in numbers))
    Console(width=110).print(shown)
    print(f"one pass: {1000 * seconds:.1f} ms a clip of {clip_seconds:.2f} s, {p.runtime.threads} thread(s)")


def look(
    likelihoods: np.ndarray,
    losses: np.ndarray,
    weights: np.ndarray,
    levels: list[int],
    classes: int | None,
    rounds: bool,
    weight: float,
) -> tuple[np.ndarray, float]:
    """The denoisers' say `[N, K]` where only some levels and classes are looked at, and the passes for each clip.

    Args:
        likelihoods: of the network, `[N, K]`.
        losses: `[N, K, L]`.
        weights: of the levels' evidence, `[L]`.
        classes: how many, the likeliest by the network; None: all.
        rounds: each level halves the classes that are left.
    """
    clips, amount = likelihoods.shape
    if not levels:
        return np.zeros_like(likelihoods), 0.0
    alive = np.ones((clips, amount), bool)
    if classes is not None:
        alive = likelihoods.argsort(axis=1).argsort(axis=1) >= amount - classes
    z, passes = np.zeros_like(likelihoods), 0.0
    for number, level in enumerate(levels):
        passes += alive.sum() / clips
        own = np.where(alive, losses[:, :, level], np.nan)
        apart = np.nanmean(own, axis=1, keepdims=True) - own
        z = z + weights[level] * apart / np.nanstd(own, axis=1, keepdims=True) ** posterior.EVENNESS
        if rounds and number < len(levels) - 1:
            left = max(2, -(-amount // 2 ** (number + 1)))
            total = np.where(alive, likelihoods + weight * z, -np.inf)
            alive &= total.argsort(axis=1).argsort(axis=1) >= amount - left
    worst = np.nanmin(np.where(alive, z, np.nan), axis=1, keepdims=True)
    return np.where(alive, z, worst), passes


@torch.inference_mode()
def pass_time(p: Params, labels: list[str]) -> tuple[float, float]:
    """Seconds of one pass of one clip in a batch, the median of some, and the median clip's length in seconds."""
    device = runtime.setup(p.runtime)
    packed = [Packed(paths.LATENTS / f"{label}.safetensors") for label in labels]
    clips = pd.concat([one.clips for one in packed])
    network = networks.load(paths.BASE / "unet").to(device)
    multiple = network.frame_multiple
    frames = -(-int(clips.frames.median()) // multiple) * multiple
    shape = (BATCH, Shelf(packed)[clips.clip_id.iloc[0]].shape[0], frames)
    x, c_noise, label = torch.randn(shape, device=device), torch.zeros(BATCH, device=device), torch.zeros(BATCH)
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        with runtime.autocast(p.runtime, device, amx=True):
            network(x, c_noise, label.long().to(device)).cpu()
        took.append((time.perf_counter() - start) / BATCH)
    return float(np.median(took)), float(clips.seconds.median())


if __name__ == "__main__":
    run(main)
