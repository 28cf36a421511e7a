"""Classifiers of random weights whose answers differ from sound to sound, for tests of the export."""

import torch
from settings import settings_of

from counterpoise.classifiers import networks
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.inference.classify import Classifier

LABELS = ["bark", "howl", "pant"]
NAMES = {"bark": "Bark", "howl": "Howl", "pant": "Pánt"}
FEATURES = settings_of(Features, n_mels=32, n_fft=512, hop=256)


def classifier(name: str, seconds: float = 0.5, sample_rate: int = 16000, channels: int = 1) -> Classifier:
    """A network of NETWORKS with the classes LABELS."""
    audio = settings_of(Audio, sample_rate=sample_rate, channels=channels, seconds=seconds)
    network = networks.build(name, len(LABELS), audio, FEATURES, seed=0)
    with torch.no_grad():
        network.head.weight *= 20
    return Classifier(network.eval(), audio, LABELS, NAMES, 0.4, torch.device("cpu"))
