"""Runs of the pipeline in one table and picture: `python -m counterpoise.compare [--x aug.factor] [--metric macro_f1]`.

It reads the workspace, the last commits and their experiments; it writes compare.csv, verdicts.csv and a PNG.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from counterpoise import CounterpoiseError, catalog, compare_pictures, experiments
from counterpoise import comparison as c
from counterpoise.compare_pictures import shown
from counterpoise.comparison import Configuration
from counterpoise.evaluation import METRICS
from counterpoise.experiments import ExperimentsError
from counterpoise.params import Evaluation
from counterpoise.statistics import TITLES, StatisticsError

FOLDER = Path("plots/compare")
WIDTH = 100  # characters, where the output is no terminal
MOST_COLUMNS = 4  # parameters in the table; the CSV has all


class CompareError(CounterpoiseError):
    """A question that these runs cannot answer; the message says which they can."""


def compare(num: int, all_branches: bool, x: str | None, metric: str | None, folder: Path, console: Console) -> None:
    """Collect, group, resample, then print and write everything.

    Args:
        num: how many commits, each with its experiments.
        all_branches: those of all branches, too.
        x: the parameter on the picture's axis; None draws all configurations below each other.
        metric: of the verdicts and the picture; None takes rare recall, or macro-F1 where no class is rare.
        folder: where files are written.

    Raises:
        CounterpoiseError: no DVC repository, no run, no such parameter or metric.
    """
    print("Asking DVC for its runs: about a second for each that it has not shown before.", file=sys.stderr, flush=True)
    runs, notes = experiments.collect(num, all_branches)
    configurations, repeats = c.group(runs)
    rare = {key: c.rare_classes(configurations, list(key)) for key in {tuple(one.labels) for one in configurations}}
    metric = metric or ("rare_recall" if any(rare.values()) else "macro_f1")
    _check(x, metric, configurations, any(rare.values()))

    # Resample
    stated = {key.removeprefix("evaluation."): v for key, v in runs[-1].params.items() if key.startswith("evaluation.")}
    settings, found, frames = Evaluation(**stated), {}, []
    for i, one in enumerate(configurations, 1):
        own = rare[tuple(one.labels)]
        try:
            found[i] = c.resample(one, own, settings)
        except (ExperimentsError, StatisticsError) as error:
            notes.append(f"no intervals for {name(one, configurations)}: {error}")
        frames.append(c.scores(one, own, found.get(i)).assign(configuration=i))
    scores, verdicts = pd.concat(frames), c.verdicts(found, metric)

    # Print
    console.print(score_table(scores, configurations))
    if len(verdicts):
        level = f"{100 * settings.level:g} % intervals that hold for all rows at once"
        console.print(f"\n[bold]differences of {_title(metric)}, {level}[/]", highlight=False)
        console.print(verdict_table(verdicts, configurations))
    console.print()
    for line in [*_about(configurations), *(f"Rare: {', '.join(own)}" for own in rare.values() if own)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if metric not in set(scores.metric):
        unmeasured = [run.name for one in configurations if not c.generated(one, metric) for run in one.runs.values()]
        notes += [f"no {metric} in metrics/generated.json of {run}" for run in unmeasured]
    for note in [*notes, *repeats]:
        console.print(f"! {note}", highlight=False, markup=False, soft_wrap=True)

    # Write
    catalog.write(_with_parameters(scores, configurations, rare), folder / "compare.csv")
    catalog.write(_with_parameters(verdicts, configurations, rare), folder / "verdicts.csv")
    picture = folder / f"{metric}{f'_by_{x}' if x else ''}.png".replace("/", "_")
    _draw(x, metric, scores, configurations, picture)
    console.print(f"Pictures and tables: {picture}, {folder}/compare.csv, {folder}/verdicts.csv", soft_wrap=True)


def score_table(scores: pd.DataFrame, configurations: list[Configuration]) -> Table:
    """Rows: configuration, model, arm. Columns: the parameters that differ, macro-F1 and rare recall with intervals."""
    keys, metrics = _columns(configurations), [metric for metric in TITLES if metric in set(scores.metric)]
    folded = scores.folds.max() > 1
    titles = [_title(metric) + (" ± SD of folds" if folded else "") for metric in metrics]
    models = scores.model.nunique() > 1
    table = _table()
    for key in keys:
        table.add_column(_short(key, keys), overflow="fold")
    for title in [*(["folds"] if folded else []), *(["model"] if models else []), "arm", *titles]:
        table.add_column(title, no_wrap=True, justify="right" if title in titles else "left")
    for i, one in enumerate(configurations, 1):
        told = [shown(one.params.get(key)) for key in keys] + ([_share(one)] if folded else [])
        own = scores[scores.configuration == i]
        for (model, arm), rows in own.groupby(["model", "arm"], sort=False):
            rows = rows.set_index("metric")
            cells = [_cell(rows.loc[metric], folded) if metric in rows.index else "–" for metric in metrics]
            table.add_row(*told, *([model] if models else []), arm, *cells)
            told = [""] * len(told)
        table.add_section()
    return table


def verdict_table(verdicts: pd.DataFrame, configurations: list[Configuration]) -> Table:
    """Rows: comparisons. Columns: the parameters that differ, who against whom, the difference, the verdict."""
    keys, models = _columns(configurations), verdicts.model.nunique() > 1
    table = _table()
    for key in keys:
        table.add_column(_short(key, keys), overflow="fold")
    for title in [*(["model"] if models else []), "arm", "against", "difference", "verdict"]:
        table.add_column(title, no_wrap=True, justify="right" if title == "difference" else "left")
    for row in verdicts.itertuples():
        one = configurations[row.configuration - 1]
        difference = f"{row.mean:+.3f} [{row.corrected_low:+.3f}, {row.corrected_high:+.3f}]"
        told = [shown(one.params.get(key)) for key in keys] + ([row.model] if models else [])
        table.add_row(*told, row.arm, row.against, difference.replace("[", r"\["), row.verdict)
    return table


def name(one: Configuration, configurations: list[Configuration]) -> str:
    """What tells a configuration from the others, in one line."""
    keys = _columns(configurations)
    return ", ".join(f"{_short(key, keys)} {shown(one.params.get(key))}" for key in keys) or "the only configuration"


def _about(configurations: list[Configuration]) -> list[str]:
    """Each configuration's runs and missing folds, then the parameters that have no column."""
    lines = []
    for one in configurations:
        missing = [fold for fold in one.folds if fold not in one.runs]
        text = f"{name(one, configurations)}: {', '.join(run.name for run in one.runs.values())}"
        if missing:
            done = [fold for fold in one.runs if fold is not None]
            text += f"; tested on fold {', '.join(map(str, done))}, missing {', '.join(map(str, missing))}"
        lines.append(text)
    hidden = [key for key in c.differing(configurations) if key not in _columns(configurations)]
    return lines + ([f"Differ as well: {', '.join(hidden)}"] if hidden else [])


def _check(x: str | None, metric: str, configurations: list[Configuration], rare: bool) -> None:
    keys, made = c.differing(configurations), c.measures(configurations)
    if x is not None and x not in keys:
        differ = f"those that differ are {', '.join(keys)}" if keys else "no parameter differs: run some, for example "
        example = "" if keys else "`dvc exp run --queue -S aug.factor=0,1,2,4`, then `dvc exp run --run-all`"
        raise CompareError(f"--x {x}: this parameter is the same in all runs, or does not exist; {differ}{example}")
    labels = dict.fromkeys(label for one in configurations for label in one.labels)
    known = [m for m in METRICS if rare or m != "rare_recall"] + [f"recall/{label}" for label in labels]
    if metric in known:
        return
    if c.ALIASES.get(metric, metric) not in made:
        more = f", and with --x, of generated sounds, {', '.join(made)}" if made else ""
        raise CompareError(f"--metric {metric} is not known here; there are {', '.join(known)}{more}")
    if x is None:
        raise CompareError(f"--metric {metric} is of generated sounds: add --x with one of {', '.join(keys) or 'none'}")


def _draw(x: str | None, metric: str, scores: pd.DataFrame, configurations: list[Configuration], path: Path) -> None:
    title = _title(metric)
    own = scores[scores.metric == metric].rename(columns={"arm": "series"})
    if x is None:
        names = {i: name(one, configurations).replace(", ", "\n") for i, one in enumerate(configurations, 1)}
        own = own.assign(row=own.configuration.map(names)).rename(columns={"model": "panel"})
        return compare_pictures.forest(own, title, path)
    along = c.pattern(x, configurations)
    keys = [key for key in _columns(configurations) if c.pattern(key, configurations) != along]
    others = [", ".join(f"{_short(key, keys)} {shown(one.params.get(key))}" for key in keys) for one in configurations]
    if own.empty:
        rows = [
            {"configuration": i, "series": label, "mean": value, "low": float("nan"), "high": float("nan"), "model": ""}
            for i, one in enumerate(configurations, 1)
            for label, value in c.generated(one, metric).items()
        ]
        own = pd.DataFrame(rows)
        title = f"{title} of generated sounds"
    own = own.assign(
        x=[configurations[i - 1].params.get(x) for i in own.configuration],
        panel=[" · ".join(filter(None, (model, others[i - 1]))) for model, i in zip(own.model, own.configuration)],
    )
    compare_pictures.lines(own, x, title, path)


def _with_parameters(frame: pd.DataFrame, configurations: list[Configuration], rare: dict) -> pd.DataFrame:
    """The table with its configuration's differing parameters, runs, missing folds and rare classes."""
    keys = c.differing(configurations)
    about = pd.DataFrame(
        [
            {"configuration": i}
            | {key: shown(one.params.get(key)) for key in keys}
            | {"runs": " ".join(run.name for run in one.runs.values())}
            | {"missing_folds": " ".join(str(fold) for fold in one.folds if fold not in one.runs)}
            | {"rare": " ".join(rare[tuple(one.labels)])}
            for i, one in enumerate(configurations, 1)
        ]
    )
    return about.merge(frame, on="configuration")


def _columns(configurations: list[Configuration]) -> list[str]:
    return c.columns(configurations)[:MOST_COLUMNS]


def _title(metric: str) -> str:
    return TITLES.get(metric, metric.replace("_", " ").replace("/", " of "))


def _short(key: str, keys: list[str]) -> str:
    """The last part of a parameter's name, or all of it where another ends alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def _share(one: Configuration) -> str:
    return f"{len(one.runs)} of {len(one.folds)}" if one.folds else str(len(one.runs))


def _cell(row: pd.Series, folded: bool) -> str:
    spread = f" ±{row.sd:.3f}" if folded and row.folds > 1 else ""
    return f"{row['mean']:.3f}{spread}" + ("" if pd.isna(row.low) else rf" \[{row.low:.2f}, {row.high:.2f}]")


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m counterpoise.compare", description="Compare runs of the pipeline.")
    parser.add_argument("-n", "--num", type=int, default=1, help="commits, each with its experiments (default: 1)")
    parser.add_argument("-a", "--all-branches", action="store_true", help="also the tips of all branches, with theirs")
    parser.add_argument("--x", metavar="PARAM", help="draw the metric against this parameter, e.g. aug.factor")
    parser.add_argument("--metric", help="of picture and verdicts (default: rare_recall); or, with --x, one of "
                        "generated sounds: recognised, cosine, kad, near_copies …")  # fmt: skip
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"for tables and pictures (default: {FOLDER})")
    given = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    try:
        compare(given.num, given.all_branches, given.x, given.metric, given.folder, console)
    except CounterpoiseError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
