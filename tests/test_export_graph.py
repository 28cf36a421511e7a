"""The exported graph against the network: windows, channels, lengths, metadata."""

import json

import numpy as np
import onnx
import pytest
import soundfile
from exported import LABELS, NAMES, classifier

from counterpoise.export import checking, graph
from counterpoise.export.metadata import metadata
from counterpoise.export.session import Session
from counterpoise.inference.classify import Source
from counterpoise.release.folder import About

FORMS = [("cnn", 0.5, 16000, 1), ("cnn", 0.3, 22050, 2)]
SLOW = [("yamnet", 1.2, 16000, 1), ("yamnet", 0.6, 22050, 2)]  # the second one resamples
ALL = [*FORMS, *(pytest.param(form, marks=pytest.mark.slow) for form in SLOW)]
PRIOR = {"bark": 0.5, "howl": 0.25, "pant": 0.25}
ABOUT = About(arm="none", model="cnn", seed=3, dataset="own", labels=NAMES, prior=PRIOR, threshold=0.4)


@pytest.fixture(scope="module")
def exported():
    """By form: a classifier and its graph, which is made once, with the metadata that are asked for."""
    made = {}

    def of(form, entries=None):
        if form not in made:
            one = classifier(form[0], *form[1:])
            made[form] = one, graph.of_window(one.network, one.audio)
        one, window = made[form]
        return one, graph.of_sound(window, one.audio, entries or {})

    return of


@pytest.mark.parametrize("form", ALL)
def test_it_says_what_the_network_says_of_sounds_of_all_lengths_mono_and_stereo(exported, form, tmp_path):
    one, model = exported(form)
    sources = checking.made_sounds(one.audio, tmp_path)
    said = checking.network_says(one, sources)
    np.testing.assert_allclose(Session(model, one.audio.sample_rate).of_files(sources), said, rtol=0, atol=1e-4)
    assert said.argmax(axis=1).std() > 0 and np.ptp(said, axis=0).max() > 0.1  # the answers differ
    assert checking.check(model, one, sources).sounds == len(sources) == 40


@pytest.mark.parametrize("samples", [1, 7999, 8000, 8001, 8160, 8161, 12000, 12160, 12161, 16000, 50000])
def test_windows_lie_where_classify_has_them(exported, samples, tmp_path):
    one, model = exported(FORMS[0])  # windows of 8000 samples every 4000; a rest of up to 160 is none
    path = str(tmp_path / "a.wav")
    rng = np.random.default_rng(samples)
    soundfile.write(path, 0.3 * rng.standard_normal(samples).cumsum() / samples**0.5, 16000, subtype="FLOAT")
    source = [Source("a", path)]
    said = Session(model, 16000).of_files(source)
    np.testing.assert_allclose(said, checking.network_says(one, source), rtol=0, atol=1e-5)


def test_channels_are_mixed_in_the_graph(exported):
    rng = np.random.default_rng(0)
    wave = rng.uniform(-0.5, 0.5, (3, 20000)).astype(np.float32)
    mono, stereo = (Session(exported(form)[1], form[2]) for form in FORMS[:2])
    np.testing.assert_allclose(mono(wave), mono(wave.mean(axis=0, keepdims=True)), atol=1e-6)
    np.testing.assert_allclose(stereo(wave), stereo(wave[:2]), atol=1e-6)
    np.testing.assert_allclose(stereo(wave[:1]), stereo(wave[[0, 0]]), atol=1e-6)
    assert np.abs(stereo(wave) - stereo(wave[[2, 1]])).max() > 1e-4


def test_input_and_output_are_named_and_typed(exported):
    model = exported(FORMS[0])[1]
    onnx.checker.check_model(model, full_check=True)
    (wave,), (said,) = model.graph.input, model.graph.output
    assert (wave.name, said.name) == ("wave", "probabilities")
    assert [size.dim_param for size in wave.type.tensor_type.shape.dim] == ["channels", "samples"]
    assert [size.dim_value for size in said.type.tensor_type.shape.dim] == [3]


def test_nothing_of_this_machine_is_in_the_file(exported):
    text = exported(FORMS[0])[1].SerializeToString()
    assert b".py" not in text and b"File " not in text and b"/tmp" not in text and b"/home" not in text


def test_the_same_network_gives_the_same_bytes(exported):
    one, model = exported(FORMS[0])
    again = graph.of_sound(graph.of_window(one.network, one.audio), one.audio, {})
    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_metadata_is_in_the_model(exported):
    entries = metadata(exported(FORMS[0])[0], ABOUT, "a" * 40 + "+changes")
    model = exported(FORMS[0], entries)[1]
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == entries
    assert json.loads(found["labels"]) == LABELS and json.loads(found["names"]) == NAMES
    assert json.loads(found["prior"]) == PRIOR and float(found["threshold"]) == 0.4
    assert (found["sample_rate"], found["channels"], found["window_seconds"]) == ("16000", "1", "0.5")
    assert float(found["hop_seconds"]) == 0.25
    assert (found["arm"], found["model"], found["seed"], found["dataset"]) == ("none", "cnn", "3", "own")
    assert found["commit"] == "a" * 40 + "+changes"


def test_what_is_not_known_has_no_entry():
    entries = metadata(classifier("cnn"), None, None)
    assert not set(entries) & {"prior", "arm", "model", "seed", "dataset", "commit"} and "threshold" in entries
