"""What was generated, to look at: its quality beside that of other sets of sounds, and its spectrograms.

The same bytes from the same results, see :mod:`counterpoise.plotting.style`. Sets differ in colour and in shape; levels
are shown in cividis, which reads alike with and without colour vision (Nuñez, Anderton & Renslow, PLOS ONE 2018).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from counterpoise.assessment.measures import CLASSIC, HELD_OUT, NEAREST, OTHERS, ROUND_TRIP, TRAINING, VARIATIONS
from counterpoise.core import audio
from counterpoise.embeddings.spectrogram import MelSpectrogram
from counterpoise.plotting.style import DPI, STYLE, save

LOOKS = {  # of a set: what people read, colour, marker
    HELD_OUT: ("held-out real clips (KAD: by halves)", "#000000", "|"),
    TRAINING: ("training clips", "#7f7f7f", "o"),
    ROUND_TRIP: ("… through the codec and back", "#56B4E9", "s"),
    CLASSIC: ("… classically augmented", "#009E73", "^"),
    VARIATIONS: ("variations by diffusion", "#D55E00", "D"),
    NEAREST: ("nearest other class, real", "#CC79A7", "v"),
    OTHERS: ("other classes, mean", "#CC79A7", "x"),
}
PANELS = {  # measure: title, what the axis says, where a line is drawn
    "kad": ("How far from unseen real clips", "KAD × 100: 0 is perfect\ncompare sets of one class only", 0.0),
    "recognised": ("Recognised as its class", "share, by a filter that\nlearned from the training clips", None),
    "c2st": ("Told from training clips", "AUC of a simple machine:\n0.5 it cannot tell, 1 it always can", 0.5),
}
HERTZ = (500, 2000, 6000, 16000)
SHOWN_DB = 80  # below the loudest point


def quality(table: pd.DataFrame, names: dict[str, str], path: Path) -> None:
    """Draw a panel a measure: classes from top to bottom, a mark a set, with its interval.

    Args:
        table: rows of `generated.TABLE`, all strengths together.
        names: what people read, by slug.
        path: the PNG to write.
    """
    table = table[table.strength.isna()]
    labels = list(dict.fromkeys(table.label))
    sets = [name for name in LOOKS if name in set(table.set)]
    gap = 0.8 / len(sets)  # between two sets of one class; classes are 1 apart
    with style.context(["default", STYLE]):
        height = 0.17 * len(sets) * len(labels) + 1.9  # inches
        figure = Figure(figsize=(10, height), dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for panel, (measure, (title, axis, line)) in zip(panels, PANELS.items()):
            if line is not None:
                panel.axvline(line, color="#bbbbbb", linewidth=0.8)
            for i, name in enumerate(sets):
                own = table[(table.set == name) & table[measure].notna()]
                at = own.label.map(labels.index).to_numpy() + (i - (len(sets) - 1) / 2) * gap
                read, colour, marker = LOOKS[name]
                if f"{measure}_low" in own:
                    panel.hlines(at, own[f"{measure}_low"], own[f"{measure}_high"], color=colour, lw=1.2, alpha=0.5)
                panel.plot(own[measure], at, marker, color=colour, markersize=6, label=read, zorder=3)
            for y in range(1, len(labels)):
                panel.axhline(y - 0.5, color="#eeeeee", linewidth=0.8)
            panel.set_title(title, loc="left")
            panel.set_xlabel(axis)
            panel.spines["left"].set_visible(False)
        panels[0].set_xscale("symlog", linthresh=10)
        panels[0].xaxis.set_major_formatter("{x:g}")
        panels[0].set_xlim(right=max(120, panels[0].get_xlim()[1]))
        panels[1].set_xlim(-0.03, 1.03)
        panels[2].set_xlim(min(0.3, panels[2].get_xlim()[0]), 1.03)
        panels[0].set_yticks(range(len(labels)), [names.get(label, label) for label in labels])
        panels[0].set_ylim(len(labels) - 0.5, -0.5)
        handles, texts = panels[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside upper left", ncols=4, frameon=False)
        save(figure, path)


def examples(lineage: pd.DataFrame) -> pd.DataFrame:
    """Variations to look at, of the lowest, the middle and the highest strength that a class has.

    Args:
        lineage: `tables.LINEAGE` of one class, 1 or more rows.

    Returns:
        One to three rows, by strength: as many as can be of one clip, whose own come first where two are alike.
    """
    levels = sorted(lineage.strength.unique())
    wanted = sorted({levels[0], levels[len(levels) // 2], levels[-1]})
    found = lineage[lineage.strength.isin(wanted)]
    root = found.groupby("root_clip_id").strength.nunique().idxmax()
    order = (found.root_clip_id != root).sort_values(kind="stable").index
    return found.loc[order].drop_duplicates("strength").sort_values("strength")


def spectrograms(
    rows: dict[str, list[tuple[str, np.ndarray]]], spectrogram: MelSpectrogram, sample_rate: int, path: Path
) -> None:
    """Draw log-mel spectrograms, a row a class; each is as loud as it can be, and a row shares its time axis.

    Args:
        rows: class name to sounds, each its title and its wave `[channels, samples]`; 1 or more.
        sample_rate: Hz.
        path: the PNG to write.
    """
    columns = max(map(len, rows.values()))
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(2.1 * columns + 0.9, 1.55 * len(rows) + 0.5), dpi=DPI, layout="constrained")
        panels = figure.subplots(len(rows), columns, squeeze=False)
        for line, (name, sounds) in zip(panels, rows.items()):
            for panel, (title, wave) in zip(line, sounds):
                image = _draw(panel, wave, spectrogram, sample_rate)
                panel.set_title(title, loc="left", fontsize=8)
                panel.tick_params(labelleft=panel is line[0], labelsize=7)
            for panel in line[len(sounds) :]:
                panel.remove()
            line[0].set_ylabel(name, fontsize=10, fontweight="bold")
        panels[-1, 0].set_xlabel("s", fontsize=8)
        bar = figure.colorbar(image, ax=figure.axes, shrink=min(1, 1.6 / len(rows)), aspect=12, pad=0.01)
        bar.set_label("dB below the loudest point", fontsize=8)
        bar.ax.tick_params(labelsize=7)
        save(figure, path)


def levels(wave: np.ndarray, spectrogram: MelSpectrogram) -> np.ndarray:
    """`[channels, samples]` to `[n_mels, frames]`: the mean over channels, dB below its loudest point, -80 to 0."""
    samples = max(wave.shape[1], spectrogram.n_fft, spectrogram.hop)
    level = 20 * spectrogram(torch.from_numpy(audio.fit(wave, samples))[None])[0].mean(dim=0).numpy()
    return np.maximum(level - level.max(), -SHOWN_DB)


def _draw(panel: Axes, wave: np.ndarray, spectrogram: MelSpectrogram, sample_rate: int) -> AxesImage:
    level = levels(wave, spectrogram)
    bands, frames = level.shape
    image = panel.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="cividis",
        vmin=-SHOWN_DB,
        vmax=0,
        interpolation="nearest",
        extent=(0, frames * spectrogram.hop / sample_rate, -0.5, bands - 0.5),
    )
    ticks = [hertz for hertz in HERTZ if hertz < sample_rate / 2]
    panel.set_yticks([band(h, bands, sample_rate) for h in ticks], [f"{h / 1000:g} kHz" for h in ticks])
    return image


def band(hertz: float, bands: int, sample_rate: int) -> float:
    """Where a frequency lies among torchaudio's mel bands, which are centred evenly on the HTK scale.

    Args:
        hertz: the frequency, 0 or more.
        bands: how many bands there are, from 0 Hz to half the sample rate.
        sample_rate: Hz.

    Returns:
        The band's index, with a fraction between two centres; below 0 or above `bands - 1` beyond the outer centres.
    """
    mel = np.log1p(np.array([hertz, sample_rate / 2]) / 700)
    return float(mel[0] / mel[1] * (bands + 1) - 1)
