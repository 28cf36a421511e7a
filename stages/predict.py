"""predict: what every trained classifier says of every held-out clip; what follows is arithmetic."""

import pandas as pd

from counterpoise.classifiers import training
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import runtime, tables
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from stages.base import paths
from stages.base.work import cache, run, tell


class Params(File):
    arms: list[str]
    classes: Classes
    classifier: Classifier
    models: list[str]
    runtime: Runtime


def main() -> None:
    p = Params.read()
    device, labels = runtime.setup(p.runtime), list(p.classes)
    val, test = (tables.read(paths.SPLITS / f"{part}.csv", tables.EXAMPLES) for part in ("val", "test"))
    clips = pd.concat([val.assign(partition="val"), test.assign(partition="test")], ignore_index=True)
    tables.check_contents(clips)
    kept, found = cache("embeddings"), []
    for model in p.models:
        for arm in p.arms:
            for seed in p.classifier.seeds:
                network, card = io.load(paths.CLASSIFIER / f"{arm}-{model}/seed{seed}", device)
                said = training.predict(network, clips, card.audio, p.runtime, device, p.classifier.batch_size, kept)
                columns = pd.DataFrame(said, columns=[tables.PROBABILITY + label for label in card.labels])
                known = clips[["clip_id", "partition"]].assign(arm=arm, model=model, seed=seed)
                found.append(pd.concat([known, columns], axis=1))
    table = pd.concat(found)[list(tables.probabilities(labels))]
    tables.write(table.astype(tables.probabilities(labels)), paths.PROBABILITIES, exact=True)
    tell(paths.PROBABILITIES, f"{counted(len(clips), 'held-out clip')} by {counted(len(found), 'network')}")


if __name__ == "__main__":
    run(main)
