"""Eight bits: what is quantised, and what is said of its cost."""

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
from exported import classifier

from counterpoise.export import graph, quantising
from counterpoise.export.session import Session
from counterpoise.inference.classify import Source


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Ten sounds of different pitch and noise."""
    folder, rng = tmp_path_factory.mktemp("sounds"), np.random.default_rng(0)
    for number in range(10):
        time = np.arange(9000) / 16000
        wave = 0.4 * np.sin(2 * np.pi * 200 * (number + 1) * time) + 0.02 * number * rng.standard_normal(9000)
        soundfile.write(folder / f"{number}.wav", 0.5 * wave, 16000)
    return [Source(path.name, str(path)) for path in sorted(folder.iterdir())]


def test_only_the_convolutions_lose_bits_and_the_answers_stay_near(sources):
    one = classifier("cnn")
    window = graph.of_window(one.network, one.audio)
    before = window.SerializeToString(deterministic=True)
    small = quantising.quantise(window, sources, one.audio)
    assert window.SerializeToString(deterministic=True) == before  # what it is made of stays as it was
    weights = {tensor.name: tensor for tensor in small.graph.initializer}
    bits = {name: tensor for name, tensor in weights.items() if tensor.data_type == onnx.TensorProto.INT8}
    assert sorted(len(tensor.dims) for tensor in bits.values() if len(tensor.dims) > 1) == [4, 4, 4, 4]
    float_model, small_model = (graph.of_sound(each, one.audio, {}) for each in (window, small))
    a, b = (Session(model, 16000).of_files(sources) for model in (float_model, small_model))
    assert 1e-6 < np.abs(a - b).max() < 0.2
    np.testing.assert_allclose(b.sum(axis=1), 1, atol=1e-5)


def test_every_class_calibrates_with_as_many_clips():
    clips = pd.DataFrame({"label": ["bark"] * 300 + ["howl"] * 5})
    chosen = quantising.calibrating(clips)
    assert chosen.label.value_counts().to_dict() == {"bark": 120, "howl": 5}


def test_the_cost_is_that_of_the_two_models():
    truth = np.array([0, 0, 1, 1])
    right = np.eye(2)[truth] * 0.8 + 0.1
    wrong = right.copy()
    wrong[0] = [0.05, 0.95]
    cost = quantising.cost(right, wrong, truth)
    assert (cost.agreement, cost.clips) == (0.75, 4)
    assert cost.mean_ap[0] == cost.macro_f1[0] == 1 and cost.macro_f1[1] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert cost.mean_ap[1] < 1
