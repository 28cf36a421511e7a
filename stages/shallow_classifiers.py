"""shallow_classifiers: what classical classifiers say of every held-out clip, learned from training clips alone."""

import json

import torch

from counterpoise.core import runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.embeddings.embedder import Embedder
from counterpoise.embeddings.settings import Features
from counterpoise.shallow import classifiers, features
from counterpoise.shallow.settings import Shallow
from stages.base import paths
from stages.base.work import is_empty, nothing, prune, run, tell


class Params(File):
    audio: Audio
    classes: Classes
    features: Features
    runtime: Runtime
    shallow: Shallow


def main() -> None:
    p = Params.read()
    if not p.shallow.classifiers:
        return nothing(paths.SHALLOW, "shallow.classifiers names none")
    prune(paths.SHALLOW, keep=[])
    device, rate = runtime.setup(p.runtime), p.audio.sample_rate
    clips = tables.read(paths.ALL, tables.SPLIT)
    clips = clips[clips.partition.isin(["train", "val", "test"])]

    # What listens
    listeners: dict[str, features.Listener] = {
        features.MFCC: features.MfccStatistics(p.features, p.shallow.mfcc, rate),
    }
    if not is_empty(paths.PRETRAINED.parent):
        embedder = Embedder.audioset(paths.PRETRAINED, device)
        listeners[embedder.name] = lambda wave: embedder.embed(torch.from_numpy(wave)[None], rate)[0].numpy()

    # Listen, learn, and say
    found = features.measure(clips.path.tolist(), listeners, rate)
    said, card = classifiers.learn(p.shallow.classifiers, found, clips, list(p.classes))
    tables.write(said, paths.SHALLOW / "probabilities.csv", exact=True)
    (paths.SHALLOW / "card.json").write_text(json.dumps(card, indent=1) + "\n")
    amount = counted(int((clips.partition != "train").sum()), "held-out clip")
    tell(paths.SHALLOW, f"probabilities of {amount} by {', '.join(p.shallow.classifiers)}")


if __name__ == "__main__":
    run(main)
