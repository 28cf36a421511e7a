"""A linear classifier on clips' features, learned from training clips alone.

Xiang, Yang, Huang & Wang, "Denoising Diffusion Autoencoders are Unified Self-supervised Learners", ICCV 2023, measure
features by such a probe, too.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from counterpoise.diffusion_classifier import table

GRID = (0.0001, 0.001, 0.01, 0.1, 1.0)  # values of C, the inverse strength of the penalty
UNCHOSEN = 0.01  # C where a class has too few recordings to choose by
FOLDS = 5  # at most; as many as the class with the fewest has recordings


def classify(features: np.ndarray, clips: pd.DataFrame, labels: Sequence[str]) -> tuple[pd.DataFrame, dict]:
    """Learn from the training clips, and say what the held-out clips are.

    A logistic regression on standardised features, in which all classes count the same: its prior is uniform. C is
    the one with the least log-loss in a cross-validation over recordings of the training clips, in which all classes
    count the same, too. Validation and test clips choose nothing.

    Args:
        features: of N clips, `[N, F]`.
        clips: N rows with `clip_id`, `label`, `source_id` and `partition`: train, val or test. Every class has
            training clips.
        labels: the K classes.

    Returns:
        The table of :func:`table.probabilities`, without training clips; and what was chosen: `features` (F), `C`, and
        `log_loss` (nats, cross-validated; None where a class has too few recordings).
    """
    is_training = (clips.partition == "train").to_numpy()
    training, held_out = clips[is_training], clips[~is_training]
    seen, truth = features[is_training].astype(np.float64), training.label.map(list(labels).index).to_numpy()
    C, loss = _choose(seen, truth, training.source_id.to_numpy())
    said = _classifier(C).fit(seen, truth).predict_proba(features[~is_training].astype(np.float64))
    columns = table.probabilities(labels)
    rows = held_out[["clip_id", "partition"]].reset_index(drop=True)
    rows = pd.concat([rows, pd.DataFrame(said, columns=list(columns)[2:])], axis=1)
    return rows.astype(columns), {"features": features.shape[1], "C": C, "log_loss": loss}


def _choose(features: np.ndarray, truth: np.ndarray, recordings: np.ndarray) -> tuple[float, float | None]:
    """The C of :data:`GRID` with the least cross-validated log-loss, and that log-loss."""
    folds = min(FOLDS, *(len(set(recordings[truth == k])) for k in set(truth)))
    if folds < 2:
        return UNCHOSEN, None
    weights, losses = compute_sample_weight("balanced", truth), {}
    for C in GRID:
        said = cross_val_predict(
            _classifier(C),
            features,
            truth,
            groups=recordings,
            cv=StratifiedGroupKFold(folds),
            method="predict_proba",
        )
        losses[C] = float(log_loss(truth, said, sample_weight=weights))
    best = min(losses, key=losses.__getitem__)
    return best, losses[best]


def _classifier(C: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=C, class_weight="balanced", max_iter=5000))
