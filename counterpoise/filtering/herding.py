"""Which candidates are kept: those which together are most like the class's training clips."""

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.metrics import kad


def choose(
    class_filter: ClassFilter, label: str, candidates: pd.DataFrame, embeddings: np.ndarray, wanted: dict[str, int]
) -> np.ndarray:
    """Which candidates are kept: those which together are most like the class's training clips.

    One after another, the candidate that brings the kept ones nearest to the training clips in kernel mean discrepancy
    (kernel herding: Chen, Welling & Smola, "Super-Samples from Kernel Herding", UAI 2010, section 2), with the kernel
    of KAD. To keep those that the filter is surest of would leave the typical ones alone, and a set farther from
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
    reference = class_filter.reference(label)[0].astype(np.float64)
    embeddings = embeddings.astype(np.float64)
    distances = pdist(reference)
    bandwidth = float(np.median(distances)) if distances.any() else 1.0
    likeness = kad.kernel(embeddings, reference, bandwidth).mean(axis=1)
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
            crowding += kad.kernel(embeddings, embeddings[best : best + 1], bandwidth)[:, 0]
    return kept
