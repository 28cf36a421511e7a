"""Train a classifier for a fixed number of steps, and predict with it."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import sklearn.metrics
import sklearn.utils.class_weight
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from counterpoise.classifiers import augmentation, batches, losses
from counterpoise.classifiers.batches import Embedded, Inputs, Waves
from counterpoise.classifiers.losses import Loss
from counterpoise.classifiers.networks.network import Network
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import CounterpoiseError
from counterpoise.core.audio import Audio
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.core.progress import progress
from counterpoise.core.runtime import Runtime, autocast, seed_for
from counterpoise.embeddings import cache as kept

REPORTS = 20  # in a training


class TrainingError(CounterpoiseError):
    """A training that cannot start or go on; the message says why and what to change."""


def train(
    model: Network,
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
    cache: Path | None = None,
    mixup: float | None = None,
    loss: Loss | None = None,
    retrain_head: float = 0.0,
    taught: np.ndarray | None = None,
) -> None:
    """Train a classifier in place with Adam and a one-cycle schedule (Smith and Topin 2018).

    The number of steps is fixed, so that an arm with more clips gets no more training. Batches are always full:
    the epochs, each a permutation of the clips, are laid end to end. The result depends on the arguments, never on
    `runtime.workers`, nor on how often the run was interrupted and resumed.

    Of a clip that is longer than `audio.seconds` each step sees a crop of this length at a random place. Validation
    hears all of it, as :func:`predict` does.

    A pretrained body that is not frozen learns at `body_rate` times the head's learning rate. A frozen body embeds
    every clip once, as it is, and only the head is trained: windows and patches are drawn, but time is not shifted.

    `retrain_head` is classifier re-training (Kang et al., "Decoupling Representation and Classifier for Long-Tailed
    Recognition", ICLR 2020, section 4). It divides the steps: first all weights learn, in a one-cycle schedule of their
    own. Then the head starts again with random weights and a schedule of its own, and learns alone, from real clips,
    as many of one class as of another. The body keeps its weights and its batch statistics, and stays frozen after the
    training. The inputs are augmented in both parts.

    Args:
        model: from `build`.
        examples: `tables.EXAMPLES`. How much made clips count, `made_smoothing` and `real_last` say.
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
        validation: `tables.EXAMPLES` to measure and never learn from; None or empty for none.
        cache: where a frozen body's embeddings are kept, for other trainings; None keeps them in memory.
        mixup: alpha of mixup (:func:`losses.mix`); None for none.
        loss: from log-probabilities `[B, classes]`, targets `[B]`, label smoothing `[B]` and the clips of each class in
            `examples` `[classes]`, float32, to a scalar; None: :func:`losses.cross_entropy` with `class_weights`.
        taught: what a teacher says of each row of `examples`, probabilities `[N, classes]`, to be learned in place of
            the labels; None for none. Neither `class_weights` nor `loss` nor `made_smoothing` count then.
        retrain_head: share of the steps, the last ones, in which only the head is trained, 0 to below 1. A share of
            less than half a step is none.

    Raises:
        TrainingError: there are no clips, a clip's label is not in `labels`, or the loss is not finite.
        AudioError: a clip cannot be read.
    """
    # Clips and their classes
    targets = _targets(examples, labels)
    watched = validation is not None and len(validation) > 0
    val_targets = _targets(validation, labels) if watched else torch.empty(0)

    # Model, optimiser and schedule, as new or as they were
    model.to(device)
    last = round(retrain_head * classifier.steps)  # steps of the head alone
    switch = classifier.steps - last
    generator = torch.Generator().manual_seed(seed_for("augmentation", seed))
    weights = None if class_weights is None else class_weights.to(device)
    history, reports = [], {}
    state = None if checkpoint is None else checkpoint.load()
    if state is not None and len(state["losses"]) > switch:
        optimiser, schedule = _begin(model, classifier, last, head_alone=True)
    else:
        optimiser, schedule = _begin(model, classifier, switch, head_alone=False)
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        generator.set_state(state["generator"])
        history, reports = state["losses"], state["reports"]
        for step, measured in reports.items():
            report(step, measured)
    done = len(history)
    if done == classifier.steps:
        return

    inputs = _inputs(model, examples, audio, runtime, device, cache)
    val_inputs = _inputs(model, validation, audio, runtime, device, cache) if watched else None
    made = examples.synthetic.to_numpy(bool)
    smoothing = classifier.made_smoothing * torch.tensor(made, dtype=torch.float32)
    teacher = None if taught is None else torch.tensor(taught, dtype=torch.float32, device=device)
    counts = targets.bincount(minlength=len(labels)).to(device, torch.float32)

    def forward(batch: Tensor) -> Tensor:
        if model.frozen:
            return model.read_out(augmentation.draw(batch, classifier.yamnet_patches, generator))
        return augmentation.augmented(model, batch, classifier, generator)

    def loss_of(log_probabilities: Tensor, rows: Tensor) -> Tensor:
        if teacher is not None:
            return losses.distillation(log_probabilities, teacher[rows])
        own, softened = targets[rows].to(device), smoothing[rows].to(device)
        if loss is None:
            return losses.cross_entropy(log_probabilities, own, softened, weights)
        return loss(log_probabilities, own, softened, counts)

    order = batches.order(made, classifier.batch_size, switch, min(done, switch), classifier.real_last, seed)
    if last:
        real = [np.flatnonzero(~made & (targets.numpy() == label)) for label in range(len(labels))]
        ends = batches.balanced(
            [rows.tolist() for rows in real if len(rows)],
            classifier.batch_size,
            range(max(done - switch, 0), last),
            seed_for("head", seed),
        )
        order = itertools.chain(order, ends)
    loaded = batches.load(inputs, runtime, order, done, seed)
    bar = progress(loaded, total=classifier.steps, initial=done, desc="classifier", unit="step")
    model.train()
    for step, (rows, batch) in enumerate(bar, start=done + 1):
        # The head alone
        if step == switch + 1:
            _renew(model.head, seed)
            optimiser, schedule = _begin(model, classifier, last, head_alone=True)
        if step > switch:
            model.maps.eval()  # in every step, because a validation sets it back

        # Forward
        if mixup is not None:
            batch, share, partners = losses.mix(batch, mixup, generator)
        with autocast(runtime, device):
            log_probabilities = forward(batch.to(device))
        value = loss_of(log_probabilities, rows)
        if mixup is not None:
            value = share * value + (1 - share) * loss_of(log_probabilities, rows[partners])
        if not torch.isfinite(value):
            raise TrainingError(
                f"the loss is {value.item()} at step {step} of {classifier.steps}. Lower classifier.learning_rate "
                f"(it is {classifier.learning_rate:g}), or set runtime.precision to fp32; then run `dvc repro` again."
            )

        # Backward
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        history.append(value.item())

        # Report and keep
        if step * REPORTS // classifier.steps > (step - 1) * REPORTS // classifier.steps:
            since = history[max(reports, default=0) :]
            reports[step] = {"loss": sum(since) / len(since)}
            if val_inputs is not None:
                probabilities = _probabilities(model, val_inputs, runtime, device, classifier.batch_size)
                reports[step] |= _validate(torch.from_numpy(probabilities), val_targets)
            report(step, reports[step])
        if checkpoint is not None and (step % classifier.checkpoint_every == 0 or step == classifier.steps):
            checkpoint.save(
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "generator": generator.get_state(),
                    "losses": history,
                    "reports": reports,
                }
            )


def predict(
    model: Network,
    examples: pd.DataFrame,
    audio: Audio,
    runtime: Runtime,
    device: torch.device,
    batch_size: int,
    cache: Path | None = None,
) -> np.ndarray:
    """The classes' probabilities for each clip of `tables.EXAMPLES`, float32 `[N, classes]` in the table's order.

    Those of a clip that is longer than `audio.seconds` are the mean over its windows
    (:class:`counterpoise.core.windows.Windows`), as `counterpoise classify` has it.

    Args:
        cache: where a frozen body's embeddings are kept, as in :func:`train`; None embeds the clips anew.

    Raises:
        AudioError: a clip cannot be read.
    """
    inputs = _inputs(model, examples, audio, runtime, device, cache)
    return _probabilities(model, inputs, runtime, device, batch_size)


def _inputs(
    model: Network, examples: pd.DataFrame, audio: Audio, runtime: Runtime, device: torch.device, cache: Path | None
) -> Inputs:
    """What goes into the layers that learn: waves, or a frozen body's embeddings."""
    if model.frozen:
        return Embedded(kept.embed_clips(model, examples, audio, runtime, device, cache))
    return Waves(examples.path.tolist(), audio)


def _probabilities(
    model: Network,
    inputs: Inputs,
    runtime: Runtime,
    device: torch.device,
    batch_size: int,
) -> np.ndarray:
    was_training = model.training
    model.to(device).eval()
    forward = model.read_out if model.frozen else model
    sums, amounts = np.zeros((len(inputs), model.head.out_features)), np.zeros((len(inputs), 1))
    with torch.inference_mode(), autocast(runtime, device):
        for rows, batch in batches.windows(inputs, runtime, batch_size):
            np.add.at(sums, rows, forward(batch.to(device)).exp().cpu().numpy())
            np.add.at(amounts, rows, 1)
    model.train(was_training)
    return (sums / amounts).astype(np.float32)


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


def _targets(examples: pd.DataFrame, labels: list[str]) -> Tensor:
    """Class indices `[N]`."""
    if examples.empty:
        raise TrainingError("there is no clip to train on: look at data.limit and the split, then run `dvc repro`")
    unknown = sorted(set(examples.label) - set(labels))
    if unknown:
        raise TrainingError(f"clips of {', '.join(unknown)}, but the classes are {', '.join(labels)}")
    return torch.tensor([labels.index(label) for label in examples.label])


def _groups(model: Network, classifier: Classifier) -> tuple[list[dict], list[float]]:
    """Groups of weights that learn, and the peak of each one's learning rate."""
    body, head = ([weight for weight in part.parameters() if weight.requires_grad] for part in (model.maps, model.head))
    if not model.pretrained:
        return [{"params": body + head}], [classifier.learning_rate]
    groups = [(body, classifier.learning_rate * classifier.body_rate), (head, classifier.learning_rate)]
    groups = [(weights, rate) for weights, rate in groups if weights]  # a frozen body has none that learn
    return [{"params": weights} for weights, _ in groups], [rate for _, rate in groups]


def _begin(model: Network, classifier: Classifier, steps: int, head_alone: bool) -> tuple[Optimizer, LRScheduler]:
    """The optimiser and the schedule of one part of a training; where the head learns alone, the body is frozen."""
    if head_alone:
        model.maps.requires_grad_(False)
    groups, rates = _groups(model, classifier)
    optimiser = Adam(groups, lr=classifier.learning_rate, weight_decay=classifier.weight_decay)
    return optimiser, OneCycleLR(optimiser, rates, total_steps=steps)


def _renew(head: nn.Linear, seed: int) -> None:
    """Give a layer the random weights of a new one; they depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_for("head", seed))
        new = nn.Linear(head.in_features, head.out_features)
    head.load_state_dict(new.state_dict())


def _validate(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    loss = F.nll_loss(probabilities.clamp(min=1e-12).log(), targets)
    present = targets.unique().tolist()
    f1 = sklearn.metrics.f1_score(targets, probabilities.argmax(dim=1), labels=present, average="macro")
    return {"val_loss": loss.item(), "val_macro_f1": float(f1)}
