"""The whole pipeline as its users run it, with tiny parameters: `dvc repro` in a clone of this repository."""

import filecmp
import io
import json
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
import random_yamnet
import soundfile
import torch
from pipeline import ARMS, CLASSES, change, clone, commit, ran, sh
from ruamel.yaml import YAML
from safetensors.torch import load_file

pytestmark = pytest.mark.slow


def test_results_are_complete_and_a_second_run_does_nothing(repo):
    assert not ran(sh("dvc", "repro", at=repo))
    summary = json.loads((repo / "metrics/summary.json").read_text())
    assert list(summary["cnn"]) == ["none", "diffusion"]
    assert "diffusion" in sh(sys.executable, "-m", "counterpoise", "report", at=repo)
    assert list((repo / "data/synthetic/sneeze").glob("*.flac"))
    assert not sh("git", "status", "--porcelain", at=repo)


def test_two_clean_runs_give_the_same_lock(first, tmp_path):
    second = clone(tmp_path)
    sh("dvc", "repro", at=second)
    assert filecmp.cmp(first / "dvc.lock", second / "dvc.lock", shallow=False)


def test_aug_factor_reruns_generation_and_the_arms_with_synthetic_clips_only(repo):
    output = sh("dvc", "exp", "run", "-S", "aug.factor=2", at=repo)
    assert ran(output) >= {"balance", "generate@sneeze", "group_split", "train_classifier@diffusion-cnn", "evaluate"}
    assert not {stage for stage in ran(output) if stage.startswith(("download", "split", "encode", "train_diffusion"))}
    assert "train_classifier@none-cnn" not in ran(output)


def test_every_arm_has_its_table_and_its_place_in_the_answer(contrast):
    tables = {arm: pd.read_csv(contrast / f"data/splits/train_{arm}.csv") for arm in ARMS}
    largest = int(tables["none"].label.value_counts().max())
    assert tables["oversample"].label.value_counts().tolist() == [largest] * 3
    assert tables["undersample"].label.value_counts().nunique() == 1
    added = {arm: int(tables[arm].synthetic.sum()) for arm in ARMS}
    assert added["classic"] == added["roundtrip"] > 0
    assert 0 < added["diffusion"] <= added["classic"]  # the class filter may leave fewer
    decoded = tables["roundtrip"][~tables["roundtrip"].synthetic].path.str.startswith("data/augmented/roundtrip")
    assert 0.2 < decoded.mean() < 0.8
    assert list(json.loads((contrast / "metrics/summary.json").read_text())["cnn"]) == ARMS
    assert "diffusion_classic" in sh(sys.executable, "-m", "counterpoise", "report", at=contrast)


def test_validation_stops_a_training_and_leaves_something_to_hear(contrast):
    folder = contrast / "models/diffusion/pant"
    assert list((folder / "demos").glob("step*.flac")) and (folder / "weak").exists()
    curve = pd.read_csv(contrast / "plots/diffusion/pant/plots/metrics/kad.tsv", sep="\t")
    assert curve.step.tolist()[0] == 2 and len(curve) <= 3
    assert set(pd.read_csv(contrast / "data/synthetic/pant/lineage.csv").start) == {"augmented"}
    for seen in ("models/base/seen.json", "models/diffusion/pant/seen.json"):
        clip_ids = json.loads((contrast / seen).read_text())["clip_ids"]
        assert clip_ids and len(clip_ids) == len(set(clip_ids))  # clips, however often they were augmented


def test_encodec_latents_go_the_same_way(contrast):
    assert "LatentUNet1D" in (contrast / "models/diffusion/sneeze/unet/config.json").read_text()
    assert soundfile.info(next((contrast / "data/synthetic/sneeze").glob("*.flac"))).samplerate == 24000


@pytest.mark.parametrize(("init", "retrained"), [("scratch", {"sneeze"}), ("shared", set(CLASSES))])
def test_limiting_a_class_retrains_what_learns_from_it(repo, init, retrained):
    change(repo, {"diffusion": {"init": init, "base_steps": 2}, "data": {"min_recordings": 1}})
    sh("dvc", "repro", "group_split", at=repo)
    change(repo, {"data": {"limit": {"sneeze": 1}}})
    stages = ran(sh("dvc", "repro", "group_split", at=repo))
    trained = {stage.partition("@")[2] for stage in stages if stage.startswith("train_diffusion")}
    made = {stage.partition("@")[2] for stage in stages if stage.startswith("generate")}
    assert trained == retrained and {"sneeze"} <= made <= trained | {"sneeze"}


def test_a_changed_clip_retrains_its_own_class_only(repo):
    path = sorted((repo / "data/raw/bark").glob("*.flac"))[0]
    wave, rate = soundfile.read(path)
    path.unlink()
    soundfile.write(path, 0.5 * wave, rate, subtype="PCM_16")
    sh("dvc", "commit", "-f", "download", at=repo)
    stages = ran(sh("dvc", "repro", at=repo))
    assert {stage for stage in stages if stage.startswith("train_diffusion")} == {"train_diffusion@bark"}


def test_a_removed_class_leaves_nothing_downstream(repo):
    yaml = YAML()
    params = yaml.load(repo / "params.yaml")
    del params["classes"]["pant"]
    yaml.dump(params, repo / "params.yaml")
    sh("dvc", "repro", at=repo)
    for folder in ("data/raw", "data/latents", "data/synthetic", "models/diffusion"):
        assert not [path.name for path in (repo / folder).glob("pant*")], folder
    for table in ("data/clips.csv", "data/splits/train_diffusion.csv", "data/splits/test.csv", "metrics/seeds.json"):
        assert "pant" not in (repo / table).read_text(), table


def test_push_clone_pull_and_nothing_is_left_to_do(repo, tmp_path):
    sh("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"), at=repo)
    commit(repo)
    sh("dvc", "push", at=repo)
    sh("git", "clone", "-q", str(repo), str(tmp_path / "copy"), at=tmp_path)
    sh("dvc", "pull", at=tmp_path / "copy")
    assert not ran(sh("dvc", "repro", at=tmp_path / "copy"))
    assert not sh("git", "status", "--porcelain", at=tmp_path / "copy")


def test_a_leak_stops_the_run_and_names_the_clips(repo):
    seen = repo / "models/diffusion/sneeze/seen.json"
    record = json.loads(seen.read_text())
    test_clip = next(line.split(",")[0] for line in (repo / "data/splits/test.csv").read_text().splitlines()[1:])
    seen.unlink()
    seen.write_text(json.dumps({**record, "clip_ids": [*record["clip_ids"], test_clip]}))
    output = sh(sys.executable, "-m", "stages.group_split", at=repo, fails=True)
    assert test_clip in output and "Traceback" not in output


def test_a_missing_collection_is_named(repo):
    change(repo, {"data": {"dataset": "urbansound8k", "path": "nowhere/UrbanSound8K"}})
    assert "nowhere/UrbanSound8K" in sh("dvc", "repro", at=repo, fails=True)
    output = sh(sys.executable, "-m", "counterpoise", "check", at=repo, fails=True)
    assert "nowhere/UrbanSound8K" in output and "Set it to the folder" in output and "Traceback" not in output


def test_folds_run_as_one_queue_and_each_has_its_own_results(repo):
    folds = ("-S", "split.test_fold=range(1,3)", "-S", "split.val_fold=null")
    sh("dvc", "exp", "run", "--queue", "-n", "fold", *folds, "train_diffusion@sneeze", at=repo)  # the rest takes longer
    sh("dvc", "exp", "run", "--run-all", at=repo)
    shown = sh("dvc", "exp", "show", "--csv", at=repo)
    table = pd.read_csv(io.StringIO(shown[shown.index("Experiment,") :]), dtype="str", keep_default_na=False)
    rows = table[table.Experiment.isin(["fold-1", "fold-2"])].sort_values("Experiment")
    assert rows[["State", "split.test_fold", "split.val_fold"]].to_numpy().tolist() == [
        ["Success", "1", ""],
        ["Success", "2", ""],
    ]
    locks = [YAML(typ="safe").load(sh("git", "show", f"{rev}:dvc.lock", at=repo)) for rev in rows.rev]
    one, two = (lock["stages"]["train_diffusion@sneeze"] for lock in locks)
    assert [stage["params"]["params.yaml"]["split"]["test_fold"] for stage in (one, two)] == [1, 2]
    assert one["outs"][0]["md5"] != two["outs"][0]["md5"]
