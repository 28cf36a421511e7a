"""The tables that the stages `denoiser_losses` and `denoiser_features` leave."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from counterpoise.core import tables

FIXED = {"clip_id": "str", "partition": "str", "sigma": "float64", "draw": "int64"}
PREFIX = "loss/"  # of the columns that hold a class's losses


def schema(labels: Sequence[str]) -> dict[str, str]:
    """The columns of the table of losses: a row for each clip, noise level and draw, a column for each class."""
    return {**FIXED, **{PREFIX + label: "float64" for label in labels}}


def probabilities(labels: Sequence[str]) -> dict[str, str]:
    """The columns of what the features say: a row for each held-out clip, a column for each class's probability."""
    return {"clip_id": "str", "partition": "str", **{tables.PROBABILITY + label: "float64" for label in labels}}


def to_table(
    losses: np.ndarray, clip_ids: Sequence[str], partitions: Sequence[str], labels: Sequence[str], sigmas: list[float]
) -> pd.DataFrame:
    """Losses `[N, K, L, D]` as the table of :func:`schema`."""
    clips, classes, levels, draws = losses.shape
    frame = pd.DataFrame(
        losses.transpose(0, 2, 3, 1).reshape(-1, classes), columns=[PREFIX + label for label in labels]
    )
    frame.insert(0, "draw", np.tile(np.arange(draws), clips * levels))
    frame.insert(0, "sigma", np.tile(np.repeat(sigmas, draws), clips))
    for name, values in (("partition", partitions), ("clip_id", clip_ids)):
        frame.insert(0, name, np.repeat(list(values), levels * draws))
    return frame.astype(schema(labels))


def from_table(table: pd.DataFrame, clip_ids: Sequence[str], labels: Sequence[str]) -> np.ndarray:
    """The losses of these clips, `[N, K, L, D]`, from the table of :func:`schema`; levels rise.

    Raises:
        KeyError: a clip is not in the table.
    """
    levels, draws = table.sigma.nunique(), table.draw.nunique()
    columns = [PREFIX + label for label in labels]
    ordered = table.set_index("clip_id").loc[list(clip_ids)]
    values = ordered[columns].to_numpy().reshape(len(clip_ids), levels, draws, len(columns))
    return values.transpose(0, 3, 1, 2)
