"""Sections of the committed params.yaml with some values replaced: settings have no defaults in the code."""

from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML

from counterpoise.codecs.settings import CodecSettings
from counterpoise.core.settings import Section

S = TypeVar("S", bound=Section)
PARAMS = Path(__file__).parents[1] / "params.yaml"
SECTIONS = {
    "Data": "data",
    "Audio": "audio",
    "Split": "split",
    "CodecSettings": "codec",
    "MelSettings": "codec.mel",
    "EncodecSettings": "codec.encodec",
    "Diffusion": "diffusion",
    "Generate": "generate",
    "Aug": "aug",
    "Features": "features",
    "Classifier": "classifier",
    "Yamnet": "yamnet",
    "ClassFilterSettings": "class_filter",
    "DiffusionClassifier": "diffusion_classifier",
    "Shallow": "shallow",
    "Ensembles": "ensembles",
    "Evaluation": "evaluation",
    "Report": "report",
    "Runtime": "runtime",
}


def settings_of(section: type[S], **changes: Any) -> S:
    """A section as params.yaml has it, with these values in place of its own; a dict changes a part of a part."""
    values = YAML(typ="safe").load(PARAMS.read_text())
    for key in SECTIONS[section.__name__].split("."):
        values = values[key]
    return section.model_validate(_changed(values, changes))


def small_mel_codec() -> CodecSettings:
    """The mel codec at 8 kHz with few bands and few steps, where it does not matter how a sound comes back."""
    small = {"bands": 24, "f_max": 4000, "n_fft": 256, "window": 256, "hop": 64, "sample_rate": 8000}
    return settings_of(CodecSettings, name="mel", mel=small | {"nnls_steps": 3, "griffin_lim_steps": 4})


def _changed(values: dict, changes: dict) -> dict:
    """A copy of nested dicts with some leaves replaced."""
    return values | {
        key: _changed(values[key], value) if isinstance(value, dict) and values.get(key) else value
        for key, value in changes.items()
    }
