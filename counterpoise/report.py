"""The table of results in the terminal: `python -m counterpoise.report [metrics folder]`."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from counterpoise.evaluation import METRICS, by_size, paired_difference

BASELINE = "none"
TITLES = {
    "macro_f1": "macro-F1",
    "rare_recall": "rare recall",
    "balanced_accuracy": "balanced acc.",
    "accuracy": "accuracy",
}
CLASS_COLUMN = 14  # characters that a column of the recall table may take


class ReportError(ValueError):
    """The metrics cannot be shown; the message says why and what to run."""


def read(folder: str | Path) -> dict[str, dict]:
    """Read summary.json, per_class.json and seeds.json, in the layout of `evaluation.summarise`.

    Raises:
        ReportError: a file is missing or is no JSON.
    """
    metrics = {}
    for name in ("summary", "per_class", "seeds"):
        path = Path(folder) / f"{name}.json"
        try:
            metrics[name] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ReportError(f"{path} is missing: there are no results yet, run `make run`") from None
        except json.JSONDecodeError as error:
            raise ReportError(f"{path} is not valid JSON ({error}): run `make run` to write it anew") from None
    return metrics


def show(metrics: dict[str, dict], console: Console) -> None:
    """Print for each model its scores, its recall by class and what can be told from them, then where to look next."""
    seeds = metrics["seeds"]
    for model, arms in metrics["summary"].items():
        runs = [run for run in seeds["runs"] if run["model"] == model]
        console.print(_scores(model, arms, runs))
        for table in _recalls(metrics["per_class"][model], seeds["train_clips"], console.width):
            console.print()
            console.print(table)
        console.print()
        console.print("• highest mean of its column; whether that is more than luck:", highlight=False)
        for line in verdicts(model, list(arms), runs):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        console.print()
    rare = ", ".join(seeds["rare"]) or "none: no class has fewer than half of the largest one's training clips"
    console.print(f"Rare classes: {rare}.", highlight=False)
    console.print("Pictures:  plots/pictures/ and `dvc plots show`; every number: metrics/*.json", highlight=False)
    console.print("Listen:    data/synthetic/<class>/", highlight=False, markup=False)
    console.print("Go on:     `dvc exp run -S aug.factor=3`, `dvc metrics diff`, `dvc plots diff`", highlight=False)


def _scores(model: str, arms: dict[str, dict[str, float]], runs: list[dict]) -> Table:
    """Rows: arms. Columns: the means over seeds, each with its standard deviation."""
    seeds = " or ".join(map(str, sorted({len([run for run in runs if run["arm"] == arm]) for arm in arms})))
    table = _table(f"{model}: scores on the test split, mean ± SD, n = {seeds} seeds")
    shown = [metric for metric in METRICS if all(metric in scores for scores in arms.values())]
    for metric in shown:
        table.add_column(TITLES[metric], justify="right", no_wrap=True)
    best = {metric: max(scores[metric] for scores in arms.values()) for metric in shown}
    for arm, scores in arms.items():
        spread = {metric: _spread([run[metric] for run in runs if run["arm"] == arm]) for metric in shown}
        table.add_row(arm, *[_cell(scores[metric], best[metric]) + spread[metric] for metric in shown])
    return table


def _recalls(arms: dict[str, dict[str, dict]], train_clips: dict[str, int], width: int) -> list[Table]:
    """Rows: arms. Columns: classes, largest first, in as many tables as the width in characters asks for."""
    order = by_size(train_clips)
    fit = max(1, (width - max(map(len, arms))) // CLASS_COLUMN)
    best = {label: max(classes[label]["recall"] for classes in arms.values()) for label in order}
    tables = []
    for start in range(0, len(order), fit):
        labels = order[start : start + fit]
        table = _table("recall, by training clips" if start == 0 else None)
        for label in labels:
            table.add_column(f"{label.replace('_', ' ')}\n{train_clips[label]}", justify="right")
        for arm, classes in arms.items():
            table.add_row(arm, *[_cell(classes[label]["recall"], best[label]) for label in labels])
        tables.append(table)
    return tables


def _table(title: str | None) -> Table:
    """A table without walls, so that four scores and their spread fit into 80 characters."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    table.add_column("arm", no_wrap=True)
    return table


def _cell(value: float, best: float) -> str:
    """A number, marked where it is the highest of its column; the mark survives a pipe, the colour does not."""
    return f"[bold green]•{value:.3f}[/]" if value == best else f"{value:.3f}"


def _spread(values: list[float]) -> str:
    return f" ±{np.std(values, ddof=1):.3f}" if len(values) > 1 else ""


def verdicts(model: str, arms: list[str], runs: list[dict]) -> list[str]:
    """A sentence for each arm: its macro-F1 against the baseline's, paired by seed."""
    if BASELINE not in arms:
        return [f"{model}: no arm `{BASELINE}` to compare with; add it to `arms` in params.yaml."]
    lines = []
    for arm in arms:
        if arm == BASELINE:
            continue
        try:
            found = paired_difference([run for run in runs if run["model"] == model], arm, BASELINE)
        except ValueError as error:
            lines.append(f"{model}, {arm} against {BASELINE}: {error}.")
            continue
        lines.append(f"{model}, {arm} against {BASELINE}: {_verdict(found)}")
    return lines or [f"{model}: only the arm `{BASELINE}`, nothing to compare."]


def _verdict(found: dict) -> str:
    gain = f"macro-F1 {found['mean']:+.3f}"
    if found["seeds"] == 1:
        return f"{gain}, cannot tell (1 seed has no spread; add seeds to `classifier.seeds`)."
    interval = f"{gain} ± {found['half_width']:.3f} (95 % interval, {found['seeds']} seeds)"
    if found["verdict"] != "cannot tell":
        return f"{interval}, {found['verdict']}."
    if abs(found["mean"]) <= found["half_width"]:
        return f"{interval}, cannot tell: the interval holds 0."
    return f"{interval}, cannot tell: smaller than the SD over seeds, {found['seed_sd']:.3f}."


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m counterpoise.report", description="Print the table of results.")
    parser.add_argument("folder", nargs="?", default="metrics", help="where summary.json lies (default: metrics)")
    try:
        show(read(parser.parse_args().folder), Console())
    except ReportError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
