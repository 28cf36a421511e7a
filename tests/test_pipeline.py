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
    # Systems stand in the table where their members are there: no round trips, and no base whose features are read
    systems = ["logit_adjustment", "two_none", "mfcc_svm", "lda", "nearest_mean", "none_svm", "none_lda"]
    systems += ["none_lda_svm"]
    systems += ["denoisers", "none_denoisers", "fitted_denoisers", "none_lda_denoisers"]
    assert list(summary["cnn"]) == ["none", "diffusion", *systems]
    assert "diffusion" in sh(sys.executable, "-m", "counterpoise", "report", at=repo)
    assert list((repo / "data/synthetic/sneeze").glob("*.flac"))
    assert not sh("git", "status", "--porcelain", at=repo)


def test_the_release_is_fetched_by_its_name_and_classifies_sounds_elsewhere(repo, tmp_path):
    for name in ("release", "denoisers"):
        tag = ("tag", "-a", f"{name}@v1.0.0", "-m", "first")
        sh("git", "-c", "user.name=t", "-c", "user.email=t@t", *tag, at=repo)
        sh("dvc", "artifacts", "get", str(repo), name, "-o", str(tmp_path / "fetched" / name), at=tmp_path)
    assert sorted(path.name for path in (tmp_path / "fetched/denoisers").iterdir()) == CLASSES
    sounds = str(repo / "data/raw/pant")
    there = sh(sys.executable, "-m", "counterpoise", "classify", sounds, "--json", at=repo)
    fetched = ("--from", str(tmp_path / "fetched/release"))
    assert there == sh(sys.executable, "-m", "counterpoise", "classify", sounds, "--json", *fetched, at=repo)
    answers = [json.loads(line) for line in there.splitlines()]
    assert len(answers) == len(list((repo / "data/raw/pant").glob("*.flac"))) > 0
    assert all(set(answer["probabilities"]) == set(CLASSES) for answer in answers)


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
    assert added["classic"] == added["roundtrip"] == added["background_mix"] > 0
    assert 0 < added["diffusion"] <= added["classic"]  # the class filter may leave fewer
    decoded = tables["roundtrip"][~tables["roundtrip"].synthetic].path.str.startswith("data/augmented/roundtrip")
    assert 0.2 < decoded.mean() < 0.8
    single = ["logit_adjustment", "mfcc_svm", "lda", "nearest_mean", "none_svm", "none_lda"]
    single += ["none_lda_svm"]
    single += ["denoisers", "none_denoisers", "fitted_denoisers", "features", "all_three", "none_lda_denoisers"]
    assert list(json.loads((contrast / "metrics/summary.json").read_text())["cnn"]) == ARMS + single
    assert "diffusion_classic" in sh(sys.executable, "-m", "counterpoise", "report", at=contrast)


def test_no_two_arms_end_with_the_same_classifier(contrast):
    models = [(contrast / f"models/classifier/{arm}-cnn/seed0/model.safetensors").read_bytes() for arm in ARMS]
    assert len(set(models)) == len(ARMS)


def test_longer_alone_trains_for_more_steps(contrast):
    last = {
        arm: pd.read_csv(contrast / f"plots/training/{arm}-cnn/seed0/plots/metrics/loss.tsv", sep="\t").step.max()
        for arm in ARMS
    }
    assert last.pop("longer") == 16 and set(last.values()) == {4}
    curves = pd.read_csv(contrast / "plots/curves.csv")
    assert curves[curves.arm == "longer"].step.max() == 16


def test_classical_classifiers_are_learned_where_params_name_them(repo):
    card = json.loads((repo / "data/shallow/card.json").read_text())
    assert {name: about["embedding"] for name, about in card.items()} == dict.fromkeys(
        ["mfcc_svm", "lda", "nearest_mean"], "MFCC statistics"
    )
    clips = pd.read_csv(repo / "data/split/all.csv").set_index("clip_id").partition
    said = pd.read_csv(repo / "data/shallow/probabilities.csv")
    for _, rows in said.groupby("member"):
        assert sorted(rows.clip_id) == sorted(clips.index[clips.isin(["val", "test"])])

    change(repo, {"shallow": {"classifiers": ["lda"]}})
    output = sh("dvc", "repro", "evaluate", at=repo)
    assert {"shallow_classifiers", "evaluate"} <= ran(output)
    assert not {stage for stage in ran(output) if stage.startswith("train")}
    assert "mfcc_svm is left out of the table of cnn: shallow.classifiers does not name mfcc_svm" in output
    answer = json.loads((repo / "metrics/answer.json").read_text())
    assert answer["cheap"]["lda"] and "mfcc_svm" not in answer["cheap"]

    change(repo, {"shallow": {"classifiers": []}})
    output = sh("dvc", "repro", "evaluate", at=repo)
    assert "lda is left out of the table of cnn: shallow.classifiers names none" in output


def test_a_clip_over_a_background_names_both_of_its_clips(contrast):
    lineage = pd.read_csv(contrast / "data/augmented/lineage.csv", keep_default_na=False)
    mixed = lineage[lineage.start == "background"]
    clips = pd.read_csv(contrast / "data/split/all.csv").set_index("clip_id")
    assert set(clips.partition[mixed.other_clip_id]) == {"train"}
    assert (clips.label[mixed.other_clip_id].to_numpy() != mixed.label).all()
    assert all((contrast / path).is_file() for path in mixed.path)


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


def test_limiting_a_class_retrains_that_class_alone_where_each_starts_from_scratch(repo):
    change(repo, {"data": {"min_recordings": 1, "limit": {"sneeze": 1}}})
    stages = ran(sh("dvc", "repro", "train_diffusion", at=repo))
    assert {stage for stage in stages if stage.startswith("train_diffusion")} == {"train_diffusion@sneeze"}


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


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"aug": {"factor": -1}}, "aug.factor"),
        ({"classifier": {"stepz": 3}}, "classifier.stepz: unknown key"),
        ({"data": {"min_recordings": 99}}, "at least 99"),
        ({"data": {"limit": {"cat": 3}}}, "'cat'"),
    ],
)
def test_a_mistake_in_params_is_told_without_a_traceback_and_finished_work_is_kept(repo, sections, told):
    change(repo, sections)
    output = sh("dvc", "repro", at=repo, fails=True)
    assert told in output and "Traceback" not in output
    assert list((repo / "models/diffusion").glob("sneeze"))


def test_a_killed_stage_goes_on_with_what_is_whole_and_ends_with_the_same_bits(repo):
    model = repo / "models/diffusion/sneeze/unet/diffusion_pytorch_model.safetensors"
    expected = model.read_bytes()
    killing = (
        "import os, runpy, sys; sys.argv = ['train_diffusion', 'sneeze'];"
        "from counterpoise.core.checkpoint import Checkpoint; save = Checkpoint.save;"
        "Checkpoint.save = lambda self, state: (save(self, state), os._exit(9));"
        "runpy.run_module('stages.train_diffusion', run_name='__main__', alter_sys=True)"
    )
    shutil.rmtree(repo / "models/diffusion/sneeze")
    shutil.rmtree(repo / "plots/diffusion/sneeze")
    sh(sys.executable, "-c", killing, at=repo, fails=True)
    assert not model.exists()
    output = sh("env", "TQDM_MININTERVAL=0", sys.executable, "-m", "stages.train_diffusion", "sneeze", at=repo)
    assert "3 of 4 steps" in output and "2 of 4 steps" not in output  # it went on from the checkpoint at step 2
    assert model.read_bytes() == expected
    assert not ran(sh("dvc", "repro", "train_diffusion@sneeze", at=repo))

    # Damaged files of unfinished work
    folder = repo / "data/synthetic/sneeze"
    expected = {path.name: path.read_bytes() for path in folder.glob("*.flac")}
    killing = (
        "import os, runpy, shutil, sys; sys.argv = ['generate', 'sneeze']; shutil.move = lambda *names: os._exit(9);"
        "runpy.run_module('stages.generate', run_name='__main__', alter_sys=True)"
    )
    sh(sys.executable, "-c", killing, at=repo, fails=True)
    unfinished = sorted((repo / ".dvc/cache/unfinished").glob("*/*.flac"))
    assert len(unfinished) == len(expected) > 2
    unfinished[0].write_bytes(b"")
    unfinished[1].write_bytes(unfinished[1].read_bytes()[:-1] + b"x")
    output = sh(sys.executable, "-m", "stages.generate", "sneeze", at=repo)
    named = f"{unfinished[0].name}, {unfinished[1].name}"
    assert f"2 damaged files of unfinished work, made again: {named}" in output
    assert {path.name: path.read_bytes() for path in folder.glob("*.flac")} == expected
    left = [path for path in (repo / ".dvc/cache/unfinished").rglob("*") if path.name != "locks"]
    assert not left and not list((repo / ".dvc/tmp/counterpoise").iterdir())


def test_going_back_to_earlier_parameters_trains_nothing(repo):
    lock = (repo / "dvc.lock").read_bytes()
    targets = ("encode", "train_diffusion@sneeze", "train_classifier@none-cnn")
    later = {"codec": {"check_clips": 2}, "diffusion": {"steps": 3}, "classifier": {"steps": 5}}
    parameters = (repo / "params.yaml").read_bytes()
    change(repo, later)
    assert ran(sh("dvc", "repro", "-s", *targets, at=repo)) == set(targets)
    (repo / "params.yaml").write_bytes(parameters)
    assert ran(sh("dvc", "repro", at=repo)) <= {"group_split", "publish", "evaluate"}
    assert (repo / "dvc.lock").read_bytes() == lock
    change(repo, later)
    assert not ran(sh("dvc", "repro", "-s", *targets, at=repo))


def test_a_folder_of_ones_own_is_catalogued_and_a_change_in_it_is_seen(repo):
    rng = np.random.default_rng(0)
    for label in ("dog drinking", "Großer Hund"):
        (repo / "data/own" / label).mkdir(parents=True)
        for number in range(6):
            path = repo / "data/own" / label / f"-{number} $(touch pwned) 'x'.wav"
            soundfile.write(path, 0.1 * rng.standard_normal(8000), 8000)
    (repo / "data/own/dog drinking/broken.wav").write_text("no sound")
    sh(sys.executable, "-m", "counterpoise", "use", "own", at=repo)
    sh("dvc", "repro", "download", at=repo)
    clips = pd.read_csv(repo / "data/clips.csv")
    assert clips.label.value_counts().to_dict() == {"dog_drinking": 6, "grosser_hund": 6}
    assert clips.fold.between(1, 5).all() and clips.source_id.nunique() == 12
    assert "broken.wav" in (repo / "data/rejected.csv").read_text()
    assert not list(repo.rglob("pwned"))
    assert not ran(sh("dvc", "repro", "download", at=repo))
    soundfile.write(repo / "data/own/dog drinking/new.wav", 0.1 * rng.standard_normal(8000), 8000)
    assert ran(sh("dvc", "repro", "download", at=repo)) == {"check", "download"}
    assert len(pd.read_csv(repo / "data/clips.csv")) == 13


def test_classes_start_from_a_shared_base_and_variations_from_other_classes(repo):
    change(repo, {"diffusion": {"init": "shared", "base_steps": 3}})
    change(repo, {"generate": {"start": "cross", "strength": [0.5, 2.0], "solver": "dpmpp_2m"}})
    stages = ran(sh("dvc", "repro", "group_split", at=repo))
    assert {"train_base", "train_diffusion@bark", "generate@sneeze"} <= stages
    lineage = pd.read_csv(repo / "data/synthetic/sneeze/lineage.csv")
    label = pd.read_csv(repo / "data/clips.csv").set_index("clip_id").label
    assert len(lineage) and not (label[lineage.root_clip_id] == "sneeze").any() and lineage.strength.nunique() > 1
    training = pd.read_csv(repo / "data/splits/train_diffusion.csv")
    assert set(lineage.clip_id) <= set(training.clip_id[training.label == "sneeze"])
    seen = [json.loads((repo / f"models/diffusion/{label}/seen.json").read_text())["clip_ids"] for label in CLASSES]
    assert set(seen[0]) == set(seen[1]) > set(training.clip_id[~training.synthetic & (training.label == "bark")])

    change(repo, {"diffusion": {"mode": "conditional"}, "generate": {"start": "blend"}})
    sh("dvc", "repro", "group_split", at=repo)
    unets = [repo / f"models/diffusion/{label}/unet/diffusion_pytorch_model.safetensors" for label in CLASSES]
    first, *others = [load_file(unet)["conv_in.weight"] for unet in unets]
    assert all(torch.equal(other, first) for other in others)  # one network for all
    assert pd.read_csv(repo / "data/synthetic/sneeze/lineage.csv").other_clip_id.notna().all()

    change(repo, {"arms": ["none", "classic"]})  # nobody adds variations by diffusion: none are made
    sh("dvc", "repro", "group_split", at=repo)
    assert pd.read_csv(repo / "data/synthetic/sneeze/lineage.csv").empty
    assert pd.read_csv(repo / "data/splits/train_classic.csv").synthetic.any()


def test_the_base_learns_sounds_without_labels_but_none_of_a_held_out_recording(repo):
    before = pd.read_csv(repo / "data/split/all.csv")
    twins = {part: before[before.partition == part].iloc[0] for part in ("test", "train")}
    for part, twin in twins.items():
        shutil.copy(repo / twin.path, repo / "data/unlabelled" / f"{part}.flac")
    rng, named = np.random.default_rng(0), repo / "data/unlabelled/one day"
    named.mkdir()
    for number in range(3):
        soundfile.write(named / f"{number}.wav", 0.1 * rng.standard_normal(12000), 16000)
    soundfile.write(named / "silent.wav", np.zeros(12000), 16000)
    change(repo, {"diffusion": {"init": "shared", "base_steps": 3}})
    output = sh("dvc", "repro", "group_split", "denoiser_features", "denoiser_losses", at=repo)
    assert "unlabelled.csv: unused, 1 clip of 1 recording; they share sound with recordings of val or test" in output
    pd.testing.assert_frame_equal(pd.read_csv(repo / "data/split/all.csv"), before)

    # What may be learned
    clips = pd.read_csv(repo / "data/split/unlabelled.csv").set_index("source_id")
    assert clips.partition.to_dict() == {"unlabelled/test.flac": "unused"} | {
        f"unlabelled/{name}": "train" for name in ("train.flac", "one day/0.wav", "one day/1.wav", "one day/2.wav")
    }
    related = pd.read_csv(repo / "data/related.csv").to_numpy().tolist()
    assert related == [[f"unlabelled/{part}.flac", twins[part].source_id] for part in ("test", "train")]
    assert "silent.wav,unlabelled,silent" in (repo / "data/rejected.csv").read_text()

    # What was learned, and the proof of it
    base = json.loads((repo / "models/base/seen.json").read_text())
    learned = set(clips.clip_id[clips.partition == "train"])
    assert base["labels"] == [*CLASSES, "unlabelled"]
    assert set(base["clip_ids"]) == set(before.clip_id[before.partition == "train"]) | learned
    assert json.loads((repo / "models/base/unet/config.json").read_text())["num_class_embeds"] == 4
    assert learned < set(json.loads((repo / "models/diffusion/pant/seen.json").read_text())["clip_ids"])
    proof = json.loads((repo / "data/splits/audit.json").read_text())
    assert proof["unlabelled"] == {"clips": 4, "recordings": 4}
    counted = json.loads((repo / "metrics/data.json").read_text())["unlabelled"]
    assert (counted["train"]["clips"], counted["left_out"]["clips"], counted["rejected"]) == (4, 1, {"silent": 1})

    # A leak
    seen, left_out = repo / "models/diffusion/bark/seen.json", clips.clip_id["unlabelled/test.flac"]
    record = json.loads(seen.read_text())
    seen.unlink()
    seen.write_text(json.dumps({**record, "clip_ids": [*record["clip_ids"], left_out]}))
    output = sh(sys.executable, "-m", "stages.group_split", at=repo, fails=True)
    assert f"the diffusion model of bark saw: {left_out} (unused)" in output and "Traceback" not in output
    assert f"duplicates of held-out clips: {left_out} (like {twins['test'].clip_id})" in output

    # Classes that learn from scratch do not use them
    change(repo, {"diffusion": {"init": "scratch"}})
    assert "none learns the sounds of data.unlabelled" in sh(sys.executable, "-m", "stages.train_base", at=repo)


def test_a_pretrained_yamnet_is_converted_once_and_its_embeddings_are_shared(repo, tmp_path):
    source = random_yamnet.write(tmp_path / "yamnet.safetensors")
    change(repo, {"models": ["yamnet"], "yamnet": {"source": str(source)}, "generate": {"keep": "best"}})
    change(repo, {"classifier": {"init": "audioset", "body": "frozen"}, "class_filter": {"embedding": "audioset"}})
    output = sh("dvc", "repro", "train_class_filter", "train_classifier@none-yamnet", "shallow_classifiers", at=repo)
    assert {"pretrained", "train_class_filter", "train_classifier@none-yamnet"} <= ran(output)
    assert json.loads((repo / "models/class_filter/class_filter.json").read_text())["embedding"] == "AudioSet YAMNet"
    card = json.loads((repo / "data/shallow/card.json").read_text())
    heard = {name: about["embedding"] for name, about in card.items()}
    assert heard == {"mfcc_svm": "MFCC statistics", "lda": "AudioSet YAMNet", "nearest_mean": "AudioSet YAMNet"}
    assert card["lda"]["features"] == 1024
    body = [load_file(repo / f"models/classifier/none-yamnet/seed{seed}/model.safetensors") for seed in (0, 1)]
    published = load_file(source)
    for name, tensor in published.items():
        if not name.startswith("head."):
            assert torch.equal(body[0][name], tensor) and torch.equal(body[1][name], tensor)
    assert not torch.equal(body[0]["head.weight"], body[1]["head.weight"])


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
    splits = [lock["stages"]["split"]["params"]["params.yaml"]["split"] for lock in locks]
    assert [split["test_fold"] for split in splits] == [1, 2]
    one, two = (lock["stages"]["train_diffusion@sneeze"] for lock in locks)
    assert one["outs"][0]["md5"] != two["outs"][0]["md5"]
