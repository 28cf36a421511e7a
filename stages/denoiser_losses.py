"""denoiser_losses: how well every class's denoiser explains every held-out clip; what follows is arithmetic."""

import json

import torch

from counterpoise.codecs.latents import Normaliser, Packed, Shelf
from counterpoise.core import runtime, seen, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.diffusion import networks
from counterpoise.diffusion.model import Model
from counterpoise.diffusion_classifier import losses, table
from counterpoise.diffusion_classifier.losses import Denoiser
from counterpoise.diffusion_classifier.settings import DiffusionClassifier
from stages.base import paths
from stages.base.work import is_empty, nothing, prune, run, tell, working


class Params(File):
    classes: Classes
    diffusion_classifier: DiffusionClassifier
    runtime: Runtime


def main() -> None:
    p = Params.read()
    c, labels = p.diffusion_classifier, list(p.classes)
    if c.denoisers == "none":
        return nothing(paths.DENOISER_LOSSES, "diffusion_classifier.denoisers is none: no clip is scored by denoisers")
    prune(paths.DENOISER_LOSSES, keep=[])
    device = runtime.setup(p.runtime)

    # Held-out clips, and what explains them
    clips = tables.read(paths.ALL, tables.SPLIT)
    training = clips.clip_id[clips.partition == "train"].tolist()
    clips = clips[clips.partition.isin(["val", "test"])]
    shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in labels])
    denoisers = denoisers_of(c, labels, device)

    # Measure
    with working() as folder:
        state = Checkpoint(folder / "state.pt")
        found = losses.measure(denoisers, clips.clip_id.tolist(), shelf, c, p.runtime, device, state)
        rows = table.to_table(found, clips.clip_id.tolist(), clips.partition.tolist(), labels, c.sigmas)
        tables.write(rows, paths.DENOISER_LOSSES / "losses.csv", exact=True)
        card = {"elements": losses.elements(training, shelf, c), "volumes": losses.volumes(denoisers).tolist()}
        (paths.DENOISER_LOSSES / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    levels = f"{counted(len(denoisers), 'denoiser')} at {counted(len(c.sigmas), 'noise level')}"
    tell(paths.DENOISER_LOSSES, f"losses of {counted(len(clips), 'held-out clip')} by {levels}")


def denoisers_of(settings: DiffusionClassifier, labels: list[str], device: torch.device) -> list[Denoiser]:
    """What explains each class, as `diffusion_classifier.denoisers` says, unless it says none."""
    own = settings.denoisers == "classes" or (settings.denoisers == "auto" and is_empty(paths.BASE))
    return of_classes(labels, device) if own else of_base(labels, device)


def of_base(labels: list[str], device: torch.device) -> list[Denoiser]:
    network = networks.load(paths.BASE / "unet").to(device)
    normaliser = Normaliser.load(paths.BASE / "normaliser.safetensors")
    numbers = [seen.read(paths.BASE)["labels"].index(label) for label in labels]
    lengths = network.frame_multiple, network.shortest
    return [Denoiser(network, number, normaliser, *lengths) for number in numbers]


def of_classes(labels: list[str], device: torch.device) -> list[Denoiser]:
    models = [Model.load(paths.DIFFUSION / label, device) for label in labels]
    networks = [(m.network, None, m.normaliser) for m in models]
    return [Denoiser(*each, each[0].frame_multiple, each[0].shortest) for each in networks]


if __name__ == "__main__":
    run(main)
