"""Classifiers of clips, trained from scratch: waves in, log-probabilities of the classes out."""

import torch
from torch import nn

from counterpoise.classifiers.cnn import CNN
from counterpoise.classifiers.yamnet import YAMNet
from counterpoise.params import Audio, Classifier, Features

MODELS = {"cnn": CNN, "yamnet": YAMNet}


def build(
    name: str, classes: int, audio: Audio, features: Features, classifier: Classifier, seed: int = 0
) -> nn.Module:
    """An untrained classifier whose first weights depend on `seed` alone.

    Called with waves `[B, channels, samples]` it gives log-probabilities `[B, classes]`; called with a generator
    as well, it augments the clips first.

    Raises:
        ValueError: no classifier has this name.
    """
    if name not in MODELS:
        raise ValueError(f"no classifier is called {name!r}; set `models` to some of: {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name](classes, audio, features, classifier)
