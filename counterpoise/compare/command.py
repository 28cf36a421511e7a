"""Runs of the pipeline in one table and picture: `counterpoise compare [--x aug.factor] [--metric macro_f1]`.

It reads the workspace, the last commits and their experiments; it writes compare.csv, verdicts.csv and a PNG.
"""

import sys
from pathlib import Path

import pandas as pd
from rich.console import Console

from counterpoise.compare import experiments, pictures
from counterpoise.compare.configurations import (
    Configuration,
    columns,
    common,
    differing,
    group,
    name,
    pattern,
    short,
    shown,
    told,
    unusual,
)
from counterpoise.compare.experiments import ExperimentsError
from counterpoise.compare.scores import cheap, generated, measures, rare_classes, resample, score, verdicts
from counterpoise.compare.tables import numbered, score_table, verdict_table
from counterpoise.core import CounterpoiseError, tables
from counterpoise.evaluation import metrics
from counterpoise.evaluation.bootstrap import StatisticsError
from counterpoise.evaluation.metrics import HEADLINES
from counterpoise.metrics.intervals import Evaluation

FOLDER = Path("plots/compare")
WIDTH = 100  # characters, where the output is no terminal


class CompareError(CounterpoiseError):
    """A question that these runs cannot answer; the message says which they can."""


def compare(num: int, all_branches: bool, x: str | None, metric: str | None, folder: Path, console: Console) -> None:
    """Collect, group, resample, then print and write everything.

    Args:
        num: how many commits, each with its experiments.
        all_branches: those of all branches, too.
        x: the parameter on the picture's axis; None draws all configurations below each other.
        metric: of the verdicts and the picture; None takes the first headline.
        folder: where files are written.

    Raises:
        CounterpoiseError: no DVC repository, no run, no such parameter or metric.
    """
    print("Asking DVC for its runs: about a second for each that it has not shown before.", file=sys.stderr, flush=True)
    runs, notes = experiments.collect(num, all_branches)
    configurations, repeats = group(runs)
    rare = {key: rare_classes(configurations, list(key)) for key in {tuple(one.labels) for one in configurations}}
    metric = metric or HEADLINES[0]
    check(x, metric, configurations, any(rare.values()))

    # Resample, as sure as the workspace wants to be
    stated = {key.removeprefix("evaluation."): v for key, v in runs[-1].params.items() if key.startswith("evaluation.")}
    settings, found, frames = Evaluation(**stated), {}, []
    for i, one in enumerate(configurations, 1):
        own = rare[tuple(one.labels)]
        try:
            found[i] = resample(one, own, settings)
        except (ExperimentsError, StatisticsError) as error:
            notes.append(f"no intervals for {name(one, configurations)}: {error}")
        frames.append(score(one, own, found.get(i)).assign(configuration=i))
    scored = pd.concat(frames)
    if metric not in set(scored.metric) and not any(generated(one, metric) for one in configurations):
        raise CompareError(
            f"--metric {metric} is in none of these runs, which are older than it: `dvc repro` makes one"
        )
    judged = verdicts(found, {i: cheap(one) for i, one in enumerate(configurations, 1)}, metric)

    # Print
    console.print(score_table(scored, configurations))
    if len(judged):
        level = f"{100 * settings.level:g} % intervals that hold for all rows at once"
        console.print(f"\n[bold]differences of {metrics.title(metric)}, {level}[/]", highlight=False)
        console.print(verdict_table(judged, configurations))
    console.print()
    for line in [*about(configurations), *(f"Rare: {', '.join(own)}" for own in rare.values() if own)]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if metric not in set(scored.metric):
        unmeasured = [run.name for one in configurations if not generated(one, metric) for run in one.runs.values()]
        notes += [f"no {metric} in metrics/generated.json of {run}" for run in unmeasured]
    for note in [*notes, *repeats]:
        console.print(f"! {note}", highlight=False, markup=False, soft_wrap=True)

    # Write
    tables.write(_with_parameters(scored, configurations, rare), folder / "compare.csv")
    tables.write(_with_parameters(judged, configurations, rare), folder / "verdicts.csv")
    picture = folder / f"{metric}{f'_by_{x}' if x else ''}.png".replace("/", "_")
    draw(x, metric, scored, configurations, picture)
    console.print(f"Pictures and tables: {picture}, {folder}/compare.csv, {folder}/verdicts.csv", soft_wrap=True)


def about(configurations: list[Configuration]) -> list[str]:
    """A line for each configuration: its parameters, its runs, the folds that it lacks.

    Where the tables give configurations numbers, the lines have them too, and a first line has the usual parameters.
    """
    lines, many = [], numbered(configurations)
    if many:
        usual = common(configurations)
        lines.append(f"Usual: {', '.join(f'{short(key, list(usual))} {value}' for key, value in usual.items())}")
    for i, one in enumerate(configurations, 1):
        missing = [fold for fold in one.folds if fold not in one.runs]
        told_as = f"{i}: {unusual(one, configurations) or 'as usual'}" if many else name(one, configurations)
        text = f"{told_as}: {', '.join(run.name for run in one.runs.values())}"
        if missing:
            done = [fold for fold in one.runs if fold is not None]
            text += f"; tested on fold {', '.join(map(str, done))}, missing {', '.join(map(str, missing))}"
        lines.append(text)
    return lines


def check(x: str | None, metric: str, configurations: list[Configuration], rare: bool) -> None:
    """Stop at a question that these runs cannot answer.

    Args:
        x: the parameter on the picture's axis, or None.
        metric: of classifiers, or with `x` also of generated sounds.
        rare: whether there are rare classes, and so metrics of them.

    Raises:
        CompareError: the parameter is the same in all runs, or the metric is in none; the message says which there are.
    """
    keys, made = differing(configurations), measures(configurations)
    if x is not None and x not in keys:
        differ = f"those that differ are {', '.join(keys)}" if keys else "no parameter differs: run some, for example "
        example = "" if keys else "`dvc exp run --queue -S aug.factor=0,1,2,4`, then `dvc exp run --run-all`"
        raise CompareError(f"--x {x}: this parameter is the same in all runs, or does not exist; {differ}{example}")
    labels = dict.fromkeys(label for one in configurations for label in one.labels)
    known = metrics.known(rare) + metrics.of_class(list(labels))
    if metric in known:
        return
    if not any(generated(one, metric) for one in configurations):
        more = f", and with --x, of generated sounds, {', '.join(made)}" if made else ""
        raise CompareError(f"--metric {metric} is not known here; there are {', '.join(known)}{more}")
    if x is None:
        raise CompareError(f"--metric {metric} is of generated sounds: add --x with one of {', '.join(keys) or 'none'}")


def draw(x: str | None, metric: str, scores: pd.DataFrame, configurations: list[Configuration], path: Path) -> None:
    """Draw a metric against a parameter, a panel for each model and other setting, or all configurations in a column.

    Args:
        x: the parameter on the axis; None draws the configurations below each other.
        metric: as :func:`check` let it pass. One that `scores` lacks is of generated sounds, and has a line a class.
        scores: what `scores.score` says of all configurations, with their numbers, from 1, as `configuration`.
        path: the PNG to write.
    """
    title = metrics.title(metric)
    own = scores[scores.metric == metric].rename(columns={"arm": "series"})
    if x is None:
        names = {i: name(one, configurations).replace(", ", "\n") for i, one in enumerate(configurations, 1)}
        own = own.assign(row=own.configuration.map(names)).rename(columns={"model": "panel"})
        return pictures.forest(own, title, path)
    along = pattern(x, configurations)
    keys = [key for key in columns(configurations) if pattern(key, configurations) != along]
    others = [told(one, keys) for one in configurations]
    if own.empty:
        rows = [
            {"configuration": i, "series": label, "mean": value, "low": float("nan"), "high": float("nan"), "model": ""}
            for i, one in enumerate(configurations, 1)
            for label, value in generated(one, metric).items()
        ]
        own = pd.DataFrame(rows)
        title = f"{title} of generated sounds"
    own = own.assign(
        x=pd.Series([configurations[i - 1].params.get(x) for i in own.configuration], own.index, dtype=object),
        panel=[" · ".join(filter(None, (model, others[i - 1]))) for model, i in zip(own.model, own.configuration)],
    )
    pictures.lines(own, x, title, path)


def _with_parameters(frame: pd.DataFrame, configurations: list[Configuration], rare: dict) -> pd.DataFrame:
    """The table with its configuration's differing parameters, runs, missing folds and rare classes."""
    keys = differing(configurations)
    parameters = pd.DataFrame(
        [
            {"configuration": i}
            | {key: shown(one.params.get(key)) for key in keys}
            | {"runs": " ".join(run.name for run in one.runs.values())}
            | {"missing_folds": " ".join(str(fold) for fold in one.folds if fold not in one.runs)}
            | {"rare": " ".join(rare[tuple(one.labels)])}
            for i, one in enumerate(configurations, 1)
        ]
    )
    return parameters.merge(frame, on="configuration")
