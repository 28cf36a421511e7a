"""denoiser_features: what a linear classifier makes of the shared base's inner activations, for every held-out clip."""

import json

from counterpoise.codecs.latents import Normaliser, Packed, Shelf
from counterpoise.core import runtime, seen, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.diffusion import model, networks
from counterpoise.diffusion_classifier import features, head
from counterpoise.diffusion_classifier.settings import DiffusionClassifier
from stages.base import paths
from stages.base.work import is_empty, nothing, prune, run, tell, working


class Params(File):
    classes: Classes
    diffusion_classifier: DiffusionClassifier
    runtime: Runtime


def main() -> None:
    p = Params.read()
    labels = list(p.classes)
    if p.diffusion_classifier.feature_sigma is None:
        return nothing(paths.DENOISER_FEATURES, "diffusion_classifier.feature_sigma is null: no features are read")
    if is_empty(paths.BASE):
        return nothing(paths.DENOISER_FEATURES, "the member `features` needs a base of all classes (diffusion.init)")
    prune(paths.DENOISER_FEATURES, keep=[])
    device = runtime.setup(p.runtime)

    # All clips, and what listens to them
    clips = tables.read(paths.ALL, tables.SPLIT)
    clips = clips[clips.partition.isin(["train", "val", "test"])]
    clip_ids = clips.clip_id.tolist()
    shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in labels])
    base = networks.load(paths.BASE / "unet")
    network = model.of_no_class(base, seen.read(paths.BASE)["labels"]).to(device)
    normaliser = Normaliser.load(paths.BASE / "normaliser.safetensors")

    # Read, learn, and say
    with working() as folder:
        state = Checkpoint(folder / "state.pt")
        found = features.measure(network, normaliser, clip_ids, shelf, p.diffusion_classifier, p.runtime, device, state)
        said, card = head.classify(found, clips, labels)
        tables.write(said, paths.DENOISER_FEATURES / "probabilities.csv", exact=True)
        (paths.DENOISER_FEATURES / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    tell(
        paths.DENOISER_FEATURES,
        f"probabilities of {counted(len(said), 'held-out clip')}, read of {counted(len(clips), 'clip')}",
    )


if __name__ == "__main__":
    run(main)
