"""What DVC knows of this repository's runs: the workspace, commits and experiments, each with parameters and results.

`dvc exp show --json` names them, with states, parameters and hashes; it takes about a second for each that it has
not seen before. Metrics are read from git, and tables from DVC's cache by their hash: DVC's file system takes another
second for one file of one revision, so it is asked only for what the cache lacks.
"""

import functools
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from counterpoise.core import CounterpoiseError
from counterpoise.core.progress import progress

WORKSPACE = "workspace"
# Columns of words: class names may well be numbers.
WORDS = dict.fromkeys(("clip_id", "label", "predicted", "model", "arm", "source_id", "path"), "str")
METRICS = ("seeds", "generated")  # files in metrics/; only the first must be there
RENAMED = {  # parameters, or sections of them, that older runs have under other names
    "judge": "class_filter",
    "diffusion.altered": "diffusion.augmented",
    "diffusion.check_every": "diffusion.validate_every",
    "diffusion.check_clips": "diffusion.validation_samples",
    "features.time_shift": "classifier.time_shift",
    "features.mask_fraction": "classifier.mask_fraction",
    "features.masks": "classifier.masks",
}
STATES = {  # of an experiment that did not finish, with what to do
    "failed": "failed: `dvc queue logs {name}` says why",
    "queued": "waits in the queue: `dvc exp run --run-all` or `dvc queue start` runs it",
    "running": "still runs: `dvc queue status`",
}


class ExperimentsError(CounterpoiseError):
    """There is nothing to read; the message says what to run."""


@dataclass(frozen=True)
class Experiment:
    """One finished run of the pipeline."""

    name: str  # as `dvc exp show` has it
    rev: str  # a commit's id, or WORKSPACE
    params: dict  # by dotted name, e.g. {"split.test_fold": 3}; of params.yaml
    sources: str  # digest of the code and the sounds that the stages read
    hashes: dict[str, str]  # MD5 of what DVC's cache holds of it, by path
    metrics: dict[str, dict] = field(repr=False)  # `seeds`, and `generated` where sounds were generated
    cheap: dict[str, bool] = field(default_factory=dict)  # which arms need no diffusion model; empty in older runs


def collect(num: int = 1, all_branches: bool = False) -> tuple[list[Experiment], list[str]]:
    """Read the runs of the repository around the current folder.

    Args:
        num: how many commits of the branch, each with the experiments that started from it.
        all_branches: also the tips of all branches, with theirs.

    Returns:
        The finished ones, commits before their experiments and the workspace last, each under every name that DVC has
        for it. And a line for each that has not finished.

    Raises:
        ExperimentsError: there is no DVC repository, or no finished run.
    """
    command = ["exp", "show", "--json", "--num", str(num), *(["--all-branches"] if all_branches else [])]
    rows = list(_rows(json.loads(_dvc(*command))))
    found, unfinished = [], []
    for name, rev, state, data, of_dvc in progress(rows, desc="runs", unit="run", leave=False):
        if state != "success":
            unfinished.append(f"{name} {STATES.get(state, state).format(name=name)}")
            continue
        try:
            found.append(_experiment(name, rev, data, of_dvc))
        except ExperimentsError as error:
            unfinished.append(f"{name} {error}")
    if not found:
        raise ExperimentsError("\n".join(["no finished run was found: `make run` makes the first", *unfinished]))
    return found, unfinished


def table(experiment: Experiment, path: str) -> pd.DataFrame:
    """A table that a run left, from DVC's cache, the workspace or a remote.

    Raises:
        ExperimentsError: it is in none of them, or is no table.
    """
    try:
        return pd.read_csv(io.BytesIO(_content(experiment, path)), keep_default_na=False, dtype=WORDS)
    except OSError:
        pull = "dvc pull" if experiment.rev == WORKSPACE else f"dvc exp pull <remote> {experiment.name}"
        raise ExperimentsError(
            f"{path} of {experiment.name} is neither in DVC's cache nor in its remote: `{pull}` (of a commit "
            f"`dvc pull --all-commits`), or run it again"
        ) from None
    except (ValueError, UnicodeDecodeError) as error:
        raise ExperimentsError(f"{path} of {experiment.name} is no table ({error}): run `dvc repro evaluate`") from None


def _rows(shown: list[dict]) -> Iterator[tuple[str, str, str, dict, bool]]:
    """Name, revision, state and data of all that `dvc exp show` lists, and whether it is an experiment."""
    for commit in sorted(shown, key=lambda commit: commit["rev"] == WORKSPACE):
        name = commit["name"] or (WORKSPACE if commit["rev"] == WORKSPACE else commit["rev"][:7])
        yield name, commit["rev"], _state(commit, None), commit["data"] or {}, False
        for experiment in commit["experiments"] or []:
            tip = experiment["revs"][0]
            name = experiment["name"] or tip["name"] or tip["rev"][:7]
            yield name, tip["rev"], _state(tip, experiment["executor"]), tip["data"] or {}, True


def _state(row: dict, executor: dict | None) -> str:
    """A queued or failed run shows its parameters beside what its parent commit made: the state alone tells."""
    if executor and executor["state"] != "success":
        return executor["state"]
    return f"cannot be read: {row['error']['msg']}" if row["error"] else "success"


def _experiment(name: str, rev: str, data: dict, of_dvc: bool) -> Experiment:
    """Read one run. DVC saves experiments when they are done; a commit or the workspace may be half way."""
    params = data["params"].get("params.yaml", {}).get("data", {})
    texts = {metric: _read(rev, f"metrics/{metric}.json") for metric in METRICS}
    answer = _read(rev, "metrics/answer.json")
    if texts["seeds"] is None:
        raise ExperimentsError("has no results, metrics/seeds.json is missing: `dvc repro` makes them")
    if changed := [] if of_dvc else changed_parameters(params, _read(rev, "dvc.lock")):
        raise ExperimentsError(f"has results of other values of {', '.join(changed)}: `dvc repro` mends that")
    try:
        metrics = {metric: json.loads(text) for metric, text in texts.items() if text is not None}
        cheap = {} if answer is None else json.loads(answer).get("cheap", {})
    except ValueError as error:
        raise ExperimentsError(f"has metrics that are no JSON ({error}): run `dvc repro`") from None
    hashes = {path: out["hash"] for path, out in data["outs"].items() if out["hash"] and out["use_cache"]}
    # Without paths: /sounds is `../sounds` of the workspace, and `sounds` of a commit.
    read = sorted(dep["hash"] or "" for path, dep in data["deps"].items() if not _is_made(path, data["outs"]))
    sources = hashlib.sha256(json.dumps(read).encode()).hexdigest()[:7]
    return Experiment(name, rev, _renamed(_flat(params)), sources, hashes, metrics, cheap)


def changed_parameters(params: dict, lock: bytes | None) -> list[str]:
    """Parameters that differ from those of the lock: the results were made with others.

    The lock keeps what it knew of classes, arms and models that are gone; they do not count.

    Args:
        params: params.yaml, nested as it is there.
        lock: the bytes of dvc.lock; None where there is none.

    Returns:
        Dotted names of parameters or sections, as the stages in dvc.yaml name them, sorted.
    """
    stages = (YAML(typ="safe").load(lock) or {}).get("stages", {}) if lock else {}
    used = set(params.get("classes", {}))
    used |= {f"{arm}-{model}" for arm in params.get("arms", []) for model in params.get("models", [])}
    changed = set()
    for name, stage in stages.items():
        if "@" in name and name.partition("@")[2] not in used:
            continue
        for key, made_with in stage.get("params", {}).get("params.yaml", {}).items():
            value: Any = params
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if value != made_with:
                changed.add(key)
    return sorted(changed)


def _flat(tree: dict, above: str = "") -> dict:
    """The leaves of nested dicts by their dotted names; an empty dict has none."""
    leaves: dict = {}
    for key, value in tree.items():
        leaves |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return leaves


def _renamed(leaves: dict) -> dict:
    """Parameters of an older params.yaml by the names that they have now."""

    def now(key: str) -> str:
        old = next((old for old in RENAMED if key == old or key.startswith(f"{old}.")), None)
        return key if old is None else RENAMED[old] + key.removeprefix(old)

    return {now(key): value for key, value in leaves.items()}


def _is_made(path: str, outs: Collection[str]) -> bool:
    """Whether stages make this dependency, all of it or a part."""
    return any(path == out or path.startswith(f"{out}/") or out.startswith(f"{path}/") for out in outs)


def _content(experiment: Experiment, path: str) -> bytes:
    md5 = experiment.hashes.get(path, "")
    cached = _cache(os.getcwd()) / "files" / "md5" / md5[:2] / md5[2:]
    if md5 and cached.is_file():
        return cached.read_bytes()
    from dvc.api import DVCFileSystem  # half a second, and most calls need none of it
    from dvc.exceptions import DvcException

    try:
        return DVCFileSystem(rev=None if experiment.rev == WORKSPACE else experiment.rev).read_bytes(path)
    except DvcException as error:
        raise FileNotFoundError(path) from error


def _read(rev: str, path: str) -> bytes | None:
    """A file that git keeps, or None."""
    if rev == WORKSPACE:
        return Path(path).read_bytes() if Path(path).is_file() else None
    shown = subprocess.run(["git", "show", f"{rev}:./{path}"], capture_output=True)
    return shown.stdout if shown.returncode == 0 else None


@functools.cache
def _cache(folder: str) -> Path:
    """Where DVC's cache is, for the repository around this folder, the current one."""
    return Path(_dvc("cache", "dir").strip())


def _dvc(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("ERROR: ")
        raise ExperimentsError(f"`dvc {' '.join(arguments)}` failed in {os.getcwd()}: {why}")
    return done.stdout
