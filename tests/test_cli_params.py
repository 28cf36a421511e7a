"""params.yaml as people edit it: what is right loads, what is wrong is named."""

import math
from pathlib import Path

import pydantic
import pytest
from ruamel.yaml import YAML
from settings import settings_of

from counterpoise.cli import params
from counterpoise.core import CounterpoiseError, settings
from counterpoise.diffusion import settings
from counterpoise.generation import settings
from counterpoise.generation.settings import Generate

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def edited(tmp_path):
    """Writes the repository's params.yaml with other values at the given dotted keys, and gives its path."""
    yaml = YAML(typ="safe")

    def edit(changes):
        whole = yaml.load(REPOSITORY / "params.yaml")
        for key, value in changes.items():
            *sections, last = key.split(".")
            section = whole
            for name in sections:
                section = section[name]
            section[last] = value
        path = tmp_path / "params.yaml"
        yaml.dump(whole, path)
        return path

    return edit


def message(path):
    with pytest.raises(settings.SettingsError) as caught:
        params.load(path)
    return str(caught.value)


def test_the_repositorys_params_load():
    p = params.load(REPOSITORY / "params.yaml")
    assert isinstance(p.diffusion, settings.Diffusion) and p.diffusion.widths
    assert all(isinstance(info, settings.ClassInfo) and info.name for info in p.classes.values())


def test_sections_are_frozen():
    p = params.load(REPOSITORY / "params.yaml")
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        p.diffusion.steps = 1


def test_an_unknown_key_is_named(edited):
    text = message(edited({"diffusion.ema_decya": 0.5}))
    assert "diffusion.ema_decya: unknown key" in text and "0.5" in text


def test_an_unknown_section_is_named(edited):
    assert "diffusoin: unknown key" in message(edited({"diffusoin": {}}))


def test_a_missing_value_is_named(tmp_path):
    text = (REPOSITORY / "params.yaml").read_text()
    assert "  widths:" in text
    (tmp_path / "params.yaml").write_text(text.replace("  widths:", "  # widths:"))
    assert "diffusion.widths: Field required" in message(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("diffusion.ema_decay", 1.5, ["less than 1", "1.5"]),
        ("audio.channels", 3, ["1 or 2", "3"]),
        ("codec.name", "mp3", ["'mel', 'encodec_24khz' or 'encodec_48khz'", "'mp3'"]),
        ("generate.strength", 0, ["greater than 0", "given: 0"]),
        ("generate.strength", math.nan, ["greater than 0", "nan"]),
        ("diffusion.steps", "many", ["integer", "'many'"]),
        ("diffusion.widths", [32], ["at least 2", "[32]"]),
        ("classifier.seeds", [], ["at least 1", "[]"]),
        ("classes.Bark", {"name": "Bark"}, ["[a-z0-9_]+", "'Bark'"]),
        ("arms", ["none", "nothing"], ["arms.1", "'none'", "'nothing'"]),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(edited, key, value, expected):
    text = message(edited({key: value}))
    assert all(part in text for part in [key, *expected]), text
    assert "params.yaml" in text and "dvc repro" in text


@pytest.mark.parametrize("key", ["data.limit", "aug.per_class"])
def test_a_class_that_is_not_there_is_named_with_those_that_are(edited, key):
    text = message(edited({key: {"miaow": 3}, "classes": {"bark": {"name": "Bark"}, "howl": {"name": "Howl"}}}))
    assert key in text and "'miaow'" in text and "bark, howl" in text


def test_several_mistakes_come_in_one_message(edited):
    mistakes = {"diffusion.steps": -5, "diffusion.ema_decay": 2, "runtime.device": "tpu", "features.hopp": 256}
    text = message(edited(mistakes))
    assert "4 value(s)" in text
    for part in ("diffusion.steps", "-5", "diffusion.ema_decay", "runtime.device", "'tpu'", "features.hopp"):
        assert part in text


@pytest.mark.parametrize("content", [b"data: [1, 2", b"data: 1\ndata: 2\n", b"\xff\xfe\x00data"])
def test_a_file_that_is_no_yaml_is_named(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert f"{path} is not valid YAML" in message(path)


@pytest.mark.parametrize("content", ["", "just a sentence", "- a\n- list\n"])
def test_yaml_that_is_no_mapping_is_refused(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_text(content)
    assert "(whole file)" in message(path)


def test_a_missing_file_is_named_with_the_way_back(tmp_path):
    path = tmp_path / "params.yaml"
    text = message(path)
    assert str(path) in text and "missing" in text and "git checkout" in text
    assert issubclass(settings.SettingsError, CounterpoiseError)


def test_a_strength_is_a_value_or_a_rising_range():
    assert settings_of(Generate, strength=2).strength == 2.0
    assert settings_of(Generate, strength=[0.5, 2]).strength == [0.5, 2.0]
    for wrong in ([2, 0.5], [1], [1, 2, 3], 0, [0, 1]):
        with pytest.raises(ValueError, match="strength"):
            settings_of(Generate, strength=wrong)
