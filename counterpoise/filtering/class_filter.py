"""The class filter: whether a generated sound is recognised as its class. It has seen training clips and no others."""

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from counterpoise.classifiers.networks import io
from counterpoise.core import CounterpoiseError, seen, tables
from counterpoise.core.progress import progress
from counterpoise.embeddings.embedder import Embedder
from counterpoise.metrics import kad, signal

VERDICT = {name: tables.CANDIDATES[name] for name in ("recognised", "probability", "nearest", "reason")}
AUDIOSET, OWN = "yamnet.safetensors", "cnn"  # beside the filter, what makes its embeddings
CLIPS = ["clip_id", "label", "source_id"]
SILENT, CLIPPED, NEAR_COPY, OTHER_CLASS = REASONS = ("silent", "clipped", "near copy", "other class")
REGULARISATION = 0.01  # scikit-learn's C; chosen for 1024-number embeddings of some ten clips a class


class ClassFilterError(CounterpoiseError):
    """A class filter that cannot be read."""


class UselessModel(CounterpoiseError):
    """A diffusion model that makes hardly anything that the class filter takes for its class."""


class ClassFilter:
    """Logistic regression on standardised embeddings, and the embeddings of the training clips that it learned from.

    Args:
        labels: the classes, in order.
        tensors: mean and scale `[D]` of the embeddings, weight `[classes, D]`, bias `[classes]`; reference `[N, D]`.
        clips: the training clips of the reference, with clip_id, label and source_id.
        embedding: whose embeddings these are, for people to read.
    """

    def __init__(self, labels: list[str], tensors: dict[str, np.ndarray], clips: pd.DataFrame, embedding: str) -> None:
        self.labels, self._tensors, self.clips, self.embedding = labels, tensors, clips, embedding

    @classmethod
    def fit(cls, embeddings: np.ndarray, clips: pd.DataFrame, labels: list[str], embedding: str) -> "ClassFilter":
        """Learn from training clips: embeddings `[N, D]` of the rows of `clips` (clip_id, label, source_id)."""
        mean, scale = embeddings.mean(axis=0), embeddings.std(axis=0)
        scale = np.where(scale > 1e-6 * scale.max(), scale, 1.0)
        targets = [labels.index(label) for label in clips.label]
        model = LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=5000)
        model.fit((embeddings - mean) / scale, targets)
        weight, bias = model.coef_, model.intercept_
        if len(labels) == 2:  # scikit-learn keeps one row for two classes
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        tensors = {"mean": mean, "scale": scale, "weight": weight, "bias": bias, "reference": embeddings}
        tensors = {name: np.ascontiguousarray(value, np.float32) for name, value in tensors.items()}
        return cls(labels, tensors, clips[CLIPS].reset_index(drop=True), embedding)

    def probabilities(self, embeddings: np.ndarray) -> np.ndarray:
        """Of the classes: `[N, D]` to `[N, classes]`."""
        standardised = (embeddings - self._tensors["mean"]) / self._tensors["scale"]
        logits = standardised @ self._tensors["weight"].T + self._tensors["bias"]
        return torch.from_numpy(logits).softmax(dim=1).numpy()

    def reference(self, label: str) -> tuple[np.ndarray, pd.DataFrame]:
        """Embeddings `[n, D]` of a class's training clips, and their rows."""
        own = (self.clips.label == label).to_numpy()
        return self._tensors["reference"][own], self.clips[own]

    def save(self, folder: Path) -> None:
        """Write class_filter.safetensors, class_filter.json and seen.json; the same filter gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._tensors, folder / "class_filter.safetensors")
        about = {"labels": self.labels, "embedding": self.embedding, "clips": self.clips.to_dict("list")}
        (folder / "class_filter.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        seen.write(folder, self.clips.clip_id)

    @classmethod
    def load(cls, folder: Path) -> "ClassFilter":
        """Read what :meth:`save` wrote.

        Raises:
            ClassFilterError: a file is missing.
        """
        try:
            about = json.loads((folder / "class_filter.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "class_filter.safetensors")
        except FileNotFoundError as error:
            raise ClassFilterError(
                f"{error.filename} is missing: run `dvc repro train_class_filter`, or `dvc pull`"
            ) from None
        clips = pd.DataFrame(about["clips"], columns=CLIPS, dtype="str")
        return cls(about["labels"], tensors, clips, about["embedding"])

    @staticmethod
    def save_embedder(folder: Path, weights: Path) -> None:
        """Keep AudioSet's YAMNet beside the filter, as what its embeddings are made by."""
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(weights, folder / AUDIOSET)

    @staticmethod
    def embedder(folder: Path, device: torch.device) -> Embedder:
        """What makes a filter's embeddings: AudioSet's YAMNet, or a classifier of the collection's own.

        Raises:
            AudioSetError: the weights are damaged.
            ModelError: there is neither.
        """
        weights = folder / AUDIOSET
        return Embedder.audioset(weights, device) if weights.exists() else io.embedder(folder / OWN, device)


def examine(class_filter: ClassFilter, label: str, waves: Tensor, embeddings: np.ndarray) -> pd.DataFrame:
    """Look at candidates of one class.

    Args:
        waves: `[N, channels, samples]`, each without padding or all of one length.
        embeddings: `[N, D]`.

    Returns:
        A row a candidate: `recognised` (the class that the filter takes it for), `probability` of the class it should
        be, `nearest` (the id of the nearest training clip of the class), `reason` to reject it, one of REASONS, or "".
    """
    probabilities = class_filter.probabilities(embeddings)
    reference, clips = class_filter.reference(label)
    found = kad.novelty(embeddings, reference, real_groups=clips.source_id.tolist())
    recognised = [class_filter.labels[i] for i in probabilities.argmax(axis=1)]
    reasons = np.select(
        [signal.is_silent(waves), signal.is_clipped(waves), found.near_copy, np.array(recognised) != label],
        [SILENT, CLIPPED, NEAR_COPY, OTHER_CLASS],
        default="",
    )
    return pd.DataFrame(
        {
            "recognised": recognised,
            "probability": probabilities[:, class_filter.labels.index(label)],
            "nearest": clips.clip_id.iloc[found.nearest].tolist(),
            "reason": reasons,
        }
    ).astype(VERDICT)


def examine_all(
    class_filter: ClassFilter, label: str, sounds: Iterable[np.ndarray], embed: Callable[[Tensor], Tensor]
) -> tuple[pd.DataFrame, np.ndarray]:
    """:func:`examine` sounds one after another, a single one in memory.

    Args:
        sounds: each `[channels, samples]`.
        embed: from `[1, channels, samples]` to `[1, D]`.

    Returns:
        What `examine` says of them, and their embeddings `[N, D]`.
    """
    verdicts, embeddings = [tables.table([], VERDICT)], []
    for sound in progress(sounds, desc=f"filter {label}", unit="clip"):
        wave = torch.from_numpy(sound)[None]
        embeddings.append(embed(wave).numpy())
        verdicts.append(examine(class_filter, label, wave, embeddings[-1]))
    return pd.concat(verdicts, ignore_index=True), np.concatenate(embeddings) if embeddings else np.empty((0, 0))


def check_useful(label: str, candidates: pd.DataFrame) -> None:
    """Stop rather than fill a class up with noise.

    Raises:
        UselessModel: the class filter rejected more than nine in ten candidates.
    """
    good = int((candidates.reason == "").sum())
    if 10 * good < len(candidates):
        raise UselessModel(
            f"{summary(label, candidates.assign(kept=candidates.reason == ''), 0)}. So few are no help. Train longer "
            "(diffusion.steps, steps_per_clip and min_steps; diffusion.init: shared), lower generate.strength, or "
            "start from the class's own clips (generate.start: own); generate.keep: all takes them as they are."
        )


def summary(label: str, candidates: pd.DataFrame, wanted: int) -> str:
    """A line that says how many candidates were kept, and why the others were not."""
    names = {NEAR_COPY: "near copies", OTHER_CLASS: "taken for another class"}
    counts = candidates.reason[candidates.reason != ""].value_counts()
    rejected = "".join(f", {count} {names.get(reason, reason)}" for reason, count in counts.items())
    kept = int(candidates.kept.sum())
    line = f"{label}: kept {kept} of {len(candidates)} candidates{rejected}"
    if kept < wanted:
        line += (
            f"; {wanted} were wanted. Raise generate.candidates, lower generate.strength, train longer "
            "(diffusion.steps, steps_per_clip, min_steps), or set generate.keep to all"
        )
    return line
