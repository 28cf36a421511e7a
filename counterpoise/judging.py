"""Who recognises a generated sound, and which candidates are kept. The judge has heard training clips and no others."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import load_file, save_file
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from tqdm import tqdm

from counterpoise import CounterpoiseError, catalog, quality

VERDICT = {name: catalog.CANDIDATES[name] for name in ("recognised", "probability", "nearest", "reason")}
CLIPS = ["clip_id", "label", "source_id"]
REGULARISATION = 0.01  # scikit-learn's C; chosen for 1024-number embeddings of some ten clips a class


class JudgeError(CounterpoiseError):
    """A judge that cannot be read."""


class UselessModel(CounterpoiseError):
    """A diffusion model that makes hardly anything that the judge takes for its class."""


class Judge:
    """Logistic regression on standardised embeddings, and the embeddings of the training clips that it learned from.

    Args:
        labels: the classes, in order.
        tensors: mean and scale `[D]` of the embeddings, weight `[classes, D]`, bias `[classes]`; reference `[N, D]`.
        clips: the training clips of the reference, with clip_id, label and source_id.
        embedding: whose embeddings these are, for people to read.
    """

    def __init__(
        self, labels: list[str], tensors: dict[str, np.ndarray], clips: pd.DataFrame, embedding: str
    ) -> None:
        self.labels, self._tensors, self.clips, self.embedding = labels, tensors, clips, embedding

    @classmethod
    def fit(cls, embeddings: np.ndarray, clips: pd.DataFrame, labels: list[str], embedding: str) -> "Judge":
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
        """Write judge.safetensors and judge.json; the same judge gives the same bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(self._tensors, folder / "judge.safetensors")
        about = {"labels": self.labels, "embedding": self.embedding, "clips": self.clips.to_dict("list")}
        (folder / "judge.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Judge":
        """Read what :meth:`save` wrote.

        Raises:
            JudgeError: a file is missing.
        """
        try:
            about = json.loads((folder / "judge.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / "judge.safetensors")
        except FileNotFoundError as error:
            raise JudgeError(f"{error.filename} is missing: run `dvc repro train_judge`, or `dvc pull`") from None
        clips = pd.DataFrame(about["clips"], columns=CLIPS, dtype="str")
        return cls(about["labels"], tensors, clips, about["embedding"])


def assess(judge: Judge, label: str, waves: Tensor, embeddings: np.ndarray) -> pd.DataFrame:
    """Look at candidates of one class.

    Args:
        waves: `[N, channels, samples]`, each without padding or all of one length.
        embeddings: `[N, D]`.

    Returns:
        A row a candidate: `recognised` (the class that the judge hears), `probability` of the class it should be,
        `nearest` (the id of the nearest training clip of the class), `reason` to reject it, or "".
    """
    probabilities = judge.probabilities(embeddings)
    reference, clips = judge.reference(label)
    found = quality.novelty(embeddings, reference, real_groups=clips.source_id.tolist())
    heard = [judge.labels[i] for i in probabilities.argmax(axis=1)]
    nearest = clips.clip_id.iloc[found.nearest].tolist()
    silent, clipped = (test(waves).tolist() for test in (quality.is_silent, quality.is_clipped))
    reasons = []
    for i in range(len(waves)):
        reasons.append(
            "silent" if silent[i]
            else "clipped" if clipped[i]
            else f"near copy of {nearest[i]}" if found.near_copy[i]
            else f"taken for {heard[i]}" if heard[i] != label
            else ""
        )
    return pd.DataFrame({
        "recognised": heard,
        "probability": probabilities[:, judge.labels.index(label)],
        "nearest": nearest,
        "reason": reasons,
    }).astype(VERDICT)


def hear(
    judge: Judge, label: str, sounds: Iterable[np.ndarray], embed: Callable[[Tensor], Tensor]
) -> tuple[pd.DataFrame, np.ndarray]:
    """:func:`assess` sounds one after another, a single one in memory.

    Args:
        sounds: each `[channels, samples]`.
        embed: from `[1, channels, samples]` to `[1, D]`.

    Returns:
        What `assess` says of them, and their embeddings `[N, D]`.
    """
    verdicts, embeddings = [catalog.table([], VERDICT)], []
    for sound in tqdm(sounds, desc=f"judge {label}", unit="clip"):
        wave = torch.from_numpy(sound)[None]
        embeddings.append(embed(wave).numpy())
        verdicts.append(assess(judge, label, wave, embeddings[-1]))
    return pd.concat(verdicts, ignore_index=True), np.concatenate(embeddings) if embeddings else np.empty((0, 0))


def choose(
    judge: Judge, label: str, candidates: pd.DataFrame, embeddings: np.ndarray, wanted: dict[str, int]
) -> np.ndarray:
    """Which candidates are kept: those which together are most like the class's training clips.

    One after another, the candidate that brings the kept ones nearest to the training clips in kernel mean discrepancy
    (kernel herding: Chen, Welling & Smola, "Super-Samples from Kernel Herding", UAI 2010, section 2), with the kernel
    of KAD. To keep those that the judge is surest of would leave the typical ones alone, and a set that is farther from
    real sounds than the candidates were.

    Args:
        candidates: columns root_clip_id and reason; rejected ones have a reason.
        embeddings: theirs, `[N, D]`.
        wanted: how many variations of each root; where it has too few good ones, other roots' fill in.

    Returns:
        bool `[N]`.
    """
    kept, free = np.zeros(len(candidates), bool), (candidates.reason == "").to_numpy(copy=True)
    if not free.any():
        return kept
    reference = judge.reference(label)[0].astype(np.float64)
    embeddings = embeddings.astype(np.float64)
    distances = pdist(reference)
    bandwidth = float(np.median(distances)) if distances.any() else 1.0
    likeness = quality.kernel(embeddings, reference, bandwidth).mean(axis=1)
    crowding = np.zeros(len(candidates))  # likeness to those kept already, summed
    roots, left = candidates.root_clip_id.to_numpy(), dict(wanted)
    for own_turn in (True, False):  # every root its share, then whatever is missing
        while free.any() and kept.sum() < sum(wanted.values()):
            allowed = free & np.array([left.get(root, 0) > 0 for root in roots]) if own_turn else free
            if not allowed.any():
                break
            cost = np.where(allowed, crowding / (kept.sum() + 1) - likeness, np.inf)
            best = int(cost.argmin())
            kept[best], free[best] = True, False
            left[roots[best]] = left.get(roots[best], 0) - 1
            crowding += quality.kernel(embeddings, embeddings[best : best + 1], bandwidth)[:, 0]
    return kept


def check_useful(label: str, candidates: pd.DataFrame) -> None:
    """Stop rather than fill a class up with noise.

    Raises:
        UselessModel: the judge rejected more than nine in ten candidates.
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
    kinds = candidates.reason[candidates.reason != ""].str.replace(r"^(near copy|taken).*", r"\1", regex=True)
    names = {"near copy": "near copies", "taken": "taken for another class"}
    rejected = "".join(f", {count} {names.get(kind, kind)}" for kind, count in kinds.value_counts().items())
    kept = int(candidates.kept.sum())
    line = f"{label}: kept {kept} of {len(candidates)} candidates{rejected}"
    if kept < wanted:
        line += (
            f"; {wanted} were wanted. Raise generate.candidates, lower generate.strength, train longer "
            "(diffusion.steps, steps_per_clip, min_steps), or set generate.keep to all"
        )
    return line
