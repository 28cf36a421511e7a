"""release: the network that validation clips rate best, in a folder that can be given away."""

import json

import numpy as np
import torch

from counterpoise.arms import arm as arms
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import tables
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.ensembles import members
from counterpoise.evaluation.expectation import expected_frequencies
from counterpoise.release import choice, folder
from counterpoise.release.card import card
from stages.base import paths
from stages.base.work import prune, run, tell


class Params(File):
    arms: list[str]
    classes: Classes
    classifier: Classifier
    data: Data
    models: list[str]


def main() -> None:
    p = Params.read()
    labels = list(p.classes)

    # Choose
    validation = tables.read(paths.SPLITS / "val.csv", tables.EXAMPLES)
    rows = tables.read(paths.PROBABILITIES, tables.probabilities(labels))
    said = members.networks(rows, "val", validation.clip_id, labels)
    runs = [(arm, model, seed) for model in p.models for arm in p.arms for seed in p.classifier.seeds]
    truth = np.array([labels.index(label) for label in validation.label], int)
    chosen = choice.choose(runs, said, truth)
    classifier = paths.CLASSIFIER / f"{chosen.arm}-{chosen.model}/seed{chosen.seed}"
    network, form = io.load(classifier, torch.device("cpu"))  # what is given away can be built again

    # Describe
    examples = tables.read(paths.SPLITS / f"train_{chosen.arm}.csv", tables.EXAMPLES)
    how = arms.load(chosen.arm)
    about = folder.About(
        arm=chosen.arm,
        model=chosen.model,
        seed=chosen.seed,
        dataset=p.data.dataset,
        labels={slug: p.classes[slug].name for slug in form.labels},
        prior=expected_frequencies(how, examples, form.labels, p.classifier.real_last),
        threshold=chosen.threshold,
    )
    clips = tables.read(paths.ALL, tables.SPLIT)
    answer = json.loads((paths.METRICS / "answer.json").read_text())
    seeds = len(p.classifier.seeds)
    text = card(about, chosen, how, form.audio, clips, examples, answer, seeds, network.pretrained)

    prune(paths.RELEASE, keep=[])
    folder.write(paths.RELEASE, classifier, about, text)
    tell(paths.RELEASE, f"{chosen.arm}-{chosen.model}, seed {chosen.seed}")


if __name__ == "__main__":
    run(main)
