"""Which denoiser learns most in the same time? Its loss on unseen recordings says so with little variance.

    python -m benchmarks.denoisers FOLDER [--folds 1 2] [--seconds 200] [--work DIR]
                                   [--set runtime.threads=1 …] [--try diffusion.optimiser=adamw diffusion.layers=2 …]
                                   [--classify CLIPS]

FOLDER has the layout of UrbanSound8K. Each entrant is one class-conditioned network that learns the first fold's clips
of all classes for the same time, with the parameters of params.yaml, the changes of `--set` and its own (`a=1;b=2`; the
first entrant has none; `seconds=60` gives it another time). Columns: EDM's weighted loss, which is 1 for a network that
has learned nothing, on whole clips of the second fold at four noise levels and in the mean; then the mean on clips of
the first fold. Where the two means part, a network has begun to memorise. With `--classify` also the denoiser as a
classifier of so many clips of the second fold: mean average precision and macro-F1, by the section
`diffusion_classifier` and `standard` calibration on those same clips, without their labels.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import average_precision_score, f1_score

from benchmarks import inputs
from benchmarks.peers import train_for
from benchmarks.variations import key
from counterpoise import codecs
from counterpoise.augment import latents
from counterpoise.cli.params import Params
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Normaliser, Packed, Pool, Shelf, lengthened
from counterpoise.core import runtime
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.diffusion import edm, networks
from counterpoise.diffusion_classifier import losses as diffusion_losses
from counterpoise.diffusion_classifier import posterior
from counterpoise.diffusion_classifier.losses import Denoiser
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


def classify(
    network: networks.Denoiser,
    normaliser: Normaliser,
    parts: list[tuple[Packed, range]],
    clips: int,
    p: Params,
    device: torch.device,
) -> tuple[float, float]:
    """Mean average precision and macro-F1 of the denoiser as a classifier of clips from all over these parts."""
    ids = [(clip_id, k) for k, (packed, _) in enumerate(parts) for clip_id in packed.clips.clip_id]
    ids = ids[:: max(1, len(ids) // clips)]
    truth, settings = np.array([k for _, k in ids]), p.diffusion_classifier
    denoisers = [Denoiser(network, k, normaliser, network.frame_multiple) for k in range(len(parts))]
    with tempfile.TemporaryDirectory() as nowhere:
        state = Checkpoint(Path(nowhere) / "state.pt")
        shelf = Shelf([packed for packed, _ in parts])
        found = diffusion_losses.measure(denoisers, [one for one, _ in ids], shelf, settings, p.runtime, device, state)
    calibration = posterior.calibrate("standard", found, truth, settings.sigmas, 1.0, np.zeros(len(parts)))
    said = np.exp(calibration.log_likelihoods(found))
    present = np.unique(truth)
    precision = [average_precision_score(truth == k, said[:, k]) for k in present]
    return float(np.mean(precision)), float(f1_score(truth, said.argmax(axis=1), labels=present, average="macro"))


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--seconds", type=float, default=200)
    parser.add_argument("--work", type=Path, default=Path("/tmp/counterpoise-denoisers"))
    parser.add_argument("--set", nargs="+", default=[], dest="changes")
    parser.add_argument("--classify", type=int, default=0, metavar="CLIPS")
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
    print(
        f"{'entrant':40}  minutes  steps  parameters  {columns}    mean    seen"
        + "  mean AP  macro-F1" * bool(arguments.classify)
    )
    for entrant in ["", *arguments.entrants]:
        own = [change for change in entrant.split(";") if change]
        seconds = next(
            (float(change.removeprefix("seconds=")) for change in own if change.startswith("seconds=")),
            arguments.seconds,
        )
        p = inputs.parameters([*arguments.changes, *(change for change in own if not change.startswith("seconds="))])
        d = p.diffusion
        folder = work / f"augmented-{arguments.folds[0]}-{d.augmented}-{d.seed}"
        pool = latents.pool(parts[arguments.folds[0]], d.augmented, d.seed, p.codec, device, folder)
        normaliser = Normaliser.fit(pool)
        network = networks.build(d, pool.channels, codec.picture, d.seed, len(labels))
        _, took = train_for(seconds / 60, "base", network, pool, normaliser, p, device)
        of_unseen, of_seen = (losses(network, each, normaliser, p, device) for each in (unseen, seen))
        measured = "  ".join(f"{loss:6.4f}" for loss in [*of_unseen, np.mean(of_unseen), np.mean(of_seen)])
        if arguments.classify:
            measured += "   {:6.3f}    {:6.3f}".format(
                *classify(network, normaliser, parts[arguments.folds[1]], arguments.classify, p, device)
            )
        training = f"{took['minutes']:7.2f}  {took['steps']:5}  {took['parameters']:10}"
        print(f"{entrant or 'params.yaml, --set':40}  {training}  {measured}", flush=True)


if __name__ == "__main__":
    run(main)
