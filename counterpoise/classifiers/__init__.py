"""Classifiers of clips: waves in, log-probabilities of the classes out."""

from pathlib import Path

import torch
from torch import nn

from counterpoise.classifiers.cnn import CNN
from counterpoise.classifiers.yamnet import YAMNet, load_audioset
from counterpoise.params import Audio, Classifier, Features

MODELS = {"cnn": CNN, "yamnet": YAMNet}


def build(
    name: str,
    classes: int,
    audio: Audio,
    features: Features,
    classifier: Classifier,
    seed: int = 0,
    weights: Path | None = None,
) -> nn.Module:
    """A classifier whose first weights depend on `seed` alone, and a pretrained YAMNet's body on `weights`.

    Called with waves `[B, channels, samples]` it gives log-probabilities `[B, classes]`; called with a generator
    as well, it augments the clips first.

    Args:
        weights: from `audioset.convert`, for a YAMNet with `init: audioset`, which has a head of its own on top. None
            leaves its body at random, for weights that are loaded later. Other classifiers have no use for them.

    Raises:
        ValueError: no classifier has this name.
        AudioSetError: the weights are missing, damaged, or another network's.
    """
    if name not in MODELS:
        raise ValueError(f"no classifier is called {name!r}; set `models` to some of: {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = MODELS[name](classes, audio, features, classifier)
    if network.pretrained and weights is not None:
        network.maps.load_state_dict(load_audioset(weights).maps.state_dict())
    return network
