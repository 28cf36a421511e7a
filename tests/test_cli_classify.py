"""`counterpoise classify` as people and programs call it."""

import csv
import io as text_io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from settings import settings_of
from typer.testing import CliRunner

from counterpoise.classifiers import networks
from counterpoise.classifiers.networks import io
from counterpoise.cli.app import app
from counterpoise.core.audio import Audio
from counterpoise.embeddings.settings import Features
from counterpoise.inference.formats import FORMATS
from counterpoise.release import folder

LABELS = ["bark", "howl", "pant"]
NAMES = {"bark": "Bark", "howl": "Howl", "pant": "Pant"}
AUDIO = settings_of(Audio, sample_rate=16000, channels=1, seconds=0.5)
FEATURES = settings_of(Features, n_mels=32, n_fft=512, hop=256)


def save(place, seed):
    network = networks.build("cnn", 3, AUDIO, FEATURES, seed)
    with torch.no_grad():
        network.head.weight *= 20  # so that answers differ from sound to sound
    card = io.Card(model="cnn", labels=LABELS, audio=AUDIO, features=FEATURES, pretrained=False, frozen=False)
    io.save(Path(place), network, card)


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A folder with a release, two trained classifiers and sounds; the sounds' folder is `sounds`."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(["none-cnn/seed0", "none-cnn/seed3", "class_weights-cnn/seed0"]):
        save(f"models/classifier/{name}", number)
    prior = dict.fromkeys(LABELS, 1 / 3)
    about = folder.About(arm="none", model="cnn", seed=3, dataset="own", labels=NAMES, prior=prior, threshold=0.0)
    folder.write(Path("models/release"), Path("models/classifier/none-cnn/seed3"), about, "# A card\n")
    rng = np.random.default_rng(0)
    for name, seconds, rate in [("a.wav", 0.4, 16000), ("deep/b.flac", 1.3, 44100), ("deep/.hidden.wav", 1, 8000)]:
        path = Path("sounds") / name
        path.parent.mkdir(exist_ok=True, parents=True)
        wave = rng.standard_normal(round(seconds * rate)).cumsum()
        soundfile.write(path, 0.5 * wave / np.abs(wave).max(), rate)
    return tmp_path


def run(*arguments, code=0, stdin=None):
    """What a command says, on standard output; on standard error where it fails."""
    done = CliRunner().invoke(app, ["classify", *arguments], input=stdin)
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout if code == 0 else done.stderr


def answers(*arguments, **how):
    return [json.loads(line) for line in run(*arguments, "--json", **how).splitlines()]


def test_a_folder_is_searched_on_all_levels_and_nothing_hidden_is_heard(repo):
    found = answers("sounds")
    assert [one["file"] for one in found] == ["sounds/a.wav", "sounds/deep/b.flac"]
    assert [one["seconds"] for one in found] == pytest.approx([0.4, 1.3])
    for one in found:
        assert set(one["probabilities"]) == set(LABELS)
        assert one["label"] == next(iter(one["probabilities"])) and "windows" not in one


def test_windows_hop_and_top(repo):
    (one,) = answers("sounds/deep/b.flac", "--windows", "--hop", "0.5", "--top", "2")
    assert [(row["start"], row["end"]) for row in one["windows"]] == [(0, 0.5), (0.5, 1), (0.8, 1.3)]
    assert all(len(row["probabilities"]) == 2 for row in [one, *one["windows"]])
    assert len(answers("sounds/deep/b.flac", "--windows")[0]["windows"]) == 5  # half a window


def test_the_threshold_takes_labels_away(repo):
    assert all(one["label"] for one in answers("sounds"))
    assert not any(one["label"] for one in answers("sounds", "--threshold", "1"))
    about = folder.read(Path("models/release"))
    strict = about.model_copy(update={"threshold": 0.9999})
    folder.write(Path("models/release"), Path("models/classifier/none-cnn/seed3"), strict, "")
    assert not any(one["label"] for one in answers("sounds"))
    assert all(one["label"] for one in answers("sounds", "--threshold", "none"))
    assert "none of these" in run("sounds")


def test_every_trained_classifier_can_be_asked(repo):
    released = answers("sounds")
    assert answers("sounds", "--from", "models/classifier/none-cnn/seed3") == released
    assert answers("sounds", "--arm", "none", "--seed", "3") == released
    lowest = answers("sounds", "--arm", "none", "--model", "cnn")
    assert lowest == answers("sounds", "--from", "models/classifier/none-cnn/seed0") != released


def test_standard_input_is_heard(repo):
    sound = Path("sounds/deep/b.flac").read_bytes()
    (piped,), (named,) = answers("-", stdin=sound), answers("sounds/deep/b.flac")
    assert piped == named | {"file": "-"}
    assert "-: not audio" in run("-", stdin=b"no sound", code=1)


def test_the_table_is_for_people(repo):
    lines = run("sounds", "--top", "1").splitlines()
    assert len(lines) == 3 and lines[0].split() == ["label", "conf.", "file"]
    assert lines[2].startswith(tuple(NAMES.values())) and "sounds/deep/b.flac (1.30 s)" in lines[2]


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(repo):
    (repo / "sounds/broken.wav").write_text("no sound")
    done = CliRunner().invoke(app, ["classify", "sounds", "nowhere.wav", "--json"])
    assert done.exit_code == 3 and len(done.stdout.splitlines()) == 2
    assert "sounds/broken.wav: not audio" in done.stderr and "nowhere.wav: missing" in done.stderr
    assert "Traceback" not in done.stderr and "%|" not in done.stderr  # no bar where there is no terminal


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere.wav"], ["nowhere.wav: missing", "No sound was classified"]),
        (["models/release"], ["models/release: no sound file", "flac"]),
        (["sounds", "--from", "elsewhere"], ["elsewhere/config.json is missing", "dvc repro"]),
        (["sounds", "--from", "sounds"], ["sounds/config.json is missing"]),
    ],
)
def test_where_nothing_can_be_done_the_reason_is_told(repo, arguments, told):
    text = run(*arguments, code=1)
    assert all(part in text for part in told) and "Traceback" not in text


def test_a_damaged_model_is_told(repo):
    Path("models/release/model.safetensors").write_bytes(b"damaged")
    assert "holds no classifier" in run("sounds", code=1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "FILE_OR_FOLDER"),
        (["sounds", "--threshold", "2"], "from 0 to 1"),
        (["sounds", "--threshold", "high"], "from 0 to 1"),
        (["sounds", "--threshold", "nan"], "from 0 to 1"),
        (["sounds", "--hop", "0.6"], "at most 0.5 s"),
        (["sounds", "--hop", "nan"], "at most 0.5 s"),
        (["sounds", "--format", "xml"], "audacity"),
        (["sounds", "--json", "--format", "csv"], "use one of them"),
        (["sounds", "--arm", "focal"], "class_weights-cnn, none-cnn"),
        (["sounds", "--arm", "none", "--seed", "7"], "there are 0, 3"),
        (["sounds", "--seed", "3"], "need --arm"),
        (["sounds", "--arm", "none", "--from", "models/release"], "both name a classifier"),
        (["sounds", "--format", "raven"], "name a folder"),
        (["sounds", "--format", "raven", "--output", "models/release/README.md"], "is a file"),
        (["sounds", "--output", "sounds"], "cannot be written"),
        (["sounds", "other/a.wav", "--format", "raven", "--output", "x"], "would both be a.wav"),
        (["sounds", "--output", "sounds/a.wav"], "is one of the sounds"),
    ],
)
def test_wrong_options_are_told_with_what_is_allowed(repo, arguments, told):
    before = Path("sounds/a.wav").read_bytes()
    text = " ".join(run(*arguments, code=2).replace("│", " ").split())
    assert told in text and "Traceback" not in text
    assert not Path("x").exists() and Path("sounds/a.wav").read_bytes() == before


def test_answers_go_to_a_file(repo):
    assert run("sounds", "--format", "csv", "--output", "out/answers.csv") == ""
    rows = list(csv.DictReader(text_io.StringIO(Path("out/answers.csv").read_text(), newline="")))
    assert [row["file"] for row in rows] == ["sounds/a.wav", "sounds/deep/b.flac"]


@pytest.mark.parametrize(("style", "ending"), [("audacity", "labels"), ("raven", "selections")])
def test_labels_of_one_sound_go_out_and_of_several_into_a_folder(repo, style, ending):
    lines = run("sounds/deep/b.flac", "--format", style).splitlines()
    assert len(lines) == 5 + (style == "raven")
    assert run("sounds", "--format", style, "--output", "out") == ""
    assert sorted(path.as_posix() for path in Path("out").rglob("*.txt")) == [
        f"out/a.wav.{ending}.txt",
        f"out/deep/b.flac.{ending}.txt",
    ]
    assert Path(f"out/deep/b.flac.{ending}.txt").read_text().splitlines() == lines
    run("sounds/deep/b.flac", "--format", style, "--output", "one.txt")
    assert Path("one.txt").read_text().splitlines() == lines


@pytest.mark.parametrize("style", FORMATS)
def test_every_format_can_be_asked_for(repo, style):
    assert len(run("sounds/a.wav", "--format", style).splitlines()) == {"jsonl": 1, "audacity": 1}.get(style, 2)


def test_help_names_the_exit_codes():
    text = " ".join(run("--help").split())
    assert "Exit codes: 0 all" in text and "3 some" in text
