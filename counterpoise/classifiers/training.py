"""Train a classifier for a fixed number of steps, predict with it, keep it in a folder."""

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors
import safetensors.torch
import sklearn.metrics
import sklearn.utils.class_weight
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from counterpoise import CounterpoiseError
from counterpoise import audio as sound
from counterpoise.checkpoint import Checkpoint
from counterpoise.classifiers import build
from counterpoise.params import Audio, Classifier, Features, Model, Runtime, Section
from counterpoise.runtime import autocast, seed_for


REPORTS = 20  # in a training


class TrainingError(CounterpoiseError):
    """A training that cannot start or go on; the message says why and what to change."""


class ModelError(CounterpoiseError):
    """A folder that holds no usable classifier; the message says what is wrong with it."""


class Card(Section):
    """What a classifier is: enough to build it again, and to read its outputs."""

    model: Model
    labels: list[str]  # the class of each output, in order
    audio: Audio
    features: Features
    classifier: Classifier


def train(
    model: nn.Module,
    examples: pd.DataFrame,
    labels: list[str],
    audio: Audio,
    classifier: Classifier,
    runtime: Runtime,
    device: torch.device,
    seed: int,
    class_weights: Tensor | None,
    checkpoint: Checkpoint | None,
    report: Callable[[int, dict[str, float]], None],
    validation: pd.DataFrame | None,
) -> None:
    """Train a classifier in place with Adam and a one-cycle schedule (Smith and Topin 2018).

    The number of steps is fixed, so that an arm with more clips gets no more training. Batches are always full:
    the epochs, each a permutation of the clips, are laid end to end. The result depends on the arguments, never on
    `runtime.workers`, nor on how often the run was interrupted and resumed.

    Args:
        model: from `build`.
        examples: `catalog.EXAMPLES`.
        labels: the class of each output.
        audio: the form in which clips are read.
        classifier: steps, batch size, learning rate, weight decay, steps between checkpoints.
        runtime: precision and reader processes.
        device: where to compute; from `runtime.setup`.
        seed: of the order of clips and of augmentation.
        class_weights: `[classes]` weights of the loss, or None.
        checkpoint: where to keep resumable state, or None. It ends with the finished state, so that a run of many
            seeds does not train the first ones again.
        report: called REPORTS times with the step, from 1, and the mean `loss` since the last call; with validation
            also `val_loss` and `val_macro_f1`, over the classes that validation has. A continued run reports what
            came before again.
        validation: `catalog.EXAMPLES` to measure and never learn from; None or empty for none.

    Raises:
        TrainingError: there are no clips, a clip's label is not in `labels`, or the loss is not finite.
        AudioError: a clip cannot be read.
    """
    # Clips and their classes
    targets = _targets(examples, labels)
    watched = validation is not None and len(validation) > 0
    val_targets = _targets(validation, labels) if watched else None

    # Model, optimiser and schedule, as new or as they were
    model.to(device)
    learnable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.Adam(learnable, lr=classifier.learning_rate, weight_decay=classifier.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, classifier.learning_rate, total_steps=classifier.steps)
    generator = torch.Generator().manual_seed(seed_for("augmentation", seed))
    weights = None if class_weights is None else class_weights.to(device)
    losses, reports = [], {}
    state = None if checkpoint is None else checkpoint.load()
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        losses, reports = state["losses"], state["reports"]
        for step, measured in reports.items():
            report(step, measured)
    done = len(losses)

    order = draw(len(examples), classifier.batch_size, range(done, classifier.steps), seed)
    batches = _batches(examples, audio, runtime, order)
    progress = tqdm(batches, total=classifier.steps, initial=done, desc="classifier", unit="step")
    model.train()
    for step, (rows, wave) in enumerate(progress, start=done + 1):
        # Forward
        with autocast(runtime, device):
            log_probabilities = model(wave.to(device), generator)
        loss = F.nll_loss(log_probabilities, targets[rows].to(device), weights)
        if not torch.isfinite(loss):
            raise TrainingError(
                f"the loss is {loss.item()} at step {step} of {classifier.steps}. Lower classifier.learning_rate "
                f"(it is {classifier.learning_rate:g}), or set runtime.precision to fp32; then run `dvc repro` again."
            )

        # Backward
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        losses.append(loss.item())

        # Report and keep
        if step * REPORTS // classifier.steps > (step - 1) * REPORTS // classifier.steps:
            since = losses[max(reports, default=0) :]
            reports[step] = {"loss": sum(since) / len(since)}
            if watched:
                reports[step] |= _validate(model, validation, val_targets, audio, classifier, runtime, device)
            report(step, reports[step])
        if checkpoint is not None and (step % classifier.checkpoint_every == 0 or step == classifier.steps):
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "generator": generator.get_state(),
                    "losses": losses,
                    "reports": reports,
                }
            )


def predict(
    model: nn.Module, examples: pd.DataFrame, audio: Audio, runtime: Runtime, device: torch.device, batch_size: int
) -> np.ndarray:
    """The classes' probabilities for each clip of `catalog.EXAMPLES`, float32 `[N, classes]` in the table's order.

    Raises:
        AudioError: a clip cannot be read.
    """
    order = (list(range(i, min(i + batch_size, len(examples)))) for i in range(0, len(examples), batch_size))
    was_training = model.training
    model.to(device).eval()
    probabilities = [np.empty((0, model.head.out_features), np.float32)]
    with torch.inference_mode(), autocast(runtime, device):
        for _, wave in _batches(examples, audio, runtime, order):
            probabilities.append(model(wave.to(device)).exp().cpu().numpy())
    model.train(was_training)
    return np.concatenate(probabilities)


def class_weights(labels_of_examples: list[str], labels: list[str]) -> Tensor:
    """Weights `[classes]` in proportion to 1 / (clips of the class), 1 on average over the clips.

    Raises:
        TrainingError: a class has no clip.
    """
    missing = sorted(set(labels) - set(labels_of_examples))
    if missing:
        raise TrainingError(f"no training clip of {', '.join(missing)}: add clips, or remove the class from `classes`")
    weights = sklearn.utils.class_weight.compute_class_weight(
        "balanced", classes=np.array(labels), y=np.array(labels_of_examples)
    )
    return torch.tensor(weights, dtype=torch.float32)


def save(folder: Path, model: nn.Module, card: Card) -> None:
    """Write `model.safetensors` and `config.json` into a folder; the same model gives the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load(folder: Path, device: torch.device) -> tuple[nn.Module, Card]:
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
    model = build(card.model, len(card.labels), card.audio, card.features, card.classifier)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise ModelError(f"{folder}: the weights do not fit config.json ({error}): run `dvc repro`") from None
    return model.to(device).eval(), card


def draw(examples: int, batch_size: int, steps: range, seed: int) -> Iterator[list[int]]:
    """The rows of each step's batch: permutations of all examples laid end to end, cut into full batches."""

    def permutation(epoch: int) -> list[int]:
        return np.random.default_rng(seed_for("order", seed, epoch)).permutation(examples).tolist()

    epoch, skipped = divmod(steps.start * batch_size, examples)
    rows = itertools.chain.from_iterable(map(permutation, itertools.count(epoch)))
    rows = itertools.islice(rows, skipped, None)
    for _ in steps:
        yield list(itertools.islice(rows, batch_size))


class _Clips(Dataset):
    """Batches of waves by their rows in a table of examples; what a reader process runs."""

    def __init__(self, paths: list[str], audio: Audio) -> None:
        self.paths = paths
        self.audio = audio

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """The rows `[B]`, and their waves `[B, channels, samples]`."""
        samples = round(self.audio.seconds * self.audio.sample_rate)
        waves = [sound.read(self.paths[row], self.audio.sample_rate, self.audio.channels) for row in rows]
        return torch.tensor(rows), torch.from_numpy(np.stack([sound.fit(wave, samples) for wave in waves]))


def _batches(examples: pd.DataFrame, audio: Audio, runtime: Runtime, order: Iterator[list[int]]) -> DataLoader:
    return DataLoader(
        _Clips(examples.path.tolist(), audio),
        sampler=order,
        batch_size=None,  # the sampler's items are batches already
        num_workers=runtime.workers,
        # A fork starts in milliseconds, a fresh process in seconds (it imports torch), ten times a training. It is safe
        # because readers run libsndfile, soxr and copies alone: nothing that waits for a thread left behind.
        multiprocessing_context="fork" if runtime.workers and sys.platform == "linux" else None,
        generator=torch.Generator(),  # keeps the loader from drawing on the global one
    )


def _targets(examples: pd.DataFrame, labels: list[str]) -> Tensor:
    """Class indices `[N]`."""
    if examples.empty:
        raise TrainingError("there is no clip to train on: look at data.limit and the split, then run `dvc repro`")
    unknown = sorted(set(examples.label) - set(labels))
    if unknown:
        raise TrainingError(f"clips of {', '.join(unknown)}, but the classes are {', '.join(labels)}")
    return torch.tensor([labels.index(label) for label in examples.label])


def _validate(
    model: nn.Module,
    validation: pd.DataFrame,
    targets: Tensor,
    audio: Audio,
    classifier: Classifier,
    runtime: Runtime,
    device: torch.device,
) -> dict[str, float]:
    probabilities = torch.from_numpy(predict(model, validation, audio, runtime, device, classifier.batch_size))
    loss = F.nll_loss(probabilities.clamp(min=1e-12).log(), targets)
    present = targets.unique().tolist()
    f1 = sklearn.metrics.f1_score(targets, probabilities.argmax(dim=1), labels=present, average="macro")
    return {"val_loss": loss.item(), "val_macro_f1": float(f1)}
