"""What configurations scored, and what that allows one to say.

A score is the mean over a configuration's folds; intervals and verdicts come from the predictions of all of them. The
rare classes are the same in every row, or rows could not be compared: all that are rare in any configuration with these
classes.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from counterpoise.arms.arm import is_cheap
from counterpoise.compare import experiments
from counterpoise.compare.configurations import Configuration
from counterpoise.compare.experiments import ExperimentsError
from counterpoise.evaluation import metrics
from counterpoise.evaluation.bootstrap import Bootstrap, Difference, bootstrap, comparisons
from counterpoise.evaluation.scores import columns
from counterpoise.metrics.intervals import Evaluation

ALIASES = {"cosine": "root_cosine"}  # of measures of generated sounds


def rare_classes(configurations: list[Configuration], labels: list[str]) -> list[str]:
    """All that are rare in any run with these labels."""
    rare = {
        label
        for one in configurations
        for run in one.runs.values()
        if set(one.labels) == set(labels)
        for label in run.metrics["seeds"]["rare"]
    }
    return [label for label in labels if label in rare]


def score(one: Configuration, rare: list[str], found: Bootstrap | None) -> pd.DataFrame:
    """A configuration's scores: a row for each model, arm and metric (METRICS, `recall/<label>` and `ap/<label>`).

    Returns:
        Columns model, arm, metric, mean (over folds of means over seeds), sd (over folds), low, high, folds, seeds;
        what cannot be known is NaN.
    """
    rows = [
        {"fold": i, "model": result["model"], "arm": result["arm"], "metric": metric, "value": value}
        for i, run in enumerate(one.runs.values())
        for result in run.metrics["seeds"]["runs"]
        for metric, value in _values(result, rare).items()
    ]
    keys = ["model", "arm", "metric"]
    by_fold = pd.DataFrame(rows).groupby([*keys, "fold"], sort=False).value.agg(["mean", "size"])
    means = by_fold.groupby(keys, sort=False)
    frame = means["mean"].agg(["mean", "std", "size"]).set_axis(["mean", "sd", "folds"], axis=1)
    frame["seeds"] = means["size"].max()
    ends = [found.interval(*key) if found and key[2] in found.metrics else (np.nan, np.nan) for key in frame.index]
    frame[["low", "high"]] = ends
    return frame.reset_index()[[*keys, "mean", "sd", "low", "high", "folds", "seeds"]]


def _values(result: dict, rare: list[str]) -> dict[str, float]:
    """One run's metrics, with the mean of these rare classes rather than of its own. Older runs know no AP."""
    values = {name: result[name] for name in metrics.known(rare=False) if name in result}
    for kind in metrics.OF_CLASS:
        own = {label: row[kind] for label, row in result["per_class"].items() if kind in row}
        if rare and own:
            values[f"rare_{kind}"] = float(np.mean([own[label] for label in rare]))
        values |= {f"{kind}/{label}": value for label, value in own.items()}
    return values


def cheap(one: Configuration) -> dict[str, bool]:
    """By arm or system, whether it needs no diffusion model: as its runs say, or by its name where they are older."""
    found = {}
    for run in one.runs.values():
        arms = dict.fromkeys(result["arm"] for result in run.metrics["seeds"]["runs"])
        found |= {arm: run.cheap[arm] if arm in run.cheap else is_cheap(arm) for arm in arms}
    return found


def resample(one: Configuration, rare: list[str], settings: Evaluation) -> Bootstrap:
    """The bootstrap over the predictions of all folds of a configuration.

    Raises:
        ExperimentsError: predictions are not at hand, or of an older version.
        StatisticsError: the folds do not have the same runs.
    """
    tables = [experiments.table(run, "data/predictions.csv") for run in one.runs.values()]
    for run, table in zip(one.runs.values(), tables):
        if missing := set(columns(one.labels)) - set(table):
            raise ExperimentsError(
                f"data/predictions.csv of {run.name} is of an older version, without {', '.join(sorted(missing))}: run "
                f"it again"
            )
    return bootstrap(pd.concat(tables), one.labels, rare, settings)


def verdicts(found: dict[int, Bootstrap], cheap: Mapping[int, Mapping[str, bool]], metric: str) -> pd.DataFrame:
    """Every arm that needs a diffusion model against `none` and against the best cheap one, in every configuration.

    Args:
        found: by configuration.
        cheap: by configuration and arm, as :func:`cheap` says.

    Returns:
        Columns configuration, model, metric, arm, against, and the fields of `bootstrap.Difference`, corrected for all
        rows of the table.
    """
    pairs = [
        (i, model, arm, other)
        for i, one in found.items()
        for model in dict.fromkeys(model for model, _ in one.runs)
        if metric in one.metrics
        for arm, other in comparisons(one, model, metric, cheap[i])
        if not cheap[i][arm]
    ]
    rows = [
        {"configuration": i, "model": model, "metric": metric, "arm": arm, "against": other}
        | asdict(found[i].difference(model, arm, other, metric, len(pairs)))
        for i, model, arm, other in pairs
    ]
    fields = [field.name for field in dataclasses.fields(Difference)]
    return pd.DataFrame(rows, columns=["configuration", "model", "metric", "arm", "against", *fields])


def generated(one: Configuration, measure: str) -> dict[str, float]:
    """A measure of the variations of each class, the mean over folds; empty where it was not measured."""
    values = {}
    for run in one.runs.values():
        for label, view in run.metrics.get("generated", {}).get("classes", {}).items():
            value = view.get("sets", {}).get("variations", {}).get(ALIASES.get(measure, measure))
            if isinstance(value, (int, float)):
                values.setdefault(label, []).append(value)
    return {label: float(np.mean(own)) for label, own in values.items()}


def measures(configurations: list[Configuration]) -> list[str]:
    """The names of all measures of generated sounds that any run has."""
    views = [
        view.get("sets", {}).get("variations", {})
        for one in configurations
        for run in one.runs.values()
        for view in run.metrics.get("generated", {}).get("classes", {}).values()
    ]
    numbers = (name for view in views for name, value in view.items() if isinstance(value, (int, float)))
    return list(dict.fromkeys(numbers))
