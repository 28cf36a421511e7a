"""`counterpoise check`: what the collection is, and each kind of advice where it belongs and nowhere else."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from dvc.utils.hydra import apply_overrides
from ruamel.yaml import YAML
from settings import settings_of
from typer.testing import CliRunner

from counterpoise.cli import advice, overview
from counterpoise.cli.app import app
from counterpoise.cli.params import Params
from counterpoise.codecs.mel import MelCodec
from counterpoise.codecs.settings import CodecSettings

WHOLE = Path(__file__).parents[1] / "params.yaml"
PLAIN = {"cat": 12, "dog": 30}  # nothing to look at: with a table of recordings, and folds of it


def put(path, seconds=1.0, rate=16000, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full((round(seconds * rate), channels), 0.1), rate)


def changed(values, changes):
    """Nested dicts with some leaves replaced; classes and columns whole."""
    for key, value in changes.items():
        if isinstance(value, dict) and key not in ("classes", "columns"):
            changed(values[key], value)
        else:
            values[key] = value
    return values


class Repository:
    """A folder with params.yaml, and a collection with a table that says folds and recordings."""

    def __init__(self, folder):
        self.folder, self.rows, self.changes = folder, [], {}
        (folder / "own").mkdir()
        (folder / "unlabelled").mkdir()

    def add(self, label, number, fold=None, source=None, **form):
        """One more file; five folds in turn, two files a recording."""
        name = f"{label}/{number}.wav"
        put(self.folder / "own" / name, **form)
        self.rows.append((name, label, number % 5 + 1 if fold is None else fold, source or f"{label}{number % 15}"))
        return self

    def fill(self, classes=PLAIN, **form):
        for label, many in classes.items():
            for number in range(many):
                self.add(label, number, **form)
        return self

    def run(self, *arguments, sections=None):
        table = ["file,label,fold,source", *(",".join(map(str, row)) for row in self.rows)]
        (self.folder / "own/all.csv").write_text("\n".join(table))
        labels = {row[1]: {"name": row[1].title()} for row in self.rows} or {
            "cat": {"name": "Cat"},
            "dog": {"name": "D"},
        }
        whole = YAML(typ="safe").load(WHOLE)
        data = {"dataset": "own", "path": "own", "unlabelled": "unlabelled", "labels": "table", "table": "all.csv"}
        changed(whole, {"data": data, "classes": labels, "audio": {"seconds": 1.0}})
        YAML().dump(changed(whole, sections or {}), self.folder / "params.yaml")
        return CliRunner().invoke(app, ["check", *arguments])

    def json(self, **sections):
        done = self.run("--json", sections=sections)
        told = json.loads(done.stdout)
        assert done.exit_code == bool(told["stops"]), done.output
        return told

    def advice(self, **sections):
        """By its key."""
        return {one["about"]: one for one in self.json(**sections)["advice"]}


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Repository(tmp_path)


def test_a_collection_without_a_flaw_brings_no_advice(repository):
    done = repository.fill().run()
    assert done.exit_code == 0 and done.stderr == ""
    assert done.stdout.startswith("params.yaml is right. The collection: own at own.\n")
    assert done.stdout.endswith("Nothing stands in the way. Next: dvc repro\n")
    assert repository.advice() == {}


def test_the_numbers(repository):
    told = repository.fill().json()
    assert told["error"] is None and told["stops"] == []
    assert told["collection"] == {"dataset": "own", "path": "own", "state": "there"}
    assert told["files"] == {"listed": 42, "rejected": {}, "cut": 0, "passed_over": {}, "own_recording": 0}
    assert (told["clips"], told["recordings"], told["seconds"]) == (42, 27, 42.0)
    cat = {"name": "Cat", "files": 12, "clips": 12, "recordings": 12, "seconds": 12.0, "rare": True}
    assert told["classes"]["cat"] == cat | {"partitions": {"train": 7, "val": 3, "test": 2, "unused": 0}}
    assert told["classes"]["dog"]["rare"] is False
    assert told["folds"] == {"official": True, "there": [1, 2, 3, 4, 5], "test": 3, "val": 2}
    assert told["lengths"]["longest"] == 1.0 and told["lengths"]["at_once"] == 1.0
    assert told["sample_rates"] == {"16000": 42} and told["channels"] == {"1": 42}
    assert told["heard"] == {"sample_rate": 16000, "channels": 1, "codec": "mel", "codec_top": 8000.0}
    assert told["unlabelled"] == {"files": 0, "rejected": {}, "clips": 0, "recordings": 0, "seconds": 0.0}


def test_a_mistake_is_told_as_json_and_on_stderr(repository):
    done = repository.fill().run("--json", sections={"audio": {"seconds": -1}})
    assert done.exit_code == 1
    assert json.loads(done.stdout) == {"error": done.stderr.removesuffix("\n")} and "audio.seconds" in done.stderr


def test_a_collection_that_cannot_be_listed_is_an_error(repository):
    done = repository.fill().run(sections={"classes": {"cat": {"name": "Cat"}, "newt": {"name": "Newt"}}})
    assert done.exit_code == 1 and done.stdout == "" and "no sounds of the class newt" in done.stderr


# What is not there yet


def test_sounds_that_will_be_made(repository):
    classes = {"bark": {"name": "Bark"}, "sneeze": {"name": "Sneeze"}}
    sections = {"data": {"dataset": "dogs"}, "classes": classes}
    text = repository.run(sections=sections).stdout
    assert "The stage download will synthesise its sounds" in text and "Nothing stands in the way" in text
    told = repository.json(**sections)
    assert told["collection"]["state"] == "made" and told["seconds"] is None and told["lengths"] is None
    assert told["classes"]["sneeze"]["rare"] and told["classes"]["sneeze"]["partitions"]["test"] == 60


def test_a_collection_that_will_be_fetched(repository):
    classes = {"dog": {"name": "Dog"}, "cat": {"name": "Cat"}}
    sections = {"data": {"dataset": "esc50", "download": True}, "classes": classes}
    text = " ".join(repository.run(sections=sections).stdout.split())
    assert "ESC-50. The stage download will fetch it from github.com (CC BY-NC 3.0" in text
    told = repository.json(**sections)
    assert (
        told["collection"]["state"] == "fetched" and told["clips"] == 0 and told["classes"]["dog"]["partitions"] is None
    )


# Which files


def test_files_that_cannot_be_used_are_named_and_their_names_do_no_harm(repository):
    repository.fill()
    for number in range(4):
        name = f"cat/[red]{number}\x1b.wav"
        (repository.folder / "own" / name).write_bytes(b"none")
        repository.rows.append((name, "cat", 1, "x"))
    told = repository.json()
    (one,) = told["advice"]
    assert told["files"]["rejected"] == {"not audio": 4} and one["about"] == "rejected" and one["stops"] is None
    assert one["details"][0].startswith("cat/[red]0\\x1b.wav: not audio") and one["details"][-1] == "and 1 more"
    text = repository.run().stdout
    assert "cat/[red]0\\x1b.wav" in text and "\x1b" not in text and "1 thing to look at" in text


def test_too_many_files_that_cannot_be_used_stop_the_run(repository):
    told = repository.fill().json(data={"min_seconds": 1.5, "max_rejected": 0.9})
    (one,) = told["advice"]
    assert told["stops"] == ["download"] == [one["stops"]] and "42 of 42 files cannot be used" in one["what"]
    done = repository.run(sections={"data": {"min_seconds": 1.5}})
    assert done.exit_code == 1 and done.stdout.endswith("The run would stop at the stage download: mend 1 first.\n")


def test_sounds_without_labels_that_nothing_learns_from(repository):
    put(repository.folder / "unlabelled/a.wav", 3.0)
    told = repository.fill().json()
    assert told["unlabelled"]["seconds"] == 3.0 and told["advice"] == []
    assert "1 files, 3 s in 1 clips" in repository.run().stdout
    told = repository.advice(diffusion={"init": "scratch"}, diffusion_classifier={"denoisers": "auto"})
    assert told["unlabelled"]["settings"] == {"diffusion.init": "shared"}


def test_classes_that_are_not_in_params(repository):
    repository.fill({**PLAIN, "newt": 6})
    told = repository.advice(classes={"cat": {"name": "Cat"}, "dog": {"name": "Dog"}})
    assert list(told) == ["left_out"] and "newt" in told["left_out"]["what"]


# Who is held out


def test_files_that_are_their_own_recordings(repository):
    told = repository.fill().advice(data={"columns": {"source": "file"}})
    assert told["recordings"]["what"] == "Every file counts as its own recording."


def test_names_that_share_something_are_told_with_a_command_that_sets_a_pattern(repository):
    for label in ("cat", "dog"):
        for number in range(24):
            repository.add(label, f"{label}{number // 3:02}_{number}", fold=1, source="x")
    told = repository.advice(data={"labels": "folder"})
    assert "groups" in told and "recordings" not in told
    (word,) = [word for word in shlex.split(told["groups"]["command"]) if word.startswith("data.source_pattern")]
    Path("p.yaml").write_text("data: {source_pattern: null}\n")
    apply_overrides("p.yaml", [word])  # as `dvc exp run -S` reads it
    values = YAML(typ="safe").load(Path("p.yaml"))
    assert values["data"]["source_pattern"] == told["groups"]["settings"]["data.source_pattern"]
    assert "groups" not in repository.advice(data={"labels": "folder", **values["data"]})


@pytest.mark.parametrize("key, fold", [("test_fold", 0), ("test_fold", 7), ("val_fold", 6)])
def test_folds_that_are_not_there(repository, key, fold):
    one = repository.fill().advice(split={key: fold})["folds"]
    assert one["stops"] == "split" and f"split.{key} is {fold}" in one["what"]
    assert one["do"] == f"Set split.{key} to one of these."


def test_one_fold_for_two(repository):
    assert "both 3" in repository.fill().advice(split={"val_fold": 3})["folds"]["what"]


def test_fold_0_is_a_fold_like_others(repository):
    for number in range(5):
        repository.add("cat", 100 + number, fold=0, source=f"zero{number}")
    told = repository.fill().json(split={"test_fold": 0})
    assert told["folds"]["official"] and told["folds"]["there"] == [0, 1, 2, 3, 4, 5]
    assert told["classes"]["cat"]["partitions"]["test"] == 5


def test_fewer_recordings_than_folds_bring_the_most_that_can_be_done(repository):
    for number in range(8):
        repository.add("cat", number, fold="", source=f"c{number % 2}").add("dog", number, fold="", source=f"d{number}")
    whole = {"split": {"test_fold": 1, "val_fold": None, "val_fraction": 0.5}}
    one = repository.advice(**whole)["amounts"]
    assert one["stops"] == "split" and one["settings"] == {"data.min_recordings": 1}
    told = repository.json(**whole, data={"min_recordings": 1})
    assert told["stops"] == [] and told["classes"]["cat"]["partitions"] == {
        "train": 4,
        "val": 0,
        "test": 4,
        "unused": 0,
    }


def test_all_of_one_recording_cannot_be_split(repository):
    for number in range(8):
        repository.add("cat", number, fold="", source="one").add("dog", number, fold="", source="one")
    one = repository.advice(data={"columns": {"source": "source"}})["folds"]
    assert one["stops"] == "download" and "come from one recording (one)" in one["what"]


def test_a_class_without_test_clips(repository):
    for number in range(6):
        repository.add("newt", number, fold=1 + number % 2, source=f"n{number}")
    told = repository.fill().advice()
    assert list(told) == ["amounts"] and told["amounts"]["details"][0] == "newt: no test clip in fold 3"
    assert told["amounts"]["settings"] == {"split.test_fold": 1}
    assert told["amounts"]["stops"] == "split" and told["amounts"]["do"].endswith("remove the class from `classes`.")


def test_a_class_without_validation_clips(repository):
    for number in range(8):
        repository.add("newt", number, fold=(1, 3, 4, 5)[number % 4], source=f"n{number}")
    assert repository.fill().advice()["validation"]["what"] == "No validation clip of newt."


def test_no_validation_at_all(repository):
    one = repository.fill().advice(split={"val_fold": None})["validation"]
    assert one["command"] == "dvc exp run -S split.val_fold=null -S split.val_fraction=0.1"


def test_doubts_about_a_class(repository):
    for number in range(10):
        repository.add("newt", number, source="one" if number % 5 in (0, 3) else f"n{number}")
    told = repository.fill().advice()
    assert told["doubts"]["details"] == ["newt: 4 of 6 training clips come from one recording (one)"]


def test_classes_of_one_size(repository):
    told = repository.fill({"cat": 30, "dog": 30}).advice()
    assert list(told) == ["balance"]
    assert repository.advice(data={"scarce": {"classes": ["cat"], "limit": 4}}) == {}


# What is heard


def test_clips_that_are_longer_than_what_is_heard(repository):
    told = repository.fill(seconds=2.43).advice()
    assert list(told) == ["length"] and told["length"]["settings"] == {"audio.seconds": 2.5}
    assert told["length"]["command"] == "dvc exp run -S audio.seconds=2.5"
    what = "All 42 clips are longer than audio.seconds (1): a window holds 41% of all sound."
    assert told["length"]["what"] == what and "training draws windows at random" in told["length"]["why"]
    assert repository.advice(audio={"seconds": 2.5}) == repository.advice(audio={"seconds": 1.3}) == {}


def test_one_class_that_is_longer(repository):
    for number in range(6):
        repository.add("newt", number, source=f"n{number}", seconds=2.4)
    told = repository.fill(seconds=1.0).advice()
    assert told["length"]["details"] == ["newt: a window holds 42% of its sound"]
    assert told["length"]["settings"] == {"audio.seconds": 2.4}


def test_denoisers_that_hear_less_than_classifiers(repository):
    told = repository.fill(seconds=1.0).advice(diffusion_classifier={"seconds": 0.6})
    assert list(told) == ["denoiser_seconds"]
    assert told["denoiser_seconds"]["command"] == "dvc exp run -S diffusion_classifier.seconds=null"
    assert repository.advice(diffusion_classifier={"seconds": 0.6, "denoisers": "none"}) == {}


def test_pieces_of_long_files(repository):
    told = repository.fill(seconds=8.0).advice(data={"max_seconds": 5.0, "clip_seconds": 4.0})
    assert told["length"]["settings"] == {"audio.seconds": 4.0}
    text = repository.run(sections={"data": {"max_seconds": 5.0, "clip_seconds": 4.0}}).stdout
    assert "42 longer than 5 s will be cut into 84 clips of 4 s" in " ".join(text.split())
    assert repository.advice(data={"max_seconds": 5.0, "clip_seconds": 1.0}) == {}


def test_clips_that_are_mostly_padding(repository):
    told = repository.fill(seconds=0.32).advice()
    assert list(told) == ["padding"] and told["padding"]["settings"] == {"audio.seconds": 0.4}
    assert repository.advice(audio={"seconds": 0.6}) == {}


def test_rates_below_the_codec(repository):
    repository.fill()
    for number in range(3):
        repository.add("cat", 50 + number, rate=8000)
    told = repository.advice()
    assert list(told) == ["low_rate"] and told["low_rate"]["settings"] == {}
    assert "3 of 45 clips" in told["low_rate"]["what"] and "8,000 Hz (3)" in told["low_rate"]["what"]


def test_most_rates_below_the_codec(repository):
    told = repository.fill(rate=8000).advice()
    assert told["low_rate"]["settings"] == {"codec.mel.f_max": 4000.0, "audio.sample_rate": 8000}
    told = repository.advice(codec={"mel": {"f_max": 4000.0}}, audio={"sample_rate": 8000})
    assert told == {}


def test_a_codec_that_is_narrower_than_the_classifier(repository):
    repository.fill(rate=32000)
    told = repository.advice(audio={"sample_rate": 32000})
    assert list(told) == ["narrow_codec"] and told["narrow_codec"]["settings"]["codec.mel.f_max"] == 16000.0
    told = repository.advice(codec={"mel": {"f_max": 6000.0}}, audio={"sample_rate": 16000})
    assert told["narrow_codec"]["settings"] == {"codec.mel.f_max": 8000.0}


def test_a_collection_that_is_wider_than_what_is_heard(repository):
    told = repository.fill(rate=44100).advice()
    assert list(told) == ["narrow_hearing"]
    wanted = told["narrow_hearing"]["settings"]
    assert wanted["audio.sample_rate"] == 32000 and wanted["features.n_fft"] == 2048
    sections = {}
    for key, value in wanted.items():  # what is advised can be set, and then nothing is left to say
        *path, last = key.split(".")
        place = sections
        for name in path:
            place = place.setdefault(name, {})
        place[last] = value
    assert repository.advice(**sections) == {}


@pytest.mark.parametrize("rate", [22050, 32000, 44100, 48000, 96000])
def test_the_codec_that_is_advised_can_be_built(repository, rate):
    values = {key.rpartition(".")[2]: value for key, value in advice.mel_at(Params.read(WHOLE), rate).items()}
    codec = MelCodec("mel", settings_of(CodecSettings, mel=values), torch.device("cpu"))
    assert codec.sample_rate == rate and codec.hop / rate == pytest.approx(0.01, rel=0.01)


WIDE = {"audio": {"channels": 2, "sample_rate": 48000}, "codec": {"name": "encodec_48khz"}}


def test_channels_that_the_codec_does_not_keep(repository):
    assert repository.fill(channels=2).advice() == {}
    assert list(repository.advice(audio={"channels": 2})) == ["channels"]
    assert "channels" not in repository.advice(**WIDE)
    assert "channels    stereo; classifiers hear mono" in repository.run().stdout


def test_channels_that_no_clip_has(repository):
    assert "channels" in repository.fill().advice(**WIDE)


# On a screen


def test_of_many_classes_the_largest_and_the_smallest_are_shown(repository):
    for number in range(20):
        for fold in range(1, 6):
            for take in range(number // 8 + 1):
                repository.add(f"class{number:02}", 10 * fold + take, fold=fold, source=f"{number}-{fold}-{take}")
    lines = repository.run().stdout.splitlines()
    shown = [line.split()[0] for line in lines if line.startswith("class")]
    assert len(shown) == overview.CLASSES and shown[-1] == "class07" and any("… 5 more …" in line for line in lines)


def test_no_line_is_wider_than_the_screen_and_commands_stay_commands(repository, monkeypatch):
    repository.fill(rate=44100, seconds=2.0)
    monkeypatch.setattr(overview, "WIDEST", 80)
    lines = repository.run().stdout.splitlines()
    assert max(map(len, lines)) <= 80
    start = next(number for number, line in enumerate(lines) if "-S audio.sample_rate=32000" in line)
    command = lines[start].rstrip()
    while command.endswith("\\"):
        start += 1
        command = command[:-1] + lines[start].rstrip()
    assert command.split()[:3] == ["dvc", "exp", "run"] and command.split()[-1] == "codec.mel.hop=320"
