"""A trained classifier as a folder: its weights, and a card that says how to build it again."""

from pathlib import Path

import safetensors
import safetensors.torch
import torch
from pydantic import ValidationError

from counterpoise.classifiers.networks import build
from counterpoise.classifiers.networks.network import Network
from counterpoise.core import CounterpoiseError
from counterpoise.core.audio import Audio
from counterpoise.core.settings import Section
from counterpoise.embeddings.embedder import Embedder
from counterpoise.embeddings.settings import Features


class ModelError(CounterpoiseError):
    """A folder that holds no usable classifier; the message says what is wrong with it."""


class Card(Section):
    """What a classifier is: enough to build it again, and to read its outputs."""

    model: str
    labels: list[str]  # the class of each output, in order
    audio: Audio
    features: Features
    pretrained: bool
    frozen: bool


def save(folder: Path, model: Network, card: Card) -> None:
    """Write `model.safetensors` and `config.json` into a folder; the same model gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path, device: torch.device) -> tuple[Network, Card]:
    """Read a folder that `save` wrote: the classifier, ready to predict, and its card.

    Raises:
        ModelError: a file is missing, or is not what `save` writes.
    """
    for file in (folder / "config.json", folder / "model.safetensors"):
        if not file.is_file():
            raise ModelError(f"{file} is missing: run `dvc repro`, or `dvc pull` if a remote holds it")
    try:
        card = Card.model_validate_json((folder / "config.json").read_text(encoding="utf-8"))
        tensors = safetensors.torch.load_file(folder / "model.safetensors")
    except (ValidationError, UnicodeDecodeError, safetensors.SafetensorError) as error:
        raise ModelError(f"{folder} holds no classifier of this version ({error}): run `dvc repro`") from None
    try:
        model = build(
            card.model, len(card.labels), card.audio, card.features, pretrained=card.pretrained, frozen=card.frozen
        )
        model.load_state_dict(tensors)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{folder}: the weights do not fit config.json ({error}): run `dvc repro`") from None
    return model.to(device).eval(), card


def embedder(folder: Path, device: torch.device) -> Embedder:
    """A saved classifier up to its last layer; raises ModelError."""
    network, card = load(folder, device)
    form = card.audio
    return Embedder(network, f"own {card.model}", form.sample_rate, form.channels, form.seconds, device)
