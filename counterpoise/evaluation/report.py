"""The table of results in the terminal: `counterpoise report`."""

import json
import textwrap
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from counterpoise.arms.arm import BASELINE
from counterpoise.core import CounterpoiseError
from counterpoise.evaluation.metrics import HEADLINES, METRICS, OF_CLASS, is_recall, title
from counterpoise.evaluation.scores import by_size

NUMBER = 5  # characters of a marked score
VERDICTS = ("helps", "hurts", "cannot tell")


class ReportError(CounterpoiseError):
    """The metrics cannot be shown; the message says why and what to run."""


def read(folder: str | Path) -> dict[str, dict]:
    """Read what `evaluate` wrote: `scores.summarise`'s three views, `bootstrap.answer` and `scores.errors`.

    Raises:
        ReportError: a file is missing, is no JSON, or is of an older version.
    """
    metrics = {}
    for name in ("summary", "per_class", "seeds", "answer", "errors"):
        path = Path(folder) / f"{name}.json"
        try:
            metrics[name] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ReportError(f"{path} is missing: there are no results yet, run `make run`") from None
        except json.JSONDecodeError as error:
            raise ReportError(f"{path} is not valid JSON ({error}): run `make run` to write it anew") from None
    if "cheap" not in metrics["answer"]:
        raise ReportError(f"{Path(folder) / 'answer.json'} is of an older version: run `make run` to write it anew")
    return metrics


def show(metrics: dict[str, dict], console: Console) -> None:
    """Print for each model its scores, in all and by class, and its errors, then the answer and where to look next."""
    seeds, answer = metrics["seeds"], metrics["answer"]
    for model, arms in metrics["summary"].items():
        runs = len({run["seed"] for run in seeds["runs"] if run["model"] == model})
        errors = metrics["errors"][model]
        console.print(_scores(model, arms, answer, errors["arms"], runs))
        for kind, metric in OF_CLASS.items():
            tables = _of_class(kind, metrics["per_class"][model], seeds["train_clips"], console.width)
            console.print(f"\n[bold]{metric.title}, by training clips[/]", highlight=False)
            console.print(*tables, sep="\n\n")
        console.print()
        _print(["• best of its column, which may be chance."], console)
        _print(_confusions(errors["arms"], _of_interest(arms, answer["cheap"])), console)
        _print(_clips(errors["clips"]), console)
        console.print()
    for model in metrics["summary"]:
        console.rule(f"[bold]Does it help? {model}[/]", align="left", characters="─")
        rows = [row for row in answer["differences"] if row["model"] == model]
        console.print(*differences(rows, answer["cheap"]), sep="\n\n", end="\n\n")
        _print(verdicts(rows, answer["level"], answer["cheap"]), console)
        console.print()
    rare = ", ".join(seeds["rare"]) or "none: no class has fewer than half of the largest one's training clips"
    _print(
        [
            f"Rare classes: {rare}.",
            "Look:      report/index.html has charts, and a room to listen in",
            "Pictures:  plots/pictures/ and `dvc plots show`; every number: metrics/*.json",
            "Go on:     `dvc exp run -S aug.factor=3`, `dvc metrics diff`, `dvc plots diff`",
        ],
        console,
    )


def _print(lines: list[str], console: Console) -> None:
    wrapper = textwrap.TextWrapper(console.width, subsequent_indent="    ", break_on_hyphens=False)
    wrapper.break_long_words = False  # so that a path can be copied
    for line in lines:
        console.print(wrapper.fill(line), highlight=False, markup=False, soft_wrap=True)


def _scores(model: str, arms: dict[str, dict], answer: dict, calibration: dict[str, dict], runs: int) -> Table:
    """Rows: arms. Columns: means over the seeds, the headlines with their intervals; calibration error."""
    table = _table()
    table.title = f"{model}: scores on the test split, mean of {runs} seed(s) [{100 * answer['level']:g} % interval]"
    titles = {
        name: metric.column
        for name, metric in METRICS.items()
        if metric.in_terminal and all(name in scores for scores in arms.values())
    }
    for column in [*titles.values(), "ECE"]:
        table.add_column(column, justify="right", no_wrap=True)
    best = {metric: max(scores[metric] for scores in arms.values()) for metric in titles}
    lowest = min(own["ece"] for own in calibration.values())
    for arm, scores in arms.items():
        cells = [_cell(scores[metric], best[metric]) for metric in titles]
        for i, metric in enumerate(titles):
            if metric in HEADLINES:
                low, high = answer["scores"][model][arm][metric][1:]
                cells[i] += rf" \[{_short(low, 2)}, {_short(high, 2)}]"
        table.add_row(arm, *cells, _cell(calibration[arm]["ece"], lowest))
    return table


def _of_class(kind: str, arms: dict[str, dict[str, dict]], train_clips: dict[str, int], width: int) -> list[Table]:
    """Rows: arms. Columns: classes, largest first, in as many tables as the width in characters asks for."""
    best = {label: max(classes[label][kind] for classes in arms.values()) for label in train_clips}
    names = max(map(len, arms))
    rows, left = [], 0
    for label in by_size(train_clips):
        needed = 1 + max(NUMBER, *map(len, label.split("_")))  # a name's words stand below each other
        if needed > left:
            rows.append([])
            left = width - names
        rows[-1].append(label)
        left -= needed
    tables = []
    for labels in rows:
        table = _table()
        for label in labels:
            table.add_column(label.replace("_", "\n") + f"\n{train_clips[label]}", justify="right", no_wrap=True)
        for arm, classes in arms.items():
            table.add_row(arm, *[_cell(classes[label][kind], best[label]) for label in labels])
        tables.append(table)
    return tables


def _table() -> Table:
    """A table without walls, so that two scores with their intervals and five without fit into 80 characters."""
    table = Table(title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=0)
    table.show_edge = False
    table.add_column("arm", overflow="fold")
    return table


def _cell(value: float, best: float) -> str:
    """A number, marked where it is the best of its column; the mark survives a pipe, the colour does not."""
    return f"[bold green]•{_short(value, 3)}[/]" if value == best else _short(value, 3)


def _short(value: float, digits: int) -> str:
    """A number from 0 to 1 in one character more than its digits: .883, and 1.00 with one digit less."""
    return f"{value:.{digits}f}".removeprefix("0")[: digits + 1]


def _confusions(arms: dict[str, dict], shown: list[str]) -> list[str]:
    """The two most confused pairs of some rows."""
    lines = []
    for arm in shown:
        if arms[arm]["confused"]:
            pairs = [
                f"{pair['actual']} for {pair['predicted']} {pair['share']:.0%}"
                + (f" ({100 * pair['change']:+.0f})" if pair["change"] is not None and arm != BASELINE else "")
                for pair in arms[arm]["confused"][:2]
            ]
            lines.append(f"Confused most under {arm}: {', '.join(pairs)}")
    return lines


def _of_interest(arms: dict[str, dict], cheap: dict[str, bool]) -> list[str]:
    """The baseline, and of the rows that need a diffusion model the one with the highest first headline."""
    dear = [arm for arm in arms if not cheap[arm]]
    best = sorted(dear, key=lambda arm: -arms[arm][HEADLINES[0]])[:1]
    return [arm for arm in arms if arm == BASELINE or arm in best]


def _clips(clips: list[dict]) -> list[str]:
    """The three clips that most runs get wrong."""
    return [
        f"Wrong in {clip['wrong']:.0%} of all runs: {clip['path']}, {clip['label']}, taken for {clip['taken_for']}"
        for clip in clips[:3]
    ]


def differences(rows: list[dict], cheap: dict[str, bool]) -> list[Table]:
    """Of each headline metric, how much better one model's rows with diffusion are than what they are compared with.

    Args:
        rows: this model's `differences` of `bootstrap.answer`.
        cheap: by arm or system, whether it needs no diffusion model.
    """
    tables = []
    for metric in HEADLINES:
        own = [row for row in rows if row["metric"] == metric and not cheap[row["arm"]]]
        if not own:
            continue
        table = _table()
        table.title = f"{title(metric)}: difference [corrected interval]".replace("[", r"\[")
        for column in (f"to {BASELINE}", "to the best cheap one", "which"):
            table.add_column(column, no_wrap=column != "which")
        for arm in dict.fromkeys(row["arm"] for row in own):
            against = {row["against"] == BASELINE: row for row in own if row["arm"] == arm}
            cells = [_difference(against[plain]) if plain in against else "" for plain in (True, False)]
            table.add_row(arm, *cells, against[False]["against"] if False in against else "")
        tables.append(table)
    return tables


def _difference(row: dict) -> str:
    """The difference, its corrected interval, and the verdict where there is one."""
    mean, low, high = (f"{row[key]:+.2f}" for key in ("mean", "corrected_low", "corrected_high"))
    verdict = {"helps": "[bold green]helps[/]", "hurts": "[bold red]hurts[/]"}.get(row["verdict"], "")
    return rf"{mean} \[{low}, {high}] {verdict}".replace("0.", ".").rstrip()


def verdicts(rows: list[dict], level: float, cheap: dict[str, bool]) -> list[str]:
    """What else can be told of one model: single classes, and the rows without diffusion.

    Args:
        rows: this model's `differences` of `bootstrap.answer`.
        level: of the intervals.
        cheap: by arm or system, whether it needs no diffusion model.
    """
    if not rows:
        return [f"Nothing to compare: add `{BASELINE}` and other arms to `arms` in params.yaml."]
    lines, silent = ["A difference without a word: cannot tell it from chance."], []
    for arm in dict.fromkeys(row["arm"] for row in rows if not cheap[row["arm"]]):
        recalls = {
            row["metric"].removeprefix("recall/"): row["verdict"]
            for row in rows
            if row["arm"] == arm and is_recall(row["metric"]) and row["against"] == BASELINE
        }
        if set(recalls.values()) - {"cannot tell"}:
            lines.append(f"{arm} against {BASELINE}, recall of each class: {_sorted(recalls)}.")
        elif recalls:
            silent.append(arm)
    if silent:
        lines.append(f"Of single classes' recall nothing can be told of {', '.join(silent)}.")
    for metric in HEADLINES:
        verdict_of = {
            row["arm"]: row["verdict"]
            for row in rows
            if row["metric"] == metric and row["against"] == BASELINE and cheap[row["arm"]]
        }
        if verdict_of:
            lines.append(f"Cheap ones against {BASELINE}, {title(metric)}: {_sorted(verdict_of)}.")
    if any(row["verdict"] == "cannot tell" and not row["corrected_low"] <= 0 <= row["corrected_high"] for row in rows):
        lines.append("Where an interval leaves 0 out and nothing can be told, seeds or recordings are too few.")
    many = [max(row["comparisons"] for row in rows if (row["metric"] in HEADLINES) == whole) for whole in (True, False)]
    lines.append(
        f"Intervals: {100 * level:g} %, over recordings and seeds, corrected, as are the verdicts, for {many[0]} "
        f"comparison(s); for {many[1]} where single classes are compared."
    )
    return lines


def _sorted(verdict_of: dict[str, str]) -> str:
    """Names by verdict, for example "drink, sneeze (helps); bark (cannot tell)"."""
    names = {verdict: [name for name, own in verdict_of.items() if own == verdict] for verdict in VERDICTS}
    return "; ".join(f"{', '.join(own)} ({verdict})" for verdict, own in names.items() if own)
