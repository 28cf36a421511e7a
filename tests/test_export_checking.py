"""A graph that is not the network's must not be given away."""

import numpy as np
import onnx
import pytest
import soundfile
from exported import classifier

from counterpoise.export import ExportError, checking, graph
from counterpoise.inference.classify import Source


@pytest.fixture(scope="module")
def exported():
    one = classifier("cnn")
    return one, graph.of_sound(graph.of_window(one.network, one.audio), one.audio, {})


@pytest.fixture
def sources(tmp_path):
    wave = 0.2 * np.random.default_rng(0).standard_normal(20000)
    soundfile.write(tmp_path / "noise.wav", wave, 16000)
    return [Source("noise.wav", str(tmp_path / "noise.wav"))]


def tampered(model, change):
    """A copy in whose loop the weights that `change` names are other ones."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    (loop,) = (node for node in copy.graph.node if node.op_type == "Loop")
    found = [weights for weights in loop.attribute[0].g.initializer if weights.name.endswith("head.bias")]
    assert len(found) == 1
    for weights in found:
        weights.CopyFrom(onnx.numpy_helper.from_array(change(onnx.numpy_helper.to_array(weights)), weights.name))
    return copy


def test_the_graph_itself_passes(exported, sources):
    one, model = exported
    agreement = checking.check(model, one, sources)
    assert 0 <= agreement.largest < 1e-5 and (agreement.where, agreement.sounds) == ("noise.wav", 1)
    assert checking.check(tampered(model, lambda bias: bias), one, sources) == agreement


@pytest.mark.parametrize(
    "change", [lambda bias: bias + np.array([0.01, 0, 0], np.float32), lambda bias: bias * np.float32("nan")]
)
def test_a_tampered_graph_fails_with_the_figure(exported, sources, change):
    one, model = exported
    with pytest.raises(ExportError, match=r"differs from the network by (\d.*|inf) on noise.wav; less than 0.0001"):
        checking.check(tampered(model, change), one, sources)


def test_a_sound_that_cannot_be_read_is_named(exported, tmp_path):
    (tmp_path / "a.wav").write_text("no sound")
    with pytest.raises(ExportError, match="a.wav: .*mend or remove it"):
        checking.network_says(exported[0], [Source("a.wav", str(tmp_path / "a.wav"))])
