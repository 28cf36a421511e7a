"""The results as tidy tables for plots, and as PNG pictures: the same bytes from the same results."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from counterpoise.arms.arm import BASELINE
from counterpoise.core import tables
from counterpoise.evaluation.metrics import HEADLINES, title
from counterpoise.evaluation.scores import OF_CLASS, by_size
from counterpoise.plotting.style import DPI, STYLE, save

CURVES = {
    "model": "str",
    "arm": "str",
    "seed": "int64",
    "step": "int64",
    "loss": "float64",  # mean over the steps since the row before
    "val_macro_f1": "float64",
}
VERDICT_STYLES = {"helps": ("#0072B2", "^"), "hurts": ("#D55E00", "v"), "cannot tell": ("#7f7f7f", "o")}
DIFFERENCES = ["model", "metric", "arm", "against", "mean", "low", "high", "corrected_low", "corrected_high", "verdict"]
PANELS_IN_A_ROW = 4
RECALLS_IN_A_ROW = 3


def draw(
    views: dict[str, dict],
    models: Sequence[str],
    runs: Sequence[tuple[str, str, int]],
    counts: dict[str, int],
    names: dict[str, str],
    folder: Path,
) -> None:
    """Write the tables that DVC plots, `confusion.csv`, `per_class.csv` and `curves.csv`, and the folder `pictures`.

    Args:
        views: `seeds`, from `scores.summarise`, and `answer`, from `bootstrap.answer`.
        models: those of which there is a confusion matrix.
        runs: arm, model and seed of every network; what its training logged lies in `folder`.
        counts: training clips by label.
        names: what people read, by label.
        folder: where all of it lies.
    """
    pictures = folder / "pictures"
    by_confusion, by_class = confusion_table(views["seeds"]), per_class_table(views["seeds"])
    curves = [
        curve_table(folder / f"training/{arm}-{model}/seed{seed}/plots/metrics", model, arm, seed)
        for arm, model, seed in runs
    ]
    tables.write(by_confusion, folder / "confusion.csv")
    tables.write(by_class, folder / "per_class.csv")
    tables.write(pd.concat(curves), folder / "curves.csv")
    for model in models:
        confusion(by_confusion, model, counts, names, pictures / f"confusion_{model}.png")
    recall_by_arm(by_class, names, pictures / "recall_by_arm.png")
    differences(views["answer"], pictures / "differences.png")


def confusion_table(seeds: dict) -> pd.DataFrame:
    """Confusion of every model and arm, summed over the seeds, largest class first.

    Columns: model, arm, actual, predicted, clips (0 included), and share: of the actual class's clips.
    """
    order = by_size(seeds["train_clips"])
    at = [seeds["labels"].index(label) for label in order]
    rows = []
    for model, arm in dict.fromkeys((run["model"], run["arm"]) for run in seeds["runs"]):
        total = sum(np.array(run["confusion"]) for run in seeds["runs"] if (run["model"], run["arm"]) == (model, arm))[  # type: ignore[index]
            np.ix_(at, at)
        ]
        for actual, counts in zip(order, total, strict=True):
            for predicted, clips in zip(order, counts, strict=True):
                share = round(float(clips) / max(int(counts.sum()), 1), 4)
                rows.append((model, arm, actual, predicted, int(clips), share))
    return pd.DataFrame(rows, columns=["model", "arm", "actual", "predicted", "clips", "share"])


def per_class_table(seeds: dict) -> pd.DataFrame:
    """Each class's scores in every run, largest class first.

    Columns: model, arm, seed, label, train_clips, recall, precision, f1, ap.
    """
    rows = [
        {
            "model": run["model"],
            "arm": run["arm"],
            "seed": run["seed"],
            "label": label,
            "train_clips": seeds["train_clips"][label],
            **{metric: run["per_class"][label][metric] for metric in OF_CLASS},
        }
        for run in seeds["runs"]
        for label in by_size(seeds["train_clips"])
    ]
    return pd.DataFrame(rows)


def curve_table(metrics: Path, model: str, arm: str, seed: int) -> pd.DataFrame:
    """One run's training curve, the table CURVES, from the folder of TSV files that dvclive wrote.

    Where there was no validation, `val_macro_f1` is empty.
    """
    curve = pd.read_csv(metrics / "loss.tsv", sep="\t")
    if (metrics / "val_macro_f1.tsv").exists():
        curve = curve.merge(pd.read_csv(metrics / "val_macro_f1.tsv", sep="\t"), on="step")
    else:
        curve["val_macro_f1"] = float("nan")
    return curve.assign(model=model, arm=arm, seed=seed)[list(CURVES)].astype(CURVES)


def confusion(table: pd.DataFrame, model: str, train_clips: dict[str, int], names: dict[str, str], path: Path) -> None:
    """Draw one model's confusion matrices, an arm beside the other; each row of a matrix sums to 100 %.

    Args:
        table: columns model, arm, actual, predicted, share, with the classes in the order wanted.
        model: whose matrices.
        train_clips: the real training clips of each class, shown at the rows.
        names: what people read, by slug; a slug without a name is shown as it is.
        path: the PNG to write.
    """
    table = table[table.model == model]
    arms = list(dict.fromkeys(table.arm))
    labels = list(dict.fromkeys(table.actual))
    shown = [names.get(label, label) for label in labels]
    rows = -(-len(arms) // PANELS_IN_A_ROW)
    columns = -(-len(arms) // rows)
    side = 0.36 * len(labels)  # inches
    longest = 0.08 * max(map(len, shown))  # inches
    with style.context(["default", STYLE]):
        slanted = 0.65 * longest  # inches that names at 45 degrees need to the left and below
        width = side + longest + 0.8 + (columns - 1) * (side + max(0.15, slanted - 0.15))
        height = rows * (side + 0.35) + slanted + 0.6
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
        for i, (panel, arm) in enumerate(zip(panels, arms, strict=False)):
            share = table[table.arm == arm].pivot(index="actual", columns="predicted", values="share")
            _matrix(panel, share.loc[labels, labels].to_numpy())
            panel.set_title(arm, loc="left")
            panel.set_xticks(range(len(labels)), shown, rotation=45, ha="right", rotation_mode="anchor")
            panel.set_yticks(range(len(labels)), [f"{name}  {train_clips[c]}" for name, c in zip(shown, labels)])
            panel.tick_params(labelbottom=i + columns >= len(arms))  # the lowest of its column
        for panel in panels[len(arms) :]:
            panel.remove()
        heading = f"{model}: what each class's test clips were taken for, %"
        figure.suptitle(heading, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.supylabel("class, training clips", fontsize=9)
        save(figure, path)


def _matrix(panel: Axes, share: np.ndarray) -> None:
    """One matrix `[K, K]` of shares, in per cent; what rounds to 0 stays empty so that the errors stand out."""
    panel.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(share):
        if value >= 0.005:
            colour = "white" if value > 0.55 else "#222222"
            panel.text(column, row, f"{100 * value:.0f}", ha="center", va="center", color=colour, fontsize=8)
    panel.spines[:].set_visible(False)
    panel.set_xticks(np.arange(1, len(share)) - 0.5, minor=True)
    panel.set_yticks(np.arange(1, len(share)) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1.5)
    panel.tick_params(which="minor", length=0)


def recall_by_arm(table: pd.DataFrame, names: dict[str, str], path: Path) -> None:
    """Draw each class's recall under every row of the table of results: a small dot per seed, a large one for the mean.

    Every model and class has a panel, with the rows' names on its left.

    Args:
        table: columns model, arm, seed, label, train_clips, recall, with the classes in the order wanted.
        names: what people read, by slug.
        path: the PNG to write.
    """
    models, arms, labels = (list(dict.fromkeys(table[column])) for column in ("model", "arm", "label"))
    counts = dict(zip(table.label, table.train_clips, strict=True))
    across = min(RECALLS_IN_A_ROW, len(labels))
    each = -(-len(labels) // across)  # rows of panels of a model
    down = each * len(models)
    with style.context(["default", STYLE]):
        size = (1.6 + 2.2 * across, (0.17 * len(arms) + 0.7) * down)  # inches
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        panels = figure.subplots(down, across, squeeze=False, sharey=True)
        for panel in panels.ravel():
            panel.set_visible(False)
        for m, model in enumerate(models):
            of_model = table[table.model == model]
            for i, label in enumerate(labels):
                panel = panels[m * each + i // across, i % across]
                panel.set_visible(True)
                own = of_model[of_model.label == label]
                recall = own.groupby("arm").recall.agg(["min", "mean", "max"]).reindex(arms)
                at = np.arange(len(arms))
                panel.hlines(at, recall["min"], recall["max"], color="#0072B2", alpha=0.4, linewidth=1.2)
                panel.scatter(own.recall, own.arm.map(arms.index), s=8, color="#0072B2", alpha=0.55, linewidths=0)
                panel.scatter(recall["mean"], at, s=26, color="#0072B2", ec="white", lw=0.6, zorder=3)
                if BASELINE in arms:
                    panel.axvline(recall["mean"][BASELINE], color="#bbbbbb", linewidth=0.8, zorder=0)
                where = f"{model}: " if len(models) > 1 else ""
                panel.set_title(f"{where}{names.get(label, label)}, {counts[label]} clips", loc="left")
                panel.set(xlim=(-0.02, 1.02), ylim=(len(arms) - 0.5, -0.5))
                panel.set_yticks(at, arms)
                panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
                panel.set_axisbelow(True)
                panel.spines["left"].set_visible(False)
        figure.supxlabel("recall (large: mean, small: each seed; line: mean of the arm none)", fontsize=9)
        save(figure, path)


def differences(answer: dict, path: Path) -> None:
    """Draw how much better each arm is than another, a row of panels per model: thick 95 %, thin corrected intervals.

    Args:
        answer: from `bootstrap.answer`; its recalls of single classes are left out.
        path: the PNG to write.
    """
    table = pd.DataFrame(answer["differences"], columns=DIFFERENCES)
    table = table[table.metric.isin(HEADLINES)]
    models = list(answer["scores"])
    metrics = [metric for metric in HEADLINES if (table.metric == metric).any()] or list(HEADLINES)
    longest = table.groupby(["model", "metric"]).size().max() if len(table) else 1
    with style.context(["default", STYLE]):
        size = (4.9 * len(metrics), (0.24 * longest + 0.7) * len(models) + 0.5)  # inches
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        panels = figure.subplots(len(models), len(metrics), squeeze=False, sharex="col")
        for (i, j), panel in np.ndenumerate(panels):
            own = table[(table.model == models[i]) & (table.metric == metrics[j])]
            _forest(panel, own)
            panel.set_title(f"{models[i]}: {title(metrics[j])}", loc="left", fontweight="bold")
            if i == len(models) - 1:
                panel.set_xlabel(f"difference (thick: {100 * answer['level']:g} %, thin: corrected)")
        handles = [
            Line2D([], [], linestyle="", markersize=6, color=colour, marker=marker, label=verdict)
            for verdict, (colour, marker) in VERDICT_STYLES.items()
        ]
        figure.legend(handles=handles, loc="outside upper left", ncols=len(handles), frameon=False)
        save(figure, path)


def _forest(panel: Axes, rows: pd.DataFrame) -> None:
    """Comparisons with the baseline above, those with the best cheap one below a line."""
    for y, row in enumerate(rows.itertuples()):
        colour, marker = VERDICT_STYLES[row.verdict]
        panel.hlines(y, row.corrected_low, row.corrected_high, color=colour, linewidth=1)
        panel.hlines(y, row.low, row.high, color=colour, linewidth=3, alpha=0.55)
        panel.scatter(row.mean, y, s=34, color=colour, marker=marker, ec="white", lw=0.6, zorder=3)
    plain = int((rows.against == BASELINE).sum())
    if 0 < plain < len(rows):
        panel.axhline(plain - 0.5, color="#bbbbbb", linewidth=0.8)
    panel.axvline(0, color="#222222", linewidth=0.8, zorder=0)
    panel.set_yticks(range(len(rows)), [f"{row.arm} − {row.against}" for row in rows.itertuples()])
    panel.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    panel.grid(axis="x", color="#eeeeee", linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines["left"].set_visible(False)
