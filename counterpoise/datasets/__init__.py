"""Sources of sounds: each module turns one into a catalogue."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from counterpoise.datasets import dogs, urbansound8k
from counterpoise.params import Data

SOURCES = {"dogs": dogs.collect, "urbansound8k": urbansound8k.collect}


def collect(data: Data, classes: Mapping[str, str], raw: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read or make the clips of the chosen source.

    Args:
        data: which source, and where it lies.
        classes: display name by slug; other classes of the source are left out.
        raw: folder for audio that the source makes or fetches.

    Returns:
        The catalogue (columns `catalog.CLIPS`), and what was left out and why (`catalog.REJECTED`).
    """
    return SOURCES[data.dataset](data, classes, raw)
