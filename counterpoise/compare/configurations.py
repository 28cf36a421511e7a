"""Which runs belong together, and what tells these groups apart.

Runs that differ only in the test fold are one configuration.
"""

import json
from dataclasses import dataclass
from typing import Any

from counterpoise.compare import experiments
from counterpoise.compare.experiments import WORKSPACE, Experiment, ExperimentsError

FOLD, HELD_OUT = "split.test_fold", "split.val_fold"


@dataclass(frozen=True)
class Configuration:
    """Runs with the same parameters, code and sounds, each tested on another fold."""

    params: dict  # by dotted name, without the test fold; `sources` stands for the code and the sounds
    runs: dict[int | None, Experiment]  # by test fold
    folds: list[int]  # all that its collection has; empty where that is not known

    @property
    def labels(self) -> list[str]:
        return next(iter(self.runs.values())).metrics["seeds"]["labels"]


def group(runs: list[Experiment]) -> tuple[list[Configuration], list[str]]:
    """Put runs together that differ only in the fold that they were tested on; and say what was left out.

    Args:
        runs: the workspace last. One run often has several names: `dvc exp run` and `dvc exp apply` leave an experiment
            in the workspace, too, and branches and later commits may hold it. It counts once, under its first name.
    """
    groups, notes, known = {}, [], {}
    for run in _once(runs):
        params = {key: value for key, value in _settings(run).items() if key != FOLD}
        params |= {HELD_OUT: "a fold" if params.get(HELD_OUT) is not None else None, "sources": run.sources}
        own = groups.setdefault(json.dumps(params, sort_keys=True), (params, {}))[1]
        fold = run.params.get(FOLD)
        if fold in own:
            held_out = [one.params.get(HELD_OUT) for one in (run, own[fold])]
            why = f"val_fold {held_out[0]} instead of {held_out[1]}" if held_out[0] != held_out[1] else "other outcomes"
            notes.append(f"{run.name} repeats {own[fold].name} with {why}, and is not counted")
        own.setdefault(fold, run)
    configurations = []
    for params, own in groups.values():
        first = next(iter(own.values()))
        clips = first.hashes.get("data/clips.csv")
        if clips not in known:
            known[clips] = _folds(first)
        in_order = dict(sorted(own.items(), key=lambda item: order(item[0])))
        configurations.append(Configuration(params, in_order, known[clips]))
    keys = differing(configurations)
    configurations.sort(key=lambda one: [order(one.params.get(key)) for key in keys])
    return configurations, notes


def _once(runs: list[Experiment]) -> list[Experiment]:
    """The runs without those that are another by a second name."""
    kept = []
    for run in runs:
        if not any(_is_same(run, other) for other in kept):
            kept.append(run)
    return kept


def _is_same(run: Experiment, earlier: Experiment) -> bool:
    """The same parameters and results, of the same sources; or of a workspace whose edits have changed no result."""
    if run.metrics != earlier.metrics or _settings(run) != _settings(earlier):
        return False
    return run.sources == earlier.sources or run.rev == WORKSPACE


def _settings(run: Experiment) -> dict:
    """The parameters that results depend on: `evaluation` is only how sure one is of them."""
    return {key: value for key, value in run.params.items() if not key.startswith("evaluation.")}


def _folds(run: Experiment) -> list[int]:
    try:
        return sorted(set(experiments.table(run, "data/clips.csv").fold.tolist()))
    except (ExperimentsError, AttributeError):
        return []


def differing(configurations: list[Configuration]) -> list[str]:
    """The parameters that do not have the same value everywhere, in the order of params.yaml."""
    keys = dict.fromkeys(key for one in configurations for key in one.params)
    return [key for key in keys if len({shown(one.params.get(key)) for one in configurations}) > 1]


def columns(configurations: list[Configuration]) -> list[str]:
    """The parameters that tell configurations apart; of any that change together only the first."""
    kept = {}
    for key in differing(configurations):
        kept.setdefault(pattern(key, configurations), key)
    return list(kept.values())


def pattern(key: str, configurations: list[Configuration]) -> tuple[int, ...]:
    """Which configurations share a value of this parameter; parameters with equal patterns change together."""
    values = [shown(one.params.get(key)) for one in configurations]
    return tuple(values.index(value) for value in values)


def name(one: Configuration, configurations: list[Configuration]) -> str:
    """What tells a configuration from the others, in one line."""
    return told(one, columns(configurations)) or "the only configuration"


def unusual(one: Configuration, configurations: list[Configuration]) -> str:
    """The values that fewer configurations have than another value of the same parameter, in one line."""
    usual = common(configurations)
    return told(one, [key for key, value in usual.items() if shown(one.params.get(key)) != value], list(usual))


def common(configurations: list[Configuration]) -> dict[str, str]:
    """Of each parameter that differs, the value, as it is shown, that most configurations have."""
    values = {key: [shown(one.params.get(key)) for one in configurations] for key in columns(configurations)}
    return {key: max(all_, key=all_.count) for key, all_ in values.items()}


def told(one: Configuration, keys: list[str], among: list[str] | None = None) -> str:
    """Its values of these parameters, whose names are as short as they can be among others."""
    return ", ".join(f"{short(key, among or keys)} {shown(one.params.get(key))}" for key in keys)


def short(key: str, keys: list[str]) -> str:
    """The last part of a parameter's name, or all of it where another ends alike."""
    last = key.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in keys) == 1 else key


def shown(value: Any) -> str:
    """A parameter's value as people read it; a range of two numbers with a dash."""
    if isinstance(value, list):
        dash = len(value) == 2 and all(is_number(part) for part in value)
        return ("–" if dash else ", ").join(map(shown, value)) or "none"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def order(value: Any) -> tuple:
    """Sorts values: numbers by size, then everything else by name."""
    return (0, value, "") if is_number(value) else (1, 0, shown(value))


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
