"""A YAMNet of random weights that behaves like a trained one, for tests: 521 classes, in our own file form."""

import json
from pathlib import Path

import safetensors.torch
import torch

from counterpoise.embeddings.yamnet import AUDIOSET_CLASSES, AUDIOSET_FORMAT, YAMNET_SAMPLE_RATE, YAMNet

ORIGIN = {"format": AUDIOSET_FORMAT, "kind": "tflite", "licence": "Apache-2.0", "sha256": "0" * 64, "source": "test"}


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state with statistics of every kind, whose scores vary from sound to sound."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = YAMNet(AUDIOSET_CLASSES, YAMNET_SAMPLE_RATE)
        state = network.state_dict()
        for name, tensor in state.items():
            if name.endswith("running_mean"):
                tensor.normal_(0, 0.3)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                tensor.normal_(0, 0.2)
    return {name: tensor.contiguous() for name, tensor in state.items()}


def write(path: Path, seed: int = 0, origin: dict = ORIGIN) -> Path:
    """As `audioset.convert` would."""
    safetensors.torch.save_file(tensors(seed), path, {"origin": json.dumps(origin, sort_keys=True)})
    return path
