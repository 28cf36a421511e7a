"""What the members of systems say, out of the tables that earlier stages left."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from counterpoise.core import tables
from counterpoise.ensembles import fusion
from counterpoise.ensembles.systems import Run


def said(rows: pd.DataFrame, clip_ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """The probabilities `[N, K]` of one member's rows, which have `clip_id` and `probability/<label>`, for these clips.

    Raises:
        KeyError: a clip has no row.
    """
    return rows.set_index("clip_id").loc[list(clip_ids), [tables.PROBABILITY + label for label in labels]].to_numpy()


def networks(table: pd.DataFrame, part: str, clip_ids: Sequence[str], labels: Sequence[str]) -> dict[Run, np.ndarray]:
    """What every trained network says of a partition's clips.

    Args:
        table: the columns `tables.probabilities(labels)`.
        part: val or test.
        clip_ids: its N clips.

    Returns:
        Probabilities `[N, K]` by run, in the table's order.
    """
    own = table[table.partition == part]
    return {
        (arm, model, int(seed)): said(rows, clip_ids, labels)
        for (arm, model, seed), rows in own.groupby(["arm", "model", "seed"], sort=False)
    }


def balanced(rows: pd.DataFrame, clips: Mapping[str, pd.DataFrame], labels: Sequence[str]) -> dict[str, np.ndarray]:
    """The log-likelihoods of a member that learned all classes as if they were equally frequent.

    Args:
        rows: of this member, as for :func:`said`.
        clips: by partition, N clips with `clip_id`.

    Returns:
        `[N, K]` by partition.

    Raises:
        KeyError: a clip has no row.
    """
    prior = np.full(len(labels), 1 / len(labels))
    return {part: fusion.log_likelihoods(said(rows, own.clip_id, labels), prior) for part, own in clips.items()}
