"""train_class_filter: what recognises generated sounds learns to, from training clips alone."""

import numpy as np
import torch

from counterpoise.arms import arm
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import audio, runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.progress import counted, progress
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.embeddings.settings import Features
from counterpoise.filtering import own_network
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.filtering.settings import ClassFilterSettings
from counterpoise.generation.settings import Generate
from counterpoise.splits import split
from stages.base import paths
from stages.base.work import nothing, prune, run, tell, working


class Params(File):
    arms: list[str]
    audio: Audio
    class_filter: ClassFilterSettings
    classes: Classes
    classifier: Classifier
    features: Features
    generate: Generate
    runtime: Runtime


def main() -> None:
    p = Params.read()
    if all(arm.is_cheap(name) for name in p.arms) and p.generate.keep == "all":
        return nothing(paths.CLASS_FILTER, "no arm has generated sounds: nothing needs to recognise them")
    prune(paths.CLASS_FILTER, keep=[])
    device, labels = runtime.setup(p.runtime), list(p.classes)
    clips = tables.read(paths.ALL, tables.SPLIT)
    examples = split.examples(clips[clips.partition == "train"].drop(columns="partition"), None, tables.sha256)

    with working() as folder:
        # What an embedding is
        if p.class_filter.embedding == "own":
            own_network.train(
                paths.CLASS_FILTER,
                examples,
                labels,
                p.audio,
                p.features,
                p.classifier,
                p.class_filter,
                p.runtime,
                device,
                folder,
            )
        else:
            ClassFilter.save_embedder(paths.CLASS_FILTER, paths.PRETRAINED)
        embedder = ClassFilter.embedder(paths.CLASS_FILTER, device)

        # Which class is which
        embedded = []
        for path in progress(examples.path, desc="class filter", unit="clip"):
            wave = torch.from_numpy(audio.read(path, p.audio.sample_rate, p.audio.channels))
            embedded.append(embedder.embed(wave[None], p.audio.sample_rate)[0].numpy())
        ClassFilter.fit(np.stack(embedded), examples, labels, embedder.name).save(paths.CLASS_FILTER)
    heard = f"{counted(len(examples), 'clip')} of {counted(len(labels), 'class')}"
    tell(paths.CLASS_FILTER, f"it has learned {heard} by {embedder.name}")


if __name__ == "__main__":
    run(main)
