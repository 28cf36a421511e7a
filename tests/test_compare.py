"""Runs beside each other: what is collected from DVC, what belongs together, what is said of it and drawn."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from settings import settings_of

from counterpoise.compare import command as compare
from counterpoise.compare import configurations as c
from counterpoise.compare import experiments, pictures, scores
from counterpoise.compare.configurations import Configuration
from counterpoise.compare.experiments import WORKSPACE, Experiment, ExperimentsError
from counterpoise.evaluation.scores import columns
from counterpoise.metrics.intervals import Evaluation

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "PYTHONWARNINGS": "ignore",
}
LABELS = ["bark", "howl", "whine"]
SKILL = {"none": 0.5, "class_weights": 0.6, "diffusion": 0.9}  # share of whines that are recognised

# A pipeline of one stage: predictions of known quality, and what follows from them. Factor 99 fails.
MAKE = """
import json, os, random
from ruamel.yaml import YAML
p = YAML(typ="safe").load(open("params.yaml"))
fold, factor = p["split"]["test_fold"], p["aug"]["factor"]
assert factor < 99
random.seed(f"{fold} {factor}")
skill = {"none": 0.5, "class_weights": 0.6, "diffusion": min(0.5 + 0.1 * factor, 1)}
columns = "clip_id,label,source_id,fold,model,arm,seed,predicted,true_probability,confidence"
lines, runs = [columns + ",probability/bark,probability/howl,probability/whine"], []
for arm, share in skill.items():
    for seed in (0, 1):
        right = dict.fromkeys(("bark", "howl", "whine"), 0)
        for label in right:
            for i in range(20):
                hit = label != "whine" or random.random() < share
                right[label] += hit
                guess = label if hit else "bark"
                clip, recording = f"{label}{fold}_{i}", f"{label}{fold}_r{i // 2}"
                given = ",".join("0.6" if guess == other else "0.2" for other in right)
                lines.append(f"{clip},{label},{recording},{fold},cnn,{arm},{seed},{guess},0.5,0.6,{given}")
        wrong = 20 - right["whine"]
        f1 = [40 / (40 + wrong), 1.0, 2 * right["whine"] / (20 + right["whine"])]
        share = right["whine"] / 20
        ap = {"bark": 20 / (20 + wrong), "howl": 1.0, "whine": share + (1 - share) * 20 / 60}
        per_class = {label: {"recall": hits / 20, "ap": ap[label]} for label, hits in right.items()}
        runs.append({"model": "cnn", "arm": arm, "seed": seed, "macro_f1": sum(f1) / 3, "per_class": per_class})
        runs[-1] |= {"accuracy": 1 - wrong / 60, "rare_recall": share, "rare_ap": ap["whine"]}
        runs[-1] |= {"mean_ap": sum(ap.values()) / 3}
seeds = {"labels": ["bark", "howl", "whine"], "train_clips": {}, "rare": ["whine"], "runs": runs}
os.makedirs("metrics", exist_ok=True)
os.makedirs("data", exist_ok=True)
json.dump(seeds, open("metrics/seeds.json", "w"))
cheap = {"none": True, "class_weights": True, "diffusion": False}
json.dump({"cheap": cheap}, open("metrics/answer.json", "w"))
open("data/predictions.csv", "w").write("\\n".join(lines) + "\\n")
open("data/clips.csv", "w").write("clip_id,fold\\na,1\\nb,2\\nc,3\\n")
"""
PIPELINE = """
stages:
  evaluate:
    cmd: python make.py
    params: [aug, split]
    deps: [make.py, "${data.path}"]
    outs:
      - data/predictions.csv
      - data/clips.csv
      - metrics/seeds.json: {cache: false}
      - metrics/answer.json: {cache: false}
"""


def sh(*command: str, at: Path, fails: bool = False) -> str:
    """Run a command; its output, or a failure that shows it."""
    done = subprocess.run(command, cwd=at, env=ENVIRONMENT, capture_output=True, text=True)
    text = done.stdout + done.stderr
    assert (done.returncode != 0) == fails, f"{' '.join(command)} exited with {done.returncode}:\n{text}"
    return text


def dvc(*command: str, at: Path) -> str:
    return sh(sys.executable, "-m", "dvc", *command, at=at)


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A repository with a commit (fold 1), experiments that are done, failed and queued, and the last one applied.

    Its sounds lie elsewhere: what the workspace calls ../sounds has another name in commits.
    """
    repo, sounds = tmp_path_factory.mktemp("swept"), tmp_path_factory.mktemp("sounds")
    (sounds / "bark.wav").write_text("bark")
    (repo / "make.py").write_text(MAKE)
    (repo / "dvc.yaml").write_text(PIPELINE)
    settings = f"aug: {{factor: 1}}\nsplit: {{test_fold: 1, val_fold: 3}}\ndata: {{path: {sounds}}}\n"
    settings += "evaluation: {resamples: 200, level: 0.95, seed: 0}\n"
    (repo / "params.yaml").write_text(settings)
    (repo / ".gitignore").write_text("/data/\n/plots/\n")
    sh("git", "init", "-qb", "main", at=repo)
    dvc("init", "-q", at=repo)
    dvc("repro", "-q", at=repo)
    sh("git", "add", "-A", at=repo)
    sh("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "state", at=repo)
    dvc("exp", "run", "--queue", "-n", "breaks", "-S", "aug.factor=99", at=repo)
    dvc("exp", "run", "--run-all", at=repo)
    dvc("exp", "run", "-n", "second", "-S", "split.test_fold=2", "-S", "split.val_fold=1", at=repo)
    dvc("exp", "run", "-n", "more", "-S", "split.test_fold=1", "-S", "split.val_fold=3", "-S", "aug.factor=4", at=repo)
    dvc("exp", "run", "--queue", "-n", "waits", "-S", "aug.factor=2", at=repo)
    return repo


@pytest.fixture
def repo(swept, tmp_path, monkeypatch) -> Path:
    """A copy, as the current folder."""
    shutil.copytree(swept, tmp_path / "repo", symlinks=True)
    monkeypatch.chdir(tmp_path / "repo")
    return tmp_path / "repo"


def names(runs: list[Experiment]) -> list[list[str]]:
    """What each configuration is made of."""
    return [[one.name for one in configuration.runs.values()] for configuration in c.group(runs)[0]]


def test_finished_runs_are_read_and_the_others_are_named(repo):
    runs, unfinished = experiments.collect()
    factors = {run.name: run.params["aug.factor"] for run in runs}
    assert factors == {"main": 1, "second": 1, "more": 4, "workspace": 4} and runs[-1].name == "workspace"
    assert len({run.sources for run in runs}) == 1
    assert runs[0].cheap == {"none": True, "class_weights": True, "diffusion": False}
    assert names(runs) == [["main", "second"], ["more"]]  # the workspace is what `more` left
    assert len(unfinished) == 2
    assert any(line.startswith("breaks failed: `dvc queue logs breaks`") for line in unfinished)
    assert any(line.startswith("waits waits in the queue") for line in unfinished)
    assert len(experiments.table(runs[0], "data/predictions.csv")) == 3 * 2 * 60


def test_a_run_that_commits_and_branches_hold_as_well_counts_once(repo):
    more = next(run for run in experiments.collect()[0] if run.name == "more")
    sh("git", "branch", "shipped", more.rev, at=repo)  # as `dvc exp branch` does
    sh("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "words", at=repo)
    runs, _ = experiments.collect(num=2, all_branches=True)
    assert len(runs) == 6 and {"main", "second", "more", "shipped", "workspace"} < {run.name for run in runs}
    assert c.group(runs)[1] == []
    assert names(runs) == [["main", "second"], ["more"]]


def test_a_workspace_whose_parameters_were_changed_since_is_no_result(repo):
    text = (repo / "params.yaml").read_text()
    (repo / "params.yaml").write_text(text.replace("factor: 4", "factor: 7"))
    runs, unfinished = experiments.collect()
    assert "workspace" not in {run.name for run in runs}
    assert "workspace has results of other values of aug: `dvc repro` mends that" in unfinished


def test_the_command_prints_a_table_and_writes_what_it_shows(repo):
    command = ("-m", "counterpoise", "compare", "--x", "aug.factor", "--metric", "rare_ap")
    printed = sh(sys.executable, *command, at=repo)
    assert max(len(line) for line in printed.splitlines() if "[" in line) <= 100
    for text in ("factor 1: main, second; tested on fold 1, 2, missing 3", "2 of 3", "cannot tell", "breaks failed"):
        assert text in printed
    assert "workspace" not in printed
    table = pd.read_csv(repo / "plots/compare/compare.csv")
    folds = [json.loads(sh("git", "show", f"{rev}:metrics/seeds.json", at=repo)) for rev in revisions(repo)]
    for metric, name in (("rare_ap", "rare_ap"), ("rare_recall", "rare_recall"), ("ap/whine", "rare_ap")):
        own = table[(table.metric == metric) & (table.arm == "diffusion")].set_index("aug.factor")
        assert own.folds.to_dict() == {1: 2, 4: 1} and own.seeds.to_dict() == {1: 2, 4: 2}
        means = [np.mean([run[name] for run in f["runs"] if run["arm"] == "diffusion"]) for f in folds]
        assert own["mean"][1] == pytest.approx(np.mean(means), abs=1e-5)
        assert own.sd[1] == pytest.approx(np.std(means, ddof=1), abs=1e-5) and np.isnan(own.sd[4])
        assert (own.low <= own["mean"]).all() and (own["mean"] <= own.high).all()
    verdicts = pd.read_csv(repo / "plots/compare/verdicts.csv")
    assert [*zip(verdicts.arm, verdicts.against)] == [("diffusion", "none"), ("diffusion", "class_weights")] * 2
    assert (verdicts.corrected_low <= verdicts.low).all() and set(verdicts.metric) == {"rare_ap"}
    assert (repo / "plots/compare/rare_ap_by_aug.factor.png").stat().st_size > 5000


def revisions(repo: Path) -> list[str]:
    """The commits of both folds of factor 1: HEAD and the experiment `second`."""
    refs = sh("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps", at=repo).splitlines()
    return ["HEAD", next(line.split()[0] for line in refs if line.endswith("/second"))]


def test_without_a_metric_the_command_asks_for_the_first_headline(repo):
    printed = sh(sys.executable, "-m", "counterpoise", "compare", at=repo)
    assert "differences of macro-F1" in printed and "rare AP" in printed
    assert (repo / "plots/compare/macro_f1.png").exists()
    assert set(pd.read_csv(repo / "plots/compare/verdicts.csv").metric) == {"macro_f1"}


def test_runs_that_are_older_than_a_metric_say_so(repo):
    command = (sys.executable, "-m", "counterpoise", "compare", "--metric", "rare_ap")
    seeds = json.loads((repo / "metrics/seeds.json").read_text())
    for one in seeds["runs"]:
        for row in one["per_class"].values():
            del row["ap"]
    (repo / "metrics/seeds.json").write_text(json.dumps(seeds))
    shutil.rmtree(repo / ".git/refs/exps")
    sh("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "older", at=repo)
    printed = sh(*command, at=repo, fails=True)
    assert "--metric rare_ap is in none of these runs" in printed and "Traceback" not in printed


def test_lost_predictions_cost_the_intervals_only(repo):
    run = next(run for run in experiments.collect()[0] if run.name == "more")
    md5 = run.hashes["data/predictions.csv"]
    os.chmod(repo / ".dvc/cache/files/md5" / md5[:2] / md5[2:], 0o644)
    (repo / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).unlink()
    with pytest.raises(ExperimentsError, match="neither in DVC's cache nor in its remote: `dvc exp pull <rem.*> more`"):
        experiments.table(run, "data/predictions.csv")
    one = c.group([run])[0][0]
    table = scores.score(one, ["whine"], None)
    assert table["mean"].notna().all() and table.low.isna().all()


def test_unanswerable_questions_say_what_can_be_asked(repo, tmp_path):
    configurations, _ = c.group(experiments.collect()[0])
    with pytest.raises(compare.CompareError, match="those that differ are aug.factor"):
        compare.check("aug.fctor", "macro_f1", configurations, True)
    with pytest.raises(compare.CompareError, match="--metric f1 is not known here; there are macro_f1, rare_ap"):
        compare.check("aug.factor", "f1", configurations, True)
    with pytest.raises(compare.CompareError, match="no parameter differs: run some"):
        compare.check("aug.factor", "macro_f1", configurations[:1], True)
    printed = sh(sys.executable, "-m", "counterpoise", "compare", at=tmp_path, fails=True)
    assert "you are not inside of a DVC repository" in printed and "Traceback" not in printed


def test_a_repository_without_runs_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sh("git", "init", "-qb", "main", at=tmp_path)
    dvc("init", "-q", at=tmp_path)
    with pytest.raises(ExperimentsError, match="no finished run was found: `make run`"):
        experiments.collect()


# From here on, fabricated runs


def result(arm: str, seed: int, recalls: dict[str, float]) -> dict:
    per_class = {label: {"recall": recall, "ap": recall / 2} for label, recall in recalls.items()}
    mean = float(np.mean(list(recalls.values())))
    return {"model": "cnn", "arm": arm, "seed": seed, "macro_f1": mean, "accuracy": mean, "per_class": per_class}


def run(name: str, fold: int = 1, rare=("whine",), sources="a", whine=0.5, made=None, **params) -> Experiment:
    """A finished run of two arms and two seeds; `whine` is the recall of the rare class under diffusion."""
    results = [
        result(arm, seed, {"bark": 1.0, "howl": 0.8, "whine": recall + 0.02 * seed})
        for arm, recall in (("none", 0.3), ("diffusion", whine))
        for seed in (0, 1)
    ]
    metrics = {"seeds": {"labels": LABELS, "rare": list(rare), "runs": results}}
    if made:
        metrics["generated"] = {"classes": {label: {"sets": {"variations": own}} for label, own in made.items()}}
    leaves = {"split.test_fold": fold, "split.val_fold": None} | {k.replace("__", "."): v for k, v in params.items()}
    return Experiment(name, name, leaves, sources, {}, metrics)


@pytest.fixture(autouse=True)
def clips(monkeypatch, request):
    """Fabricated runs have tables of their own: three folds, and predictions that fit nothing else."""
    if "repo" not in request.fixturenames:
        known = pd.DataFrame({"fold": [1, 2, 3]})
        fabricated = {"data/clips.csv": known}
        monkeypatch.setattr(experiments, "table", lambda of, path: fabricated[path])


def test_runs_that_differ_in_the_test_fold_alone_are_one_configuration():
    runs = [
        run("a", 2, aug__factor=1, split__val_fold=1),
        run("b", 1, aug__factor=1, split__val_fold=3),
        run("c", 1, aug__factor=4, split__val_fold=3),
        run("without validation", 3, aug__factor=1),
        run("other code", 3, aug__factor=1, split__val_fold=2, sources="b"),
        run("resampled more", 3, aug__factor=1, split__val_fold=2, evaluation__resamples=9000),
        run("again", 1, aug__factor=1, split__val_fold=3, whine=0.7),
    ]
    configurations, notes = c.group(runs)
    names = {tuple(one.name for one in configuration.runs.values()) for configuration in configurations}
    assert names == {("b", "a", "resampled more"), ("c",), ("without validation",), ("other code",)}
    assert notes == ["again repeats b with other outcomes, and is not counted"]
    assert all(configuration.folds == [1, 2, 3] for configuration in configurations)
    assert c.differing(configurations) == ["split.val_fold", "aug.factor", "sources"]


def test_a_workspace_with_the_parameters_and_results_of_a_run_is_that_run():
    runs = [run("main", aug__factor=1), run("applied", aug__factor=4, whine=0.7)]

    def beside(**own) -> tuple[list[list[str]], list[str]]:
        both = [*runs, run(WORKSPACE, **own)]
        return names(both), c.group(both)[1]

    alone = [["main"], ["applied"]]
    assert beside(aug__factor=4, whine=0.7) == (alone, [])
    assert beside(aug__factor=4, whine=0.7, sources="edited without effect") == (alone, [])
    assert beside(aug__factor=4, whine=0.7, evaluation__level=0.9) == (alone, [])
    assert beside(aug__factor=4, whine=0.7, fold=2) == ([["main"], ["applied", WORKSPACE]], [])
    assert beside(aug__factor=2, whine=0.7) == ([["main"], [WORKSPACE], ["applied"]], [])
    assert beside(aug__factor=4, whine=0.8, sources="edited")[0] == [["main"], ["applied"], [WORKSPACE]]
    repeats = "workspace repeats applied with other outcomes, and is not counted"
    assert beside(aug__factor=4, whine=0.8) == (alone, [repeats])


def test_commits_of_other_code_are_other_runs_even_with_equal_results():
    runs = [run("main", 1), run("before", 1, sources="old"), run("fold-2", 2, sources="old"), run("branch", 1)]
    assert names(runs) == [["main"], ["before", "fold-2"]]  # whose folds belong together


def test_configurations_are_sorted_by_value_and_parameters_that_go_together_share_a_column():
    runs = [run(str(n), data__scarce__limit=n, data__path=f"/{n}") for n in (80, 10, None, 20)]
    configurations, _ = c.group(runs)
    assert [one.params["data.scarce.limit"] for one in configurations] == [10, 20, 80, None]
    assert c.differing(configurations) == ["data.scarce.limit", "data.path"]
    assert c.columns(configurations) == ["data.scarce.limit"]
    assert c.name(configurations[0], configurations) == "limit 10"


def test_means_of_rare_classes_are_of_the_same_classes_in_every_row():
    configurations, _ = c.group([run("a", rare=["whine"], x=1), run("b", rare=["howl"], x=2)])
    rare = scores.rare_classes(configurations, LABELS)
    assert rare == ["howl", "whine"]
    means = scores.score(configurations[0], rare, None).set_index(["arm", "metric"])["mean"]
    assert means["none", "rare_recall"] == pytest.approx((0.8 + 0.31) / 2)
    assert means["none", "rare_ap"] == pytest.approx((0.8 + 0.31) / 4)
    assert {"rare_ap", "rare_recall"}.isdisjoint(scores.score(configurations[0], [], None).metric)


def test_runs_without_average_precision_keep_their_other_scores():
    older = run("older")
    for one in older.metrics["seeds"]["runs"]:
        for row in one["per_class"].values():
            del row["ap"]
    found = set(scores.score(c.group([older])[0][0], ["whine"], None).metric)
    assert {"macro_f1", "rare_recall", "recall/whine"} <= found
    assert not {"rare_ap", "mean_ap", "ap/whine"} & found


def test_a_run_says_which_of_its_rows_are_cheap_and_an_older_one_is_told_by_names():
    one, other = run("new"), run("older")
    assert scores.cheap(Configuration({}, {1: other}, [])) == {"none": True, "diffusion": False}
    for result in one.metrics["seeds"]["runs"]:
        result["arm"] = {"none": "none", "diffusion": "ensemble"}[result["arm"]]
    for told in (True, False):
        new = dataclasses.replace(one, cheap={"none": True, "ensemble": told})
        assert scores.cheap(Configuration({}, {1: new}, [])) == {"none": True, "ensemble": told}


def test_scores_are_means_over_folds_with_their_spread():
    one = c.group([run("a", 1, whine=0.5), run("b", 2, whine=0.9)])[0][0]
    row = scores.score(one, ["whine"], None).set_index(["arm", "metric"]).loc[("diffusion", "recall/whine")]
    assert row["mean"] == pytest.approx(0.71) and row.sd == pytest.approx(0.4 / np.sqrt(2))
    assert (row.folds, row.seeds) == (2, 2)


def predicted(fold: int, skill: dict[str, float] = SKILL) -> pd.DataFrame:
    """PREDICTIONS in which only whines are missed, the share that each arm's skill leaves."""
    rows = [
        (
            f"{label}{fold}-{i}",
            label,
            f"{label}{fold}-{i // 2}",
            fold,
            "cnn",
            arm,
            seed,
            *(label if hit else "bark", 0.5, 0.6),
            *(0.6 if other == (label if hit else "bark") else 0.2 for other in LABELS),
        )
        for arm, share in skill.items()
        for seed in (0, 1)
        for label in LABELS
        for i in range(40)
        for hit in [label != "whine" or (i * 7 + seed) % 40 < 40 * share]
    ]
    return pd.DataFrame(rows, columns=list(columns(LABELS)))


def test_intervals_and_verdicts_come_from_all_folds_and_are_corrected_for_the_whole_table(monkeypatch):
    tables = {"a": predicted(1), "b": predicted(2), "c": predicted(1, {"none": 0.5, "diffusion": 0.5})}
    monkeypatch.setattr(experiments, "table", lambda of, path: tables[of.name])
    settings = settings_of(Evaluation, resamples=200)
    both = scores.resample(Configuration({}, {1: run("a"), 2: run("b", 2)}, []), ["whine"], settings)
    single = scores.resample(Configuration({}, {1: run("a")}, []), ["whine"], settings)
    width = [np.diff(found.interval("cnn", "none", "rare_recall"))[0] for found in (both, single)]
    assert both.runs["cnn", "none"].shape[0] == 2 and width[0] < width[1]
    flat = scores.resample(Configuration({}, {1: run("c")}, []), ["whine"], settings)
    cheap = {1: {"none": True, "class_weights": True, "diffusion": False}, 2: {"none": True, "diffusion": False}}
    table = scores.verdicts({1: both, 2: flat}, cheap, "rare_recall")
    assert [*zip(table.configuration, table.against)] == [(1, "none"), (1, "class_weights"), (2, "none")]
    assert table.verdict.tolist() == ["helps", "helps", "cannot tell"]
    assert table["mean"][0] == pytest.approx(0.4) and table.corrected_low[0] < table.low[0]
    alone = scores.verdicts({1: both}, cheap, "rare_recall")
    assert table.corrected_low[0] < alone.corrected_low[0]
    assert scores.verdicts({1: both}, cheap, "nothing").empty
    dear = {1: cheap[1] | {"class_weights": False}}
    rows = scores.verdicts({1: both}, dear, "rare_ap")
    assert [*zip(rows.arm, rows.against)] == [("class_weights", "none"), ("diffusion", "none")]
    assert rows.verdict.tolist()[1] == "helps"


def test_predictions_of_an_older_version_are_named(monkeypatch):
    monkeypatch.setattr(experiments, "table", lambda of, path: predicted(1).drop(columns="source_id"))
    with pytest.raises(ExperimentsError, match="of old is of an older version, without source_id"):
        scores.resample(Configuration({}, {1: run("old")}, []), ["whine"], settings_of(Evaluation, resamples=100))
    monkeypatch.setattr(experiments, "table", lambda of, path: predicted(1).drop(columns="probability/howl"))
    with pytest.raises(ExperimentsError, match="of old is of an older version, without probability/howl"):
        scores.resample(Configuration({}, {1: run("old")}, []), ["whine"], settings_of(Evaluation, resamples=100))


def test_what_the_lock_knows_of_classes_that_are_gone_does_not_count():
    params = {"classes": {"bark": {"name": "Bark"}}, "aug": {"factor": 2}, "data": {"scarce": {"limit": None}}}
    stages = {
        "generate@bark": {"params": {"params.yaml": {"aug": {"factor": 2}, "data.scarce": {"limit": None}}}},
        "generate@gone": {"params": {"params.yaml": {"aug": {"factor": 1}}}},
    }
    assert experiments.changed_parameters(params, json.dumps({"stages": stages}).encode()) == []
    stages["generate@bark"]["params"]["params.yaml"]["data.scarce"] = {"limit": 5}
    assert experiments.changed_parameters(params, json.dumps({"stages": stages}).encode()) == ["data.scarce"]
    assert experiments.changed_parameters(params, None) == []


def test_an_axis_fits_the_values():
    assert pictures.positions([80, 10, 20, 40])[1] == "log2"
    assert pictures.positions([0, 1, 2, 4, 8]) == ({"0": -1, "1": 0, "2": 1, "4": 2, "8": 3}, "log2")
    assert pictures.positions([0.5, 1, 2, 5])[1] == "log2"
    assert pictures.positions([1, 2, 3, 4, 5])[1] == "linear"
    assert pictures.positions([0, 0.5, 1.0]) == ({"0": 0, "0.5": 0.5, "1": 1}, "linear")
    assert pictures.positions([[0.5, 5.0], 2.0, 1.0]) == ({"1": 0, "2": 1, "0.5–5": 2}, "categories")
    assert pictures.positions([10, None, 20])[0] == {"10": 0, "20": 1, "null": 2}
    assert pictures.positions([3]) == ({"3": 0}, "categories")
    assert pictures.positions([True, False])[1] == "categories"


def test_names_differ_however_many_parameters_do():
    runs = [run(str(i), **{f"p{k}": (i >> k) & 1 for k in range(5)}) for i in range(32)]
    configurations, _ = c.group(runs)
    assert len({c.name(one, configurations) for one in configurations}) == 32


def test_where_many_parameters_differ_configurations_have_numbers():
    usual = dict.fromkeys(("p0", "p1", "p2", "p3", "p4"), 0)
    runs = [run("usual", **usual), *(run(key, **usual | {key: 1}) for key in usual)]
    configurations, _ = c.group(runs)
    table = compare.score_table(numbered(configurations), configurations)
    assert table.columns[0].header == "no." and len({*table.columns[0].cells} - {""}) == 6
    first, *lines = compare.about(configurations)
    assert first == "Usual: p0 0, p1 0, p2 0, p3 0, p4 0"
    assert lines[0].startswith("1: as usual: usual") and lines[5].startswith("6: p0 1: p0")
    few = c.group(runs[:3])[0]
    assert [column.header for column in compare.score_table(numbered(few), few).columns[:2]] == ["p0", "p1"]
    assert compare.about(few)[0].startswith("p0 0, p1 0: usual")


def numbered(configurations: list[Configuration]) -> pd.DataFrame:
    rows = enumerate(configurations, 1)
    return pd.concat([scores.score(one, ["whine"], None).assign(configuration=i) for i, one in rows])


def test_pictures_have_a_panel_for_each_other_setting_and_the_same_bytes_again(tmp_path, monkeypatch):
    runs = [run(f"{f}{i}", aug__factor=f, init=i, whine=0.4 + f / 20) for f in (0, 1, 4) for i in ("scratch", "shared")]
    configurations, _ = c.group(runs)
    drawn, table = [], numbered(configurations)
    real = pictures.lines
    monkeypatch.setattr(pictures, "lines", lambda table, *rest: (drawn.append(table), real(table, *rest)))
    for name in ("a.png", "b.png"):
        compare.draw("aug.factor", "rare_recall", table, configurations, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert set(drawn[0].panel) == {"cnn · init scratch", "cnn · init shared"}
    own = drawn[0][(drawn[0].panel == "cnn · init shared") & (drawn[0].series == "diffusion")]
    assert own.x.tolist() == [0, 1, 4] and own["mean"].tolist() == pytest.approx([0.41, 0.46, 0.61])
    compare.draw(None, "rare_recall", table, configurations, tmp_path / "forest.png")
    assert (tmp_path / "forest.png").stat().st_size > 5000


def test_a_value_that_is_null_has_its_place_among_numbers(tmp_path, monkeypatch):
    runs = [run(str(i), s=value, whine=0.4 + i / 10) for i, value in enumerate((4, 8, 16, None))]
    configurations, _ = c.group(runs)
    drawn, real = [], pictures.save
    monkeypatch.setattr(pictures, "save", lambda figure, path: (drawn.append(figure), real(figure, path)))
    compare.draw("s", "rare_recall", numbered(configurations), configurations, tmp_path / "a.png")
    line = next(line for line in drawn[0].axes[0].lines if line.get_label() == "diffusion")
    assert np.isfinite(line.get_xydata()).all() and len(line.get_xydata()) == 4
    assert sorted(line.get_ydata()) == pytest.approx([0.41, 0.51, 0.61, 0.71])


def test_measures_of_generated_sounds_are_drawn_by_class(tmp_path, monkeypatch):
    made = {"whine": {"root_cosine": 0.9, "kad": None, "recognised": 1}, "bark": {"root_cosine": 0.7}}
    runs = [run("a", 1, made=made, s=1), run("b", 2, made={"whine": {"root_cosine": 0.5}}, s=1), run("c", s=2)]
    configurations, _ = c.group(runs)
    assert scores.generated(configurations[0], "cosine") == {"whine": pytest.approx(0.7), "bark": 0.7}
    assert scores.generated(configurations[0], "kad") == scores.generated(configurations[1], "cosine") == {}
    assert scores.measures(configurations) == ["root_cosine", "recognised"]
    drawn = []
    monkeypatch.setattr(pictures, "lines", lambda table, *rest: drawn.append(table))
    compare.draw("s", "cosine", numbered(configurations), configurations, tmp_path / "a.png")
    assert drawn[0][["series", "x"]].values.tolist() == [["whine", 1], ["bark", 1]]
    compare.check("s", "cosine", configurations, True)
    with pytest.raises(compare.CompareError, match="add --x with one of s"):
        compare.check(None, "cosine", configurations, True)
    with pytest.raises(compare.CompareError, match="there are macro_f1, mean_ap"):
        compare.check(None, "rare_recall", configurations, False)
