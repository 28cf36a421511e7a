"""The class filter's own network: a CNN that is trained on the training clips, up to its last layer."""

from pathlib import Path

import pandas as pd
import torch

from counterpoise.classifiers import networks, training
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.settings import Classifier
from counterpoise.core.audio import Audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.runtime import Runtime
from counterpoise.embeddings.settings import Features
from counterpoise.filtering.class_filter import OWN
from counterpoise.filtering.settings import ClassFilterSettings


def train(
    out: Path,
    examples: pd.DataFrame,
    labels: list[str],
    audio: Audio,
    features: Features,
    classifier: Classifier,
    settings: ClassFilterSettings,
    runtime: Runtime,
    device: torch.device,
    folder: Path,
) -> None:
    """Train the CNN from scratch, with balanced class weights, and keep it in the filter's folder.

    Args:
        out: the filter's folder.
        examples: `tables.EXAMPLES`, training clips alone.
        classifier: how inputs are augmented; steps, batch size, learning rate and seed are the filter's own.
        folder: for the unfinished training.

    Raises:
        TrainingError: a class has no clip, or the loss is not finite.
    """
    own = classifier.model_copy(
        update={
            "steps": settings.steps,
            "batch_size": settings.batch_size,
            "learning_rate": settings.learning_rate,
            "weight_decay": 0.0,
            "made_smoothing": 0.0,
            "real_last": 0.0,
        }
    )
    network = networks.build("cnn", len(labels), audio, features, settings.seed)
    weights = training.class_weights(examples.label.tolist(), labels)
    training.train(
        network,
        examples,
        labels,
        audio,
        own,
        runtime,
        device,
        settings.seed,
        weights,
        Checkpoint(folder / "cnn.pt"),
        lambda step, measured: None,
        None,
    )
    card = io.Card(model="cnn", labels=labels, audio=audio, features=features, pretrained=False, frozen=False)
    io.save(out / OWN, network, card)
