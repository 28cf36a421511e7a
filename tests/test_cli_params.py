"""params.yaml as people edit it: what is right loads, what is wrong is named."""

import math
from pathlib import Path

import pydantic
import pytest
from ruamel.yaml import YAML
from settings import settings_of

from counterpoise.cli.params import Params
from counterpoise.core import CounterpoiseError
from counterpoise.core.settings import ClassInfo, Section, SettingsError
from counterpoise.diffusion.settings import Diffusion
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
    with pytest.raises(SettingsError) as caught:
        Params.read(path)
    return str(caught.value)


def test_the_repositorys_params_load():
    p = Params.read(REPOSITORY / "params.yaml")
    assert isinstance(p.diffusion, Diffusion) and p.diffusion.widths
    assert all(isinstance(info, ClassInfo) and info.name for info in p.classes.values())


def test_sections_are_frozen():
    p = Params.read(REPOSITORY / "params.yaml")
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
    assert "diffusion.widths: is missing" in message(tmp_path / "params.yaml")


def test_a_class_cannot_have_the_name_of_a_table(edited):
    assert "classes: all, plan cannot be the slug" in message(
        edited({"classes.all": {"name": "A"}, "classes.plan": {"name": "B"}})
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("diffusion.ema_decay", 1.5, ["less than 1", "1.5"]),
        ("audio.channels", 3, ["1 or 2", "3"]),
        ("codec.name", "mp3", ["mel, encodec_24khz, encodec_48khz", "'mp3'"]),
        ("generate.strength", 0, ["greater than 0", "given: 0"]),
        ("generate.strength", math.nan, ["greater than 0", "nan"]),
        ("diffusion.steps", "many", ["integer", "'many'"]),
        ("diffusion.widths", [32], ["at least 2", "[32]"]),
        ("classifier.seeds", [], ["at least 1", "[]"]),
        ("classes.Bark", {"name": "Bark"}, ["[a-z0-9_]+", "'Bark'"]),
        ("arms", ["none", "nothing"], ["arms", "class_weights", "'nothing'"]),
        ("shallow.classifiers", ["svm"], ["mfcc_svm", "nearest_mean", "'svm'"]),
        ("shallow.classifiers", ["lda", "lda"], ["twice"]),
        ("shallow.mfcc", 65, ["65", "features.n_mels 64"]),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(edited, key, value, expected):
    text = message(edited({key: value}))
    assert all(part in text for part in [key, *expected]), text
    assert "params.yaml" in text and "dvc repro" in text


def test_a_base_that_nobody_trains_and_members_that_mean_nothing_are_told(edited):
    text = message(edited({"diffusion_classifier.denoisers": "base", "diffusion.init": "scratch"}))
    assert "there is no base then" in text and "diffusion.init" in text
    text = message(edited({"ensembles.systems": {"x": {"nun": 1.0}}}))
    assert "ensembles.systems.x: 'nun' is no member" in text and "class_weights" in text


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
    assert issubclass(SettingsError, CounterpoiseError)


def test_a_strength_is_a_value_or_a_rising_range():
    assert settings_of(Generate, strength=2).strength == 2.0
    assert settings_of(Generate, strength=[0.5, 2]).strength == [0.5, 2.0]
    for wrong in ([2, 0.5], [1], [1, 2, 3], 0, [0, 1]):
        with pytest.raises(ValueError, match="strength"):
            settings_of(Generate, strength=wrong)


def sections(file=Params):
    """Every section, the nested ones too."""
    for field in file.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield field.annotation
            yield from sections(field.annotation)


def test_params_yaml_is_the_only_place_of_a_default():
    fields = [(section, name, field) for section in sections() for name, field in section.model_fields.items()]
    assert len(fields) > 80
    assert not [(section.__name__, name) for section, name, field in fields if not field.is_required()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"judge": {"steps": 600}}, "judge: is now called class_filter"),
        ({"diffusion.altered": 3}, "diffusion.altered: is now called diffusion.augmented"),
        ({"diffusion.check_every": 3}, "diffusion.check_every: is now called diffusion.validate_every"),
        ({"diffusion.check_clips": 12}, "diffusion.check_clips: is now called diffusion.validation_samples"),
        ({"features.masks": 2}, "features.masks: is now called classifier.masks"),
        ({"generate.start": "altered"}, "generate.start: altered is now called augmented"),
    ],
)
def test_an_old_key_names_the_new_one(edited, change, told):
    assert told in message(edited(change))


def test_a_class_may_not_be_called_as_sounds_without_a_label_are(edited):
    text = message(edited({"classes": {"bark": {"name": "Bark"}, "unlabelled": {"name": "Unlabelled"}}}))
    assert "classes: 'unlabelled' is what sounds without a label are called" in text and "data.unlabelled" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "line 2: an alias"),
        ("a: &a\n  x: 1\nb:\n  <<: *a\n", "line 4: an alias"),
        ("a: " + "[" * 200_000, "more than 10 levels deep"),
        ("a: " + "{b: " * 200_000, "more than 10 levels deep"),
    ],
)
def test_what_grows_without_bounds_is_refused_before_it_is_read(tmp_path, text, told):
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SettingsError, match=told):
        Params.read(tmp_path / "params.yaml")
