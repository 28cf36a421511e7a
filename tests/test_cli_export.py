"""`counterpoise export` as people call it."""

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
import soundfile
from exported import LABELS, NAMES, classifier
from settings import settings_of
from typer.testing import CliRunner

from counterpoise.classifiers.networks import io
from counterpoise.cli.app import app
from counterpoise.core import tables
from counterpoise.embeddings.settings import Features
from counterpoise.release import folder


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A folder with a release and two clips of each class in train and val."""
    monkeypatch.chdir(tmp_path)
    one = classifier("cnn")
    features = settings_of(Features, n_mels=32, n_fft=512, hop=256)
    card = io.Card(model="cnn", labels=LABELS, audio=one.audio, features=features, pretrained=False, frozen=False)
    io.save(Path("models/classifier/none-cnn/seed0"), one.network, card)
    prior = dict.fromkeys(LABELS, 1 / 3)
    about = folder.About(arm="none", model="cnn", seed=0, dataset="own", labels=NAMES, prior=prior, threshold=0.4)
    folder.write(Path("models/release"), Path("models/classifier/none-cnn/seed0"), about, "# A card\n")
    rng, rows = np.random.default_rng(0), []
    Path("sounds").mkdir()
    for label in LABELS:
        for number, part in enumerate(["train", "train", "val", "val", "test"]):
            name, path = f"{label}{number}", f"sounds/{label}{number}.wav"
            soundfile.write(path, 0.1 * rng.standard_normal(9000).cumsum() / 30, 16000)
            row = {"clip_id": name, "path": path, "label": label, "source_id": name, "fold": 1, "partition": part}
            rows.append(row | {"seconds": 9000 / 16000, "sample_rate": 16000, "channels": 1})
    tables.write(tables.table(rows, tables.SPLIT), "data/split/all.csv")
    return tmp_path


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["export", *arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout if code == 0 else done.stderr


def entries(path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def test_the_release_is_exported_with_eight_bits_beside_it(repo):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", "init", "-q"], check=True)
    subprocess.run(["git", "add", "data"], check=True)
    subprocess.run([*git, "commit", "-qm", "a"], check=True)
    head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    first, second = run("--int8", "--output", "out/model.onnx").splitlines()
    assert first.startswith("out/model.onnx: ") and "on 6 validation clips and 40 made sounds" in first
    assert second.startswith("out/model.int8.onnx: ") and "of 6 validation clips; mean AP " in second
    assert sorted(path.name for path in Path("out").iterdir()) == ["model.int8.onnx", "model.onnx"]
    found = entries("out/model.onnx")
    assert found["commit"] == head and found["arm"] == "none" and "quantised" not in found
    assert entries("out/model.int8.onnx") == found | {"quantised": "int8 convolutions, calibrated on 6 training clips"}
    Path("data/split/all.csv").write_text(Path("data/split/all.csv").read_text().replace("bark0,", "bark9,"))
    run()
    assert entries("model.onnx")["commit"] == f"{head}+changes"


def test_without_git_clips_and_release_file_it_is_checked_on_made_sounds(repo):
    Path("data/split/all.csv").unlink()
    text = run("--from", "models/classifier/none-cnn/seed0", "--output", "deep/a.onnx")
    assert "on made sounds" in text
    assert not set(entries("deep/a.onnx")) & {"commit", "arm", "prior", "threshold"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--from", "elsewhere"], ["elsewhere/config.json is missing", "dvc repro"]),
        (["--output", "sounds"], ["--output sounds is a folder", "sounds/model.onnx"]),
    ],
)
def test_a_mistake_is_told_with_what_to_do(repo, arguments, told):
    text = run(*arguments, code=1)
    assert all(part in text for part in told) and not Path("model.onnx").exists()


def test_eight_bits_need_training_clips(repo):
    for path in Path("sounds").glob("*[01].wav"):
        path.unlink()
    assert "training clips" in (text := run("--int8", code=1)) and "dvc pull" in text
    assert not Path("model.onnx").exists()


def test_a_model_that_differs_is_not_written(repo, monkeypatch):
    from counterpoise.export import checking

    Path("model.onnx").write_text("what was there")
    monkeypatch.setattr(checking, "TOLERANCE", 1e-12)
    assert "differs from the network by" in run(code=1)
    assert [path.name for path in Path().glob("*.onnx*")] == ["model.onnx"]
    assert Path("model.onnx").read_text() == "what was there"
