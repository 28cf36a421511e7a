"""Which denoiser learns most in the same time? Its loss on unseen recordings says so with little variance.

    python -m benchmarks.denoisers FOLDER [--folds 1 2] [--seconds 200] [--work DIR]
                                   [--set runtime.threads=1 …] [--try diffusion.optimiser=adamw diffusion.layers=2 …]
                                   [--classify CLIPS] [--limit CLIPS]

FOLDER has the layout of UrbanSound8K. Each entrant is one class-conditioned network that learns the first fold's clips
of all classes for the same time, with the parameters of params.yaml, the changes of `--set` and its own (`a=1;b=2`; the
first entrant has none; `seconds=60` gives it another time). With `--limit` it learns so many clips of each class, from
as many recordings as there are. With `unlabelled=rest` an entrant also learns the other clips of that fold without
their labels, with `unlabelled=3,4` those of other folds. Its normaliser is of all that it learns, so its losses cannot
quite be compared with those of the others. With `rotary=true` the network attends over time in its middle. With
`pca=true` and `network=transformer` it is what `benchmarks.frames` says; `diffusion.widths` are then the tokens' width
and `diffusion.layers` the number of layers.

Columns: EDM's weighted loss, which is 1 for a network that has learned nothing, on whole clips of the second fold at
four noise levels and in the mean; then the mean on the labelled clips. Where the two means part, a network has begun to
memorise. With `--classify` also the denoiser as a classifier of so many clips of the second fold: mean average
precision and macro-F1, by the section `diffusion_classifier` and `standard` calibration on those same clips, without
their labels. Last comes the mean average precision of a linear classifier on the network's activations, which learns
from the labelled clips.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch import Tensor

from benchmarks import frames, inputs, reach
from benchmarks.peers import train_for
from benchmarks.variations import key
from counterpoise import codecs
from counterpoise.augment import latents
from counterpoise.cli.params import Params
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Normaliser, Packed, Pool, Shelf, lengthened
from counterpoise.core import runtime, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.naming import UNLABELLED
from counterpoise.diffusion import edm, model, networks
from counterpoise.diffusion_classifier import features, head, posterior
from counterpoise.diffusion_classifier import losses as diffusion_losses
from counterpoise.diffusion_classifier.losses import Denoiser
from counterpoise.splits.split import clip_turns
from stages.base.work import run

SIGMAS = (0.3, 1.0, 2.0, 5.0)
CLIPS = 75  # of each fold, whose loss is measured


@torch.inference_mode()
def losses(
    network: networks.Denoiser, pool: Pool, normaliser: Normaliser, p: Params, device: torch.device
) -> list[float]:
    """Mean loss at each of SIGMAS, on clips from all over the pool."""
    generator, found = torch.Generator().manual_seed(0), []
    for value in SIGMAS:
        for index in range(0, len(pool), max(1, len(pool) // CLIPS)):
            y = normaliser(lengthened([pool[index]], network.frame_multiple))
            sigma = torch.full((1,), value)
            x = y + value * torch.randn(y.shape, generator=generator)
            inputs = [part.to(device) for part in edm.network_input(x, sigma, normaliser.sigma_data)]
            with runtime.autocast(p.runtime, device, amx=True):
                output = network(*inputs, torch.tensor([pool.labels[index]], device=device)).float().cpu()
            found.append((output - edm.network_target(y, x, sigma, normaliser.sigma_data)).square().mean().item())
    return np.reshape(found, (len(SIGMAS), -1)).mean(axis=1).tolist()


Part = tuple[Packed, Sequence[int]]


def classify(
    network: networks.Denoiser,
    normaliser: Normaliser,
    learned: list[Part],
    parts: list[Part],
    clips: int,
    turned: Tensor,
    p: Params,
    device: torch.device,
) -> tuple[float, float, float]:
    """What is heard of clips from all over these parts, whose classes are those of `learned`.

    Returns:
        Mean average precision and macro-F1 of the denoiser as a classifier, and mean average precision of a linear
        classifier on its activations that knows the labels of `learned`; NaN where the network is no UNet.
    """
    rows = listed(parts, "test")
    rows = rows.iloc[:: max(1, len(rows) // clips)]
    truth, settings, number = rows.k.to_numpy(), p.diffusion_classifier, len(parts)
    known = pd.concat([listed(learned, "train"), rows])
    shelf = frames.Turned(Shelf([packed for packed, _ in [*learned, *parts]]), turned)
    denoisers = [Denoiser(network, k, normaliser, network.frame_multiple, network.shortest) for k in range(number)]
    with tempfile.TemporaryDirectory() as nowhere:
        states = [Checkpoint(Path(nowhere) / name) for name in ("losses.pt", "features.pt")]
        ids = rows.clip_id.tolist()
        found = diffusion_losses.measure(denoisers, ids, shelf, settings, p.runtime, device, states[0])
        read = None
        if not isinstance(network, frames.FrameTransformer):
            of_all = [str(k) for k in range(number)] + [UNLABELLED] * (network.classes > number)
            bare, ids = model.of_no_class(network, of_all), known.clip_id.tolist()
            read = features.measure(bare, normaliser, ids, shelf, settings, p.runtime, device, states[1])
    calibration = posterior.calibrate("standard", found, truth, settings.sigmas, 1.0, np.zeros(number))
    said = np.exp(calibration.log_likelihoods(found))
    heard = np.full_like(said, np.nan)
    if read is not None:
        answers = head.classify(read, known, [str(k) for k in range(number)])[0]
        heard = answers.filter(like=tables.PROBABILITY).to_numpy()
    present = np.unique(truth)
    precision = [
        np.mean([average_precision_score(truth == k, each[:, k]) for k in present])
        if np.isfinite(each).all()
        else np.nan
        for each in (said, heard)
    ]
    macro = f1_score(truth, said.argmax(axis=1), labels=present, average="macro")
    return float(precision[0]), float(macro), float(precision[1])


def listed(parts: list[Part], partition: str) -> pd.DataFrame:
    """The clips of parts, with the part's number as `k` and, in text, as their label."""
    clips = [packed.clips.iloc[list(rows)].assign(k=k, label=str(k)) for k, (packed, rows) in enumerate(parts)]
    return pd.concat(clips, ignore_index=True).assign(partition=partition)


def limited(part: Part, clips: int | None) -> tuple[Part, Part]:
    """A class's part with so many clips, spread over recordings, and the others; None: all of them, and none."""
    packed, rows = part
    taken = np.ones(len(rows), bool) if clips is None else clip_turns(packed.clips, seed=0) < clips
    return (packed, np.flatnonzero(taken).tolist()), (packed, np.flatnonzero(~taken).tolist())


def minutes(parts: list[Part]) -> float:
    return sum(packed.clips.seconds.iloc[list(rows)].sum() for packed, rows in parts) / 60


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-denoisers"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    parser.add_argument("--classify", type=int, default=0, metavar="CLIPS")
    parser.add_argument("--limit", type=int, metavar="CLIPS")
    parser.add_argument("--try", nargs="+", default=["diffusion.optimiser=adamw"], dest="entrants")
    arguments = parser.parse_args(given)
    entrants = [dict(change.split("=", 1) for change in entrant.split(";") if change) for entrant in arguments.entrants]
    named = {name for own in entrants for name in own.get("unlabelled", "").split(",")} - {"", "rest"}
    others = sorted(map(int, named))
    if arguments.folds[1] in others:
        parser.error(f"fold {arguments.folds[1]} is the unseen one: no entrant may learn it")

    # Latents of all folds
    p = inputs.parameters(arguments.changes)
    device = runtime.setup(p.runtime)
    codec = codecs.build(p.codec, device)
    examples, labels = inputs.clips(arguments.folder, [*arguments.folds, *others])
    work = arguments.work / key(p.codec, arguments.folder.resolve())
    parts = {}
    for number in [*arguments.folds, *others]:
        parts[number] = []
        for label in labels:
            path = work / str(number) / f"{label}.safetensors"
            own = examples[(examples.fold == number) & (examples.label == label)]
            if own.empty and number in others:
                continue
            if not path.exists():
                encode.encode(codec, own, path, p.codec.batch_size)
            packed = Packed(path)
            parts[number].append((packed, range(len(packed))))
    first, second = arguments.folds
    known, rest = (list(each) for each in zip(*(limited(part, arguments.limit) for part in parts[first])))
    seen, unseen = Pool(known), Pool(parts[second])
    print(f"{len(seen)} labelled clips, {minutes(known):.1f} minutes")

    # One entrant after the other
    columns = "  ".join(f"σ {sigma:g}".rjust(6) for sigma in SIGMAS)
    print(
        f"{'entrant':40}  minutes  steps  parameters  {columns}    mean    seen"
        + "  mean AP  macro-F1  features" * bool(arguments.classify)
    )
    for entrant, own in zip(["", *arguments.entrants], [{}, *entrants]):
        own, seconds = dict(own), float(own.get("seconds", arguments.seconds))
        apart = [
            part
            for name in filter(None, own.pop("unlabelled", "").split(","))
            for part in (rest if name == "rest" else parts[int(name)])
            if part[1]
        ]
        own.pop("seconds", None)
        rotary, pca = (own.pop(name, "false") == "true" for name in ("rotary", "pca"))
        kind = own.pop("network", "unet")
        p = inputs.parameters([*arguments.changes, *(f"{name}={value}" for name, value in own.items())])
        d = p.diffusion
        folder = work / f"augmented-{first}-{arguments.limit}-{d.augmented}-{d.seed}"
        pool = latents.pool(known, d.augmented, d.seed, p.codec, device, folder, apart)
        turned = frames.components(pool) if pca else torch.eye(pool.channels)
        pool, *measured_on = (frames.Turned(each, turned) for each in (pool, unseen, seen))
        normaliser = Normaliser.fit(pool)
        if kind == "transformer":
            network = frames.FrameTransformer(pool.channels, d.widths[0], d.layers, len(labels) + bool(apart), d.seed)
        else:
            network = networks.build(d, pool.channels, codec.picture, d.seed, len(labels) + bool(apart))
        if rotary:
            reach.attend_over_time(network, d.seed)
        _, took = train_for(seconds / 60, "base", network, pool, normaliser, p, device)
        of_unseen, of_seen = (losses(network, each, normaliser, p, device) for each in measured_on)
        measured = "  ".join(f"{loss:6.4f}" for loss in [*of_unseen, np.mean(of_unseen), np.mean(of_seen)])
        if arguments.classify:
            heard = classify(network, normaliser, known, parts[second], arguments.classify, turned, p, device)
            measured += "   {:6.3f}    {:6.3f}    {:6.3f}".format(*heard)
        training = f"{took['minutes']:7.2f}  {took['steps']:5}  {took['parameters']:10}"
        also = f", and {minutes(apart):.1f} minutes unlabelled" if apart else ""
        print(f"{entrant or 'params.yaml, --set':40}  {training}  {measured}{also}", flush=True)


if __name__ == "__main__":
    run(main)
