"""Which denoiser learns most in the same time? Its loss on unseen recordings says so with little variance.

    python -m benchmarks.denoisers FOLDER [--folds 1 2] [--seconds 200] [--work DIR]
                                   [--set runtime.threads=1 …] [--try diffusion.optimiser=adamw diffusion.layers=2 …]

FOLDER has the layout of UrbanSound8K. Each entrant is one class-conditioned network that learns the first fold's clips
of all classes for the same time, with the parameters of params.yaml, the changes of `--set` and its own (`a=1;b=2`; the
first entrant has none). Columns: EDM's weighted loss, which is 1 for a network that has learned nothing, on whole clips
of the second fold at four noise levels and in the mean; then the mean on clips of the first fold. Where the two means
part, a network has begun to memorise.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks import inputs
from benchmarks.peers import train_for
from benchmarks.variations import key
from counterpoise import codecs
from counterpoise.augment import latents
from counterpoise.cli.params import Params
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Normaliser, Packed, Pool, lengthened
from counterpoise.core import runtime
from counterpoise.diffusion import edm, networks
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


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-denoisers"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    parser.add_argument("--try", nargs="+", default=["diffusion.optimiser=adamw"], dest="entrants")
    arguments = parser.parse_args(given)

    # Latents of both folds
    p = inputs.parameters(arguments.changes)
    device = runtime.setup(p.runtime)
    codec = codecs.build(p.codec, device)
    examples, labels = inputs.clips(arguments.folder, arguments.folds)
    work = arguments.work / key(p.codec, arguments.folder.resolve())
    parts = {}
    for number in arguments.folds:
        parts[number] = []
        for label in labels:
            path = work / str(number) / f"{label}.safetensors"
            if not path.exists():
                own = examples[(examples.fold == number) & (examples.label == label)]
                encode.encode(codec, own, path, p.codec.batch_size)
            packed = Packed(path)
            parts[number].append((packed, range(len(packed))))
    seen, unseen = (Pool(parts[number]) for number in arguments.folds)

    # One entrant after the other
    columns = "  ".join(f"σ {sigma:g}".rjust(6) for sigma in SIGMAS)
    print(f"{'entrant':40}  minutes  steps  parameters  {columns}    mean    seen")
    for entrant in ["", *arguments.entrants]:
        p = inputs.parameters([*arguments.changes, *filter(None, entrant.split(";"))])
        d = p.diffusion
        folder = work / f"augmented-{arguments.folds[0]}-{d.augmented}-{d.seed}"
        pool = latents.pool(parts[arguments.folds[0]], d.augmented, d.seed, p.codec, device, folder)
        normaliser = Normaliser.fit(pool)
        network = networks.build(d, pool.channels, codec.picture, d.seed, len(labels))
        _, took = train_for(arguments.seconds / 60, "base", network, pool, normaliser, p, device)
        of_unseen, of_seen = (losses(network, each, normaliser, p, device) for each in (unseen, seen))
        measured = "  ".join(f"{loss:6.4f}" for loss in [*of_unseen, np.mean(of_unseen), np.mean(of_seen)])
        training = f"{took['minutes']:7.2f}  {took['steps']:5}  {took['parameters']:10}"
        print(f"{entrant or 'params.yaml, --set':40}  {training}  {measured}", flush=True)


if __name__ == "__main__":
    run(main)
