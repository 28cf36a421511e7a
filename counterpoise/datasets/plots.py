"""The collection as a picture."""

from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.figure import Figure

from counterpoise.plotting.style import DPI, STYLE, save

PARTITION_COLOURS = {"train": "#0072B2", "val": "#E69F00", "test": "#009E73", "unused": "#cccccc"}


def collection(data: dict, names: dict[str, str], path: Path) -> None:
    """Draw how many clips each class has and in which partition they lie, the largest class first.

    Args:
        data: from `summary.describe`.
        names: what people read, by slug.
        path: the PNG to write.
    """
    classes = data["classes"]
    labels = sorted(classes, key=lambda label: (-classes[label]["clips"], label))
    ticks = [f"{names.get(label, label)}\n{classes[label]['recordings']} recordings" for label in labels]
    levels = range(len(labels))
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(6.4, 0.42 * len(labels) + 1.2), dpi=DPI, layout="constrained")
        panel = figure.subplots()
        left = np.zeros(len(labels))
        for partition, colour in PARTITION_COLOURS.items():
            clips = np.array([classes[label]["partitions"][partition]["clips"] for label in labels])
            if clips.any():
                panel.barh(levels, clips, 0.62, left=left, color=colour, ec="white", lw=0.6, label=partition)
                left += clips
        for level, clips in zip(levels, left, strict=True):  # type: ignore[assignment]
            panel.annotate(f"{clips:.0f}", (clips, level), (4, 0), textcoords="offset points", va="center")
        panel.set_yticks(levels, ticks)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set(xlabel="clips", xlim=(0, 1.08 * left.max(initial=1)))
        panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.spines["left"].set_visible(False)
        figure.legend(loc="outside upper left", ncols=len(PARTITION_COLOURS), frameon=False)
        save(figure, path)
