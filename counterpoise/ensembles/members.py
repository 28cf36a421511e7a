"""What the members of systems say, out of the tables that earlier stages left."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from counterpoise.core import tables
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
