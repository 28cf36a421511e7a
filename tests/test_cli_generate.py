"""`counterpoise generate` as people call it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from ruamel.yaml import YAML
from settings import settings_of, small_mel_codec
from typer.testing import CliRunner

from counterpoise import codecs
from counterpoise.cli.app import app
from counterpoise.codecs import encode
from counterpoise.codecs.latents import Normaliser
from counterpoise.core import tables
from counterpoise.diffusion import networks
from counterpoise.diffusion.model import Model
from counterpoise.diffusion.settings import Diffusion

ROOT = Path(__file__).parents[1]
RATE = 8000  # Hz, the small codec's


def noise(path, seconds, rate=RATE, channels=1, seed=0):
    wave = 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * rate), channels))
    soundfile.write(path, wave, rate)


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A folder in which `train_diffusion@bark` has run, for a model of random weights; three training clips a class."""
    monkeypatch.chdir(tmp_path)
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["classes"] = {"bark": {"name": "Bark"}, "howl": {"name": "Howl"}}
    params["codec"] = small_mel_codec().model_dump()
    params["generate"] |= {"steps": 2, "strength": [0.5, 1.0], "start": "own", "finish": "none"}
    yaml.dump(params, Path("params.yaml"))
    codec, rows = codecs.build(small_mel_codec(), torch.device("cpu")), []
    Path("sounds").mkdir()
    for number, label in enumerate(["bark", "howl"]):
        for clip, part in enumerate(["train", "train", "train", "val"]):
            name, seconds = f"{label}{clip}", 0.3 + 0.1 * clip
            noise(f"sounds/{name}.wav", seconds, seed=10 * number + clip)
            row = {"clip_id": name, "path": f"sounds/{name}.wav", "label": label, "source_id": f"r{name}", "fold": 1}
            rows.append(row | {"seconds": seconds, "sample_rate": RATE, "channels": 1, "partition": part})
    clips = tables.table(rows, tables.SPLIT)
    tables.write(clips, "data/split/all.csv")
    for label, own in clips.groupby("label"):
        encode.encode(codec, own, Path(f"data/latents/{label}.safetensors"), 4)
    settings = settings_of(Diffusion, steps=1, batch_size=1, crop_frames=8, widths=[8, 16])
    bands = codec.latent_channels
    both = [networks.build(settings, bands, True, seed).eval() for seed in (0, 1)]
    Model(*both, Normaliser(torch.zeros(bands), torch.ones(bands), 1.0)).save(Path("models/diffusion/bark"), "bark", [])
    return tmp_path


def run(*arguments, code=0, label="bark"):
    done = CliRunner().invoke(app, ["generate", "--class", label, *arguments])
    assert done.exit_code == code, done.output + repr(done.exception)
    return done.stdout if code == 0 else " ".join(done.stderr.replace("│", " ").split())


def lineage(folder):
    return pd.read_csv(Path(folder) / "lineage.csv", keep_default_na=False)


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir() if path.suffix == ".flac"}


def test_training_clips_are_used_in_turn_and_the_lineage_tells_of_each_sound(repo):
    assert "generated/bark: 4 sounds" in run("--count", "4")
    made = lineage("generated/bark")
    assert sorted(made.root_clip_id) == sorted(["bark0", "bark1", "bark2", made.root_clip_id.iloc[0]])
    assert (made.source_id == "r" + made.root_clip_id).all() and made.seed.is_unique
    assert (made.label == "bark").all() and (made.model == "models/diffusion/bark").all() and (made.commit == "").all()
    assert made.strength.between(0.5, 1).all()
    for row in made.itertuples():
        info = soundfile.info(row.path)
        assert (info.format, info.samplerate) == ("FLAC", RATE)
        assert info.frames == round((0.3 + 0.1 * int(row.root_clip_id[-1])) * RATE)
    assert set(contents("generated/bark")) == {Path(path).name for path in made.path}


def test_the_same_call_makes_the_same_bytes_and_another_seed_others(repo):
    run("--count", "2", "--output", "a")
    run("--count", "2", "--output", "b")
    run("--count", "2", "--seed", "5", "--output", "c")
    first = contents("a")
    assert len(first) == 2 and first == contents("b")
    assert not set(first.values()) & set(contents("c").values())
    run("--count", "2", "--output", "a", "--force")
    assert contents("a") == first


def test_a_sound_that_is_given_is_where_variations_start(repo):
    noise("mine.wav", 0.5, rate=44100, channels=2)
    run("--count", "2", "--from", "mine.wav", "--strength", "0.01", "--output", "near")
    run("--count", "2", "--from", "mine.wav", "--strength", "20", "--output", "far")
    made = lineage("near")
    assert (made.source_id == "mine.wav").all() and made.root_clip_id.nunique() == 1 and (made.strength == 0.01).all()
    assert made.clip_id.is_unique and made.clip_id.str.startswith("mine_").all()
    codec = codecs.build(small_mel_codec(), torch.device("cpu"))

    def latent(path):
        wave, rate = soundfile.read(path, dtype="float32")
        assert rate == RATE and len(wave) == RATE / 2
        return codec.encode(torch.from_numpy(wave)[None, None])[0]

    near, far = ([latent(path) for path in lineage(folder).path] for folder in ("near", "far"))
    assert (near[0] - near[1]).abs().mean() < 0.5 * (far[0] - far[1]).abs().mean()


def test_folders_are_searched_long_sounds_are_cut_and_what_is_no_sound_is_told(repo):
    Path("mine/deep").mkdir(parents=True)
    noise("mine/deep/long.wav", 31)
    Path("mine/broken.wav").write_text("no sound")
    done = CliRunner().invoke(app, ["generate", "--class", "bark", "--count", "1", "--from", "mine", "--strength", "1"])
    assert done.exit_code == 0 and "mine/broken.wav: left out, not audio" in done.stderr
    (row,) = lineage("generated/bark").itertuples()
    assert row.source_id == "mine/deep/long.wav"
    assert soundfile.info(row.path).frames <= 4 * RATE  # data.clip_seconds


def test_with_cross_sounds_of_other_classes_are_the_start_unless_some_are_given(repo):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("start: own", "start: cross"))
    run("--count", "3", "--output", "a")
    assert sorted(lineage("a").root_clip_id) == ["howl0", "howl1", "howl2"]
    run("--count", "1", "--from", "sounds/bark0.wav", "--output", "b")
    assert lineage("b").start.tolist() == ["own"]


def test_what_is_there_is_never_replaced_unless_forced(repo):
    run("--count", "2")
    before = contents("generated/bark")
    text = run("--count", "2", "--seed", "1", code=1)
    assert "there already" in text and "--force" in text
    assert contents("generated/bark") == before
    (repo / "only").mkdir()
    (repo / "only/lineage.csv").write_text("mine")
    assert "only/lineage.csv is there already" in run("--count", "1", "--output", "only", code=1)
    assert (repo / "only/lineage.csv").read_text() == "mine" and len(list(Path("only").iterdir())) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--strength", "0"], 2, ["--strength 0: a number above 0", "0.5,5"]),
        (["--strength", "5,0.5"], 2, ["from the lower to the higher"]),
        (["--strength", "inf"], 2, ["a number above 0"]),
        (["--strength", "strong"], 2, ["a number above 0"]),
        (["--strength", "1,2,3"], 2, ["a number above 0"]),
        (["--count", "0"], 2, ["--count"]),
        (["--output", "params.yaml"], 2, ["is no folder"]),
        (["--from", "nowhere.wav"], 1, ["no sound that can be used", "nowhere.wav", "Name others"]),
        (["--from", "params.yaml"], 1, ["params.yaml: not audio"]),
        (["--from", "models"], 1, ["no sound file in this folder", "flac"]),
    ],
)
def test_a_mistake_is_told_with_what_is_allowed(repo, arguments, code, told):
    text = run(*arguments, code=code)
    assert all(part in text for part in told), text
    assert not Path("generated/bark/lineage.csv").exists()


def test_an_unknown_class_is_told_with_those_there_are(repo):
    assert "--class woof: there is no such class; there are bark, howl" in run(code=2, label="woof")


def test_without_a_model_the_next_command_is_told(repo):
    text = run(code=1, label="howl")
    assert (
        "models/diffusion/howl is missing" in text and "dvc repro train_diffusion@howl" in text and "dvc pull" in text
    )


def test_a_model_of_another_codec_is_told(repo):
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("bands: 24", "bands: 16"))
    assert "24 channels" in (text := run(code=1)) and "16" in text and "dvc repro" in text


def test_where_the_pipeline_left_nothing_to_start_from_that_is_told(repo):
    Path("data/latents/bark.safetensors").unlink()
    assert "dvc repro encode" in run(code=1)
    Path("data/split/all.csv").unlink()
    assert "data/split/all.csv is missing" in run(code=1)


def test_a_start_from_noise_knows_no_strength(repo):
    Path("params.yaml").write_text(Path("params.yaml").read_text().replace("start: own", "start: noise"))
    assert "knows no strength" in run("--strength", "1", code=2)
    run("--count", "1")
    assert lineage("generated/bark").strength.tolist() == [80]
