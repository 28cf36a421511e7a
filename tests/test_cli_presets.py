"""`make use`: what a preset changes in params.yaml, and all that it leaves alone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from ruamel.yaml import YAML
from typer.testing import CliRunner

from counterpoise.cli.app import app
from counterpoise.cli.params import Params
from counterpoise.cli.presets import PresetError, use
from counterpoise.cli.proposals import round_up
from counterpoise.core.settings import SettingsError
from counterpoise.datasets.own import OwnError

REPOSITORY = Path(__file__).parents[1]
PRESETS = REPOSITORY / "presets"
NAMES = sorted(file.stem for file in PRESETS.glob("*.yaml"))


@pytest.fixture
def file(tmp_path):
    """The repository's params.yaml, where it may be changed."""
    path = tmp_path / "params.yaml"
    path.write_text((REPOSITORY / "params.yaml").read_text())
    return path


@pytest.fixture
def sounds(tmp_path):
    """A folder with three classes."""
    for name in ("cat/1.wav", "Dog bark/1.wav", "café/1.wav"):
        (tmp_path / "sounds" / name).parent.mkdir(parents=True)
        (tmp_path / "sounds" / name).touch()
    return tmp_path / "sounds"


def change(file, old, new):
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def comments(file):
    return [line.partition("#")[2] for line in file.read_text().splitlines() if "#" in line]


def plain(file):
    return YAML(typ="safe").load(file.read_text())


def test_there_is_a_preset_for_every_data_set():
    assert NAMES == ["dogs", "esc50", "own", "urbansound8k"]


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_says_the_same_things_as_the_others(name):
    keys = {section: set(values) for section, values in plain(PRESETS / f"{name}.yaml").items() if section != "classes"}
    assert keys == {
        "data": {"dataset", "path", "download"},
        "audio": {"sample_rate", "channels", "seconds"},
        "split": {"test_fold", "val_fold", "val_fraction"},
        "features": {"hop"},
        "codec": {"mel"},
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_changes_its_values_and_nothing_else(name, file, sounds):
    before = plain(file)
    use(name, file, PRESETS, str(sounds))
    after, preset = plain(file), plain(PRESETS / f"{name}.yaml")
    assert Params.read(file).data.dataset == name
    assert after.keys() == before.keys()
    preset["data"]["path"] = str(sounds)
    if name == "dogs":  # it is in use already, so its data stay
        preset["data"] = {"path": str(sounds)}
    preset["codec"]["mel"] = before["codec"]["mel"] | preset["codec"]["mel"]
    for section in before.keys() - {"classes"}:
        assert after[section] == (before[section] | preset[section] if section in preset else before[section])


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_again_gives_the_same_bytes(name, file, sounds):
    before = file.read_text()
    use(name, file, PRESETS, str(sounds) if name == "own" else None)
    assert (file.read_text() == before) == (name == "dogs")
    use("dogs", file, PRESETS)
    assert file.read_text() == before


@pytest.mark.parametrize("name", NAMES)
def test_every_comment_stays(name, file, sounds):
    change(file, "\naudio:", "\n# Before audio.\naudio:")
    change(file, "sneeze: {name: Sneeze}", "sneeze: {name: Sneeze}  # the rare one\n\n# Below the classes.")
    before = comments(file)
    use(name, file, PRESETS, str(sounds))
    kept = before if name == "dogs" else [text for text in before if text != " the rare one"]
    assert comments(file) == kept
    assert "# Below the classes.\n\n# Before audio.\naudio:" in file.read_text()


def test_classes_written_in_blocks_are_replaced_too(file):
    change(file, "  sneeze: {name: Sneeze}\n", "  sneeze:\n    name: Sneeze   # rare\n\n# Below.\n")
    use("urbansound8k", file, PRESETS)
    assert "  street_music: {name: Street music}\n\n# Below.\n\naudio:" in file.read_text()
    assert next(iter(Params.read(file).classes)) == "air_conditioner"


def test_a_class_that_stays_keeps_its_comment(file, sounds):
    use("own", file, PRESETS, str(sounds))
    change(file, "cat: {name: cat}", "cat: {name: cat}   # purrs")
    (sounds / "ant").mkdir()
    (sounds / "ant/1.wav").touch()
    use("own", file, PRESETS)
    assert "  ant: {name: ant}\n" in file.read_text() and "  cat: {name: cat}   # purrs\n" in file.read_text()


def test_own_takes_the_classes_that_are_there(file, sounds):
    told, _ = use("own", file, PRESETS, str(sounds))
    p = Params.read(file)
    assert {slug: info.name for slug, info in p.classes.items()} == {
        "cafe": "café",
        "cat": "cat",
        "dog_bark": "Dog bark",
    }
    assert (p.data.dataset, p.data.path) == ("own", str(sounds))
    assert (p.split.test_fold, p.split.val_fold, p.split.val_fraction) == (1, None, 0.1)
    assert "classes: bark, howl, pant, eat, drink, sneeze → cafe, cat, dog_bark" in told
    assert "data.dataset: dogs → own" in told and "split.val_fold: 2 → null" in told


def test_own_again_finds_new_classes_and_keeps_what_the_user_set(file, sounds):
    use("own", file, PRESETS, str(sounds))
    change(file, "max_seconds: 30.0", "max_seconds: 12.0")
    (sounds / "owl").mkdir()
    (sounds / "owl/1.wav").touch()
    assert use("own", file, PRESETS).changes == ["classes: cafe, cat, dog_bark → cafe, cat, dog_bark, owl"]
    assert (Params.read(file).data.path, Params.read(file).data.max_seconds) == (str(sounds), 12.0)
    assert use("own", file, PRESETS).changes == []


@pytest.mark.parametrize(
    "parts, test, val, fraction",
    [(("train", "val", "test"), 3, 2, 0.0), (("train", "test"), 3, None, 0.1), (("train", "valid"), 2, None, 0.1)],
)
def test_own_sets_the_split_that_folders_say(file, tmp_path, parts, test, val, fraction):
    for part in parts:
        for label in ("cat", "dog"):
            (tmp_path / "mine" / part / label).mkdir(parents=True)
            (tmp_path / "mine" / part / label / "1.wav").touch()
    used = use("own", file, PRESETS, str(tmp_path / "mine"))
    p = Params.read(file)
    assert (p.split.test_fold, p.split.val_fold, p.split.val_fraction) == (test, val, fraction)
    assert list(p.classes) == ["cat", "dog"] and "are a split, and no classes" in used.remarks[0]


def test_own_tests_a_fold_that_the_table_has(file, sounds):
    (sounds / "all.csv").write_text("file,label,fold\ncat/1.wav,cat,0\ncafé/1.wav,dog,8\n")
    change(file, "labels: folder", "labels: table")
    change(file, "table: null", "table: all.csv")
    use("own", file, PRESETS, str(sounds))
    assert Params.read(file).split.test_fold == 8


def noises(folder, seconds, rate, amount=20):
    """A folder with two classes of sounds."""
    for label in ("ant", "bee"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(amount):
            wave = 0.1 * np.random.default_rng(number).standard_normal(round(rate * seconds))
            soundfile.write(folder / label / f"{rate}-{seconds}-{number}.wav", wave, rate)
    return folder


def heard(file):
    p = Params.read(file)
    return p.audio.seconds, p.audio.sample_rate, p.features.hop, p.codec.mel.f_max


def test_own_proposes_lengths_and_rates_that_fit_and_says_why(file, tmp_path):
    phones = noises(noises(tmp_path / "phones", 0.43, 8000), 2.0, 16000, amount=1)
    told = use("own", file, PRESETS, str(phones)).changes
    assert heard(file) == (0.5, 8000, 64, 4000.0)
    assert "audio.seconds: 1.2 → 0.5 (95% of the clips are no longer)" in told
    assert "audio.sample_rate: 16000 → 8000 (40 of 42 clips have it)" in told
    assert "codec.mel.f_max: 8000.0 → 4000.0 (above it nothing is heard)" in told
    before = file.read_text()
    assert use("own", file, PRESETS).changes == [] and file.read_text() == before


def test_what_is_proposed_is_no_longer_than_some_seconds_and_no_wider_than_the_codec(file, tmp_path):
    told = use("own", file, PRESETS, str(noises(tmp_path / "long", 12.4, 44100, amount=2))).changes
    assert heard(file) == (10.0, 16000, 512, 8000.0)
    assert any("clips are longer, 95% up to 13 s" in line for line in told)
    change(file, "f_max: 8000.0", "f_max: 22050.0")
    change(file, "sample_rate: 16000     # Hz\n    nnls", "sample_rate: 44100     # Hz\n    nnls")
    told = use("own", file, PRESETS).changes
    assert told == ["audio.sample_rate stays 16000; proposed is 44100 (all clips have it)"]


def test_own_again_never_replaces_what_the_user_set(file, tmp_path):
    use("own", file, PRESETS, str(noises(tmp_path / "a", 0.43, 16000, amount=2)))
    assert heard(file) == (0.5, 16000, 128, 8000.0)
    change(file, "seconds: 0.5 ", "seconds: 0.8 ")
    change(file, "val_fraction: 0.1", "val_fraction: 0.2")
    told = use("own", file, PRESETS).changes
    assert told == ["audio.seconds stays 0.8; proposed is 0.5 (95% of the clips are no longer)"]
    told = use("own", file, PRESETS, str(noises(tmp_path / "b", 1.9, 8000, amount=2))).changes
    assert heard(file) == (0.8, 8000, 128, 4000.0) and Params.read(file).split.val_fraction == 0.2
    assert "audio.seconds stays 0.8; proposed is 1.9 (95% of the clips are no longer)" in told


def test_sounds_in_another_place_get_proposals_of_their_own(file, tmp_path):
    use("own", file, PRESETS, str(noises(tmp_path / "a", 0.43, 16000, amount=2)))
    use("own", file, PRESETS, str(noises(tmp_path / "b", 1.9, 8000, amount=2)))
    assert heard(file) == (1.9, 8000, 128, 4000.0)
    use("dogs", file, PRESETS)
    assert file.read_text() == (REPOSITORY / "params.yaml").read_text()


@pytest.mark.parametrize(("seconds", "rounded"), [(0.03, 0.1), (0.41, 0.5), (4.0, 4.0), (10.0, 10.0), (12.4, 13.0)])
def test_lengths_are_rounded_up(seconds, rounded):
    assert round_up(seconds) == rounded


def test_own_asks_the_pattern_that_the_user_set(file, sounds):
    (sounds / "cat/hiss-1.wav").touch()
    change(file, "labels: folder", "labels: pattern")
    change(file, "\n  pattern: null", "\n  pattern: (?P<label>[a-z]+|\\d)(-\\d)?.wav$")
    use("own", file, PRESETS, str(sounds))
    assert list(Params.read(file).classes) == ["1", "hiss"]


def test_what_is_said_of_classes_that_are_gone_goes_too(file):
    change(file, "limit: {}", "limit: {sneeze: 6}")
    change(file, "per_class: {}", "per_class: {eat: 2}")
    told, _ = use("urbansound8k", file, PRESETS)
    assert Params.read(file).data.limit == {} and Params.read(file).aug.per_class == {}
    assert "data.limit.sneeze: 6 → (not set)" in told


@pytest.mark.parametrize("name", ["", "nothing", "../presets/dogs", "dogs.yaml"])
def test_an_unknown_preset_is_an_error_that_lists_those_there(name, file):
    before = file.read_text()
    with pytest.raises(PresetError, match="dogs, esc50, own, urbansound8k"):
        use(name, file, PRESETS)
    assert file.read_text() == before


def test_another_preset_is_one_more_file(file, tmp_path):
    (tmp_path / "quick.yaml").write_text("diffusion: {steps: 3, widths: [8, 16]}\nmodels: [yamnet]\n")
    before = plain(file)["diffusion"]
    assert use("quick", file, tmp_path).changes == [
        f"diffusion.steps: {before['steps']} → 3",
        f"diffusion.widths: {before['widths']} → [8, 16]",
        "models: ['cnn'] → ['yamnet']",
    ]
    assert "  widths: [8, 16]          # channels at each resolution\n" in file.read_text()


@pytest.mark.parametrize(
    "content, told",
    [
        ("diffusion: {stepz: 3}", "diffusion.stepz: unknown key"),
        ("audio: {seconds: -1}", "audio.seconds"),
        ("surprise: {a: 1}", "surprise.a: unknown key"),
        ("classes: {one: {name: One}}", "at least 2"),
        ("classes: [one, two]", "sections"),
        ("classes: {bark: 1, howl: 2}", "sections"),
        ("classes:", "sections"),
        ("data: dogs", "sections"),
        ("arms: {none: 1}", "arms"),
        ("[1, 2]", "sections"),
        ("", "sections"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_preset_that_does_not_fit_changes_nothing(content, told, file, tmp_path):
    before = file.read_text()
    (tmp_path / "bad.yaml").write_text(content)
    with pytest.raises(PresetError, match=told):
        use("bad", file, tmp_path)
    assert file.read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yaml", "params.yaml"]


def test_own_without_classes_or_with_one_changes_nothing(file, tmp_path):
    before = file.read_text()
    (tmp_path / "mine/only").mkdir(parents=True)
    for error in (OwnError, PresetError):
        with pytest.raises(error):
            use("own", file, PRESETS, str(tmp_path / "mine"))
        assert file.read_text() == before
        (tmp_path / "mine/only/1.wav").touch()


def test_params_that_are_wrong_already_are_told_first(file):
    change(file, f"  steps: {plain(file)['diffusion']['steps']} ", "  steps: none ")
    with pytest.raises(SettingsError, match="diffusion.steps"):
        use("dogs", file, PRESETS)


def test_params_reached_by_a_link_stay_a_link(file, tmp_path):
    (tmp_path / "folder").mkdir()
    link = tmp_path / "folder/params.yaml"
    link.symlink_to(file)
    use("urbansound8k", link, PRESETS)
    assert link.is_symlink() and Params.read(file).data.dataset == "urbansound8k"


@pytest.fixture
def command(file, monkeypatch):
    """Runs the command beside that params.yaml."""
    monkeypatch.chdir(file.parent)
    (file.parent / "presets").symlink_to(PRESETS)

    def run(*arguments):
        return CliRunner().invoke(app, ["use", *arguments])

    return run


def test_the_command_says_what_changed_and_what_to_do_next(command, file, sounds):
    told = command("own", "--path", str(sounds)).stdout
    assert "data.dataset: dogs → own" in told and told.rstrip().endswith("Next: make run")
    assert Params.read(file).data.path == str(sounds)


def test_the_command_says_where_the_collection_is_looked_for(command):
    told = command("esc50", "--path", "").stdout
    assert "There is no data/own/ESC-50 yet" in told and "make use PRESET=esc50 DATA=" in told


def test_the_command_ends_with_one_message_where_it_cannot(command):
    done = command("nothing")
    assert done.exit_code == 1 and done.stderr.startswith(
        "No preset 'nothing'; there are dogs, esc50, own, urbansound8k"
    )
