"""train_classifier: one arm, one model, every seed."""

import pandas as pd

from counterpoise.arms import arm as arms
from counterpoise.classifiers import networks, training
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import origin, runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.embeddings.settings import Features
from stages.base import paths
from stages.base.work import cache, curves, run, tell, working


class Params(File):
    audio: Audio
    classes: Classes
    classifier: Classifier
    features: Features
    runtime: Runtime


def main(arm: str, model: str) -> None:
    p = Params.read()
    device = runtime.setup(p.runtime)
    name, labels, how = f"{arm}-{model}", list(p.classes), arms.load(arm)
    c = p.classifier.model_copy(update={"steps": max(1, round(how.steps * p.classifier.steps))})
    examples, validation = (
        tables.read(paths.SPLITS / f"{part}.csv", tables.EXAMPLES) for part in (f"train_{arm}", "val")
    )
    tables.check_contents(pd.concat([examples, validation]))
    weights = training.class_weights(examples.label.tolist(), labels) if how.weighted else None
    mixup = c.mixup_alpha if how.mixup else None
    embeddings = cache("embeddings")
    pretrained = {"pretrained": c.init == "audioset", "frozen": c.body == "frozen"}

    with working() as folder:
        for seed in c.seeds:
            body = paths.PRETRAINED if pretrained["pretrained"] else None
            network = networks.build(model, len(labels), p.audio, p.features, seed, body, **pretrained)
            with curves(paths.PLOTS / "training" / name / f"seed{seed}") as report:
                training.train(
                    network,
                    examples,
                    labels,
                    p.audio,
                    c,
                    p.runtime,
                    device,
                    seed,
                    weights,
                    Checkpoint(folder / f"seed{seed}.pt"),
                    lambda step, measured: report(step, **measured),
                    validation,
                    embeddings,
                    mixup,
                    how.loss,
                    how.retrain_head,
                )
            card = io.Card(model=model, labels=labels, audio=p.audio, features=p.features, **pretrained)
            io.save(paths.CLASSIFIER / name / f"seed{seed}", network, card)
        origin.write(paths.CLASSIFIER / name, p.runtime, device)
    trained = f"{counted(len(c.seeds), 'network')} of {counted(c.steps, 'step')}"
    tell(paths.CLASSIFIER / name, f"{trained} on {counted(len(examples), 'clip')}")


if __name__ == "__main__":
    run(main)
