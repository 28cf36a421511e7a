"""How pictures look, and how they are written: the same bytes from the same results.

Colours are those of Okabe and Ito (2008), which people with colour-blindness can tell apart; the baseline is grey.
"""

from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

ARM_COLOURS = ["#7f7f7f", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#8c6d31", "#D55E00", "#000000"]
ARM_MARKERS = ["o", "s", "D", "^", "v", "P", "p", "X", "*"]
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that every machine draws the same letters
    "font.size": 9,
    "text.color": "#222222",
    "axes.edgecolor": "#bbbbbb",
    "axes.labelcolor": "#222222",
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#222222",
    "ytick.color": "#222222",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
}
DPI = 150


def look(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th arm or series; where colours come again, markers do not come with them."""
    marker = ARM_MARKERS[(i + i // len(ARM_COLOURS)) % len(ARM_MARKERS)]
    return {"color": ARM_COLOURS[i % len(ARM_COLOURS)], "marker": marker}


def save(figure: Figure, path: Path) -> None:
    """Write a PNG without the drawing program's name and version, which would change its bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})
