"""The networks of classifiers: waves in, log-probabilities of the classes out.

A new one is a file here and an entry in NETWORKS.
"""

import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # names are checked where nothing is classified, and torch would take seconds
    from counterpoise.classifiers.networks.network import Network
    from counterpoise.core.audio import Audio
    from counterpoise.embeddings.settings import Features

NETWORKS = {  # by what `models` may name: the class, see :class:`counterpoise.classifiers.networks.network.Network`
    "cnn": "counterpoise.classifiers.networks.cnn:CNN",
    "yamnet": "counterpoise.classifiers.networks.yamnet:YAMNet",
}


def build(
    name: str,
    classes: int,
    audio: "Audio",
    features: "Features",
    seed: int = 0,
    weights: Path | None = None,
    pretrained: bool = False,
    frozen: bool = False,
) -> "Network":
    """A network whose first weights depend on `seed` alone, and a pretrained one's body on `weights`.

    Args:
        classes: how many.
        weights: from `audioset.convert`, for a pretrained network, which has a head of its own on top. None leaves its
            body at random, for weights that are loaded later. Networks without a pretrained body have no use for them.
        pretrained: the body starts from AudioSet, where the network can.
        frozen: and stays as it is.

    Raises:
        ValueError: no network has this name.
        AudioSetError: the weights are missing, damaged, or another network's.
    """
    if name not in NETWORKS:
        raise ValueError(f"no classifier is called {name!r}; set `models` to some of: {', '.join(NETWORKS)}")
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = pkgutil.resolve_name(NETWORKS[name])(classes, audio, features, pretrained, frozen)
    if network.pretrained and weights is not None:
        from counterpoise.embeddings.yamnet import load_audioset

        network.maps.load_state_dict(load_audioset(weights).maps.state_dict())
    return network
