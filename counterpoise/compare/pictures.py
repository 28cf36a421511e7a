"""Pictures of experiments side by side: a score against one parameter, and all configurations below each other.

Colours, shapes and bytes as in :mod:`counterpoise.plotting.style`.
"""

import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterpoise.compare.configurations import is_number, order, shown
from counterpoise.plotting.style import DPI, STYLE, look, save

TITLE = 40  # characters of a panel's title in a line
IN_A_ROW = 3  # panels
NAMES_IN_A_ROW = 3  # of the legend


def positions(values: list) -> tuple[dict[str, float], str]:
    """Where a parameter's values stand on an axis.

    Returns:
        The place of each value, by how it is shown; and the kind of axis: "categories" where a value is no number;
        "log2" where positive numbers span a factor of 4 or more in unequal steps, with 0 one step below the smallest;
        else "linear".
    """
    numbers = sorted({value for value in values if is_number(value)})
    if len(numbers) < 2 or len(numbers) < len({shown(value) for value in values}):
        names = dict.fromkeys(shown(value) for value in sorted(values, key=order))
        return {name: float(i) for i, name in enumerate(names)}, "categories"
    steps, positive = np.diff(numbers), [number for number in numbers if number > 0]
    if numbers[0] < 0 or np.allclose(steps, steps[0]) or positive[-1] < 4 * positive[0]:
        return {shown(number): float(number) for number in numbers}, "linear"
    return {shown(number): float(np.log2(number if number else positive[0] / 2)) for number in numbers}, "log2"


def lines(table: pd.DataFrame, x: str, y: str, path: Path) -> None:
    """Draw a score against a parameter: a line a series with its intervals, a panel for each model or other setting.

    Args:
        table: columns panel, series, x (the parameter's values), mean, low, high; an interval that is not known is NaN.
        x, y: the axes' labels.
        path: the PNG to write.
    """
    places, kind = positions(list(table.x))
    names, series = list(places), list(dict.fromkeys(table.series))
    gap = 0.5 * min(np.diff(sorted(places.values())), default=1.0)  # shared by the bars of one value
    with style.context(["default", STYLE]):
        figure, panels = _figure(table, width=4.6, height=3.4)
        for panel, (title, own) in zip(panels, table.groupby("panel", sort=False)):
            for i, name in enumerate(series):
                line = own[own.series == name].assign(at=[places[shown(value)] for value in own[own.series == name].x])
                line = line.sort_values("at")
                at = line["at"] + (i / len(series) - (1 - 1 / len(series)) / 2) * gap
                drawn = look(i) | {"markersize": 5, "markeredgecolor": "white", "markeredgewidth": 0.6}
                panel.vlines(at, line.low, line.high, color=drawn["color"], linewidth=1.2, alpha=0.55)
                panel.plot(at, line["mean"], ":" if kind == "categories" else "-", linewidth=1.2, label=name, **drawn)
            panel.set_title(textwrap.fill(title, TITLE), loc="left", fontweight="bold")
            panel.set_xticks(list(places.values()), names)
            panel.tick_params(labelbottom=True)  # below a panel there may be no other
            panel.set(xlabel=x + (", log scale" if kind == "log2" else ""), ylabel=y if panel is panels[0] else "")
            panel.grid(axis="y", color="#eeeeee", linewidth=0.8)
            panel.set_axisbelow(True)
        _legend(figure, panels[0], series)
        save(figure, path)


def forest(table: pd.DataFrame, x: str, path: Path) -> None:
    """Draw all configurations below each other, with a mark and an interval for each arm; a panel a model.

    Args:
        table: columns panel, row (the configuration's name), series (the arm), mean, low, high.
        x: the axis's label.
        path: the PNG to write.
    """
    rows, series = list(dict.fromkeys(table.row)), list(dict.fromkeys(table.series))
    gap = 0.8 / len(series)  # between two arms of one configuration; configurations are 1 apart
    with style.context(["default", STYLE]):
        height = max(0.5, 0.15 * len(series) + 0.1) * len(rows) + 0.6
        figure, panels = _figure(table, width=4.4, height=height, left=1.4)
        for panel, (title, own) in zip(panels, table.groupby("panel", sort=False)):
            for i, name in enumerate(series):
                marks = own[own.series == name]
                at = marks.row.map(rows.index) + (i - (len(series) - 1) / 2) * gap
                panel.hlines(at, marks.low, marks.high, color=look(i)["color"], linewidth=1.4, alpha=0.5)
                panel.scatter(marks["mean"], at, s=32, ec="white", lw=0.6, zorder=3, label=name, **look(i))
            for y in range(1, len(rows)):
                panel.axhline(y - 0.5, color="#eeeeee", linewidth=0.8, zorder=0)
            panel.set_title(textwrap.fill(title, TITLE), loc="left", fontweight="bold")
            panel.set_xlabel(x)
            panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
            panel.set_axisbelow(True)
            panel.spines["left"].set_visible(False)
            panel.set_yticks(range(len(rows)), rows)
            panel.set_ylim(len(rows) - 0.5, -0.5)
        _legend(figure, panels[0], series)
        save(figure, path)


def _figure(table: pd.DataFrame, width: float, height: float, left: float = 0.0) -> tuple[Figure, list[Axes]]:
    """A grid of panels of this size in inches, with room on the left and for the legend; those too many are gone."""
    count = table.panel.nunique()
    columns = min(count, IN_A_ROW)
    rows = -(-count // columns)
    size = (left + width * columns, height * rows + 0.2 + 0.25 * -(-table.series.nunique() // NAMES_IN_A_ROW))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    for panel in panels[count:]:
        panel.remove()
    return figure, list(panels[:count])


def _legend(figure: Figure, panel: Axes, series: list[str]) -> None:
    handles, names = panel.get_legend_handles_labels()
    columns = min(len(series), NAMES_IN_A_ROW)
    figure.legend(handles, names, loc="outside upper left", ncols=columns, frameon=False, columnspacing=1.0)
