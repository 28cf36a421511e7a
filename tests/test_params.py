"""params.yaml as people edit it: what is right loads, what is wrong is named."""

from pathlib import Path

import pydantic
import pytest

from counterpoise import CounterpoiseError, params

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture
def edited(tmp_path):
    """Writes the repository's params.yaml with pieces of text replaced, and gives its path."""

    def edit(**replacements):
        text = (REPOSITORY / "params.yaml").read_text()
        for old, new in replacements.values():
            assert old in text
            text = text.replace(old, new, 1)
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return path

    return edit


def message(path):
    with pytest.raises(params.ParamsError) as caught:
        params.load(path)
    return str(caught.value)


def test_the_repositorys_params_load():
    p = params.load(REPOSITORY / "params.yaml")
    assert isinstance(p.diffusion, params.Diffusion) and p.diffusion.widths
    assert all(isinstance(info, params.ClassInfo) and info.name for info in p.classes.values())


def test_every_preset_is_made_of_sections_that_load(tmp_path):
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe")
    for preset in sorted((REPOSITORY / "presets").glob("*.yaml")):
        whole = yaml.load(REPOSITORY / "params.yaml") | yaml.load(preset)
        with open(tmp_path / preset.name, "w") as file:
            yaml.dump(whole, file)
        assert params.load(tmp_path / preset.name).classes, preset


def test_sections_are_frozen():
    p = params.load(REPOSITORY / "params.yaml")
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        p.diffusion.steps = 1


def test_an_unknown_key_is_named(edited):
    text = message(edited(a=("  ema_decay: 0.995", "  ema_decay: 0.995\n  ema_decya: 0.5")))
    assert "diffusion.ema_decya: unknown key" in text and "0.5" in text


def test_an_unknown_section_is_named(edited):
    assert "diffusoin: unknown key" in message(edited(a=("diffusion:", "diffusoin: {}\ndiffusion:")))


def test_a_missing_value_is_named(edited):
    assert "diffusion.steps: Field required" in message(edited(a=("  steps: 500", "")))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ema_decay: 0.995", "ema_decay: 1.5", ["diffusion.ema_decay", "less than 1", "1.5"]),
        ("channels: 1", "channels: 3", ["audio.channels", "1 or 2", "3"]),
        ("name: mel ", "name: mp3 ", ["codec.name", "'mel', 'encodec_24khz' or 'encodec_48khz'", "'mp3'"]),
        ("strength: 1.0", "strength: 0", ["generate.strength", "greater than 0", "0"]),
        ("strength: 1.0", "strength: .nan", ["generate.strength", "greater than 0", "nan"]),
        ("steps: 500", "steps: many", ["diffusion.steps", "integer", "'many'"]),
        ("widths: [32, 64, 96]", "widths: [32]", ["diffusion.widths", "at least 2", "[32]"]),
        ("seeds: [0, 1, 2]", "seeds: []", ["classifier.seeds", "at least 1", "[]"]),
        ("bark: {name: Bark}", "Bark: {name: Bark}", ["classes.Bark", "[a-z0-9_]+", "'Bark'"]),
        ("arms: [none", "arms: [nothing", ["arms.0", "'none'", "'nothing'"]),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(edited, old, new, expected):
    text = message(edited(a=(old, new)))
    assert all(part in text for part in expected), text
    assert "params.yaml" in text and "dvc repro" in text


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [("limit: {}", "limit: {miaow: 3}", "data.limit"), ("per_class: {}", "per_class: {miaow: 3}", "aug.per_class")],
)
def test_a_class_that_is_not_there_is_named_with_those_that_are(edited, old, new, where):
    text = message(edited(a=(old, new)))
    assert where in text and "'miaow'" in text and "bark, howl, pant, eat, drink, sneeze" in text


def test_several_mistakes_come_in_one_message(edited):
    text = message(edited(
        a=("steps: 500", "steps: -5"), b=("ema_decay: 0.995", "ema_decay: 2"), c=("device: auto", "device: tpu"),
        d=("  hop: 256", "  hopp: 256"),
    ))
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
    assert issubclass(params.ParamsError, CounterpoiseError)
