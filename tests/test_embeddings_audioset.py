"""Conversion of the published YAMNet. TensorFlow runs in other processes; one of them makes what the tests read."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import random_yamnet
import safetensors
import safetensors.torch
import torch

from counterpoise.core import tables
from counterpoise.embeddings import audioset, audioset_reader
from counterpoise.embeddings.yamnet import AudioSetError, load_audioset

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
ADDRESS = "https://tfhub.dev/google/yamnet/1"
MAKE = """
import json, shutil, sys
from pathlib import Path
import safetensors.numpy
import tensorflow as tf
from benchmarks import yamnet_savedmodel
from counterpoise.embeddings import audioset_reader

weights, folder = sys.argv[1], Path(sys.argv[2])
core = yamnet_savedmodel.network()
yamnet_savedmodel.give_weights(core, safetensors.numpy.load_file(weights))
published = yamnet_savedmodel.Published(core)
model = tf.Module()  # the same function and variables without Keras's layers, which take seconds to save and load
model.weights, model.__call__ = list(core.variables), published.__call__
tf.saved_model.save(model, str(folder / "saved"))
converter = tf.lite.TFLiteConverter.from_concrete_functions([published.__call__.get_concrete_function()], model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]  # 8-bit weights
(folder / "yamnet.tflite").write_bytes(converter.convert())

other = tf.Module()
other.kernel = tf.Variable(tf.zeros([3, 3]), name="layer1/conv/kernel")
tf.saved_model.save(other, str(folder / "other"))
hostile = tf.Module()
hostile.weights = model.weights
def attack(waveform):
    tf.io.write_file(str(folder / "pwned"), "code ran")
    return waveform
hostile.__call__ = tf.function(attack, input_signature=[tf.TensorSpec([None], tf.float32)])
tf.saved_model.save(hostile, str(folder / "hostile"))
flex = tf.lite.TFLiteConverter.from_concrete_functions([hostile.__call__.get_concrete_function()], hostile)
flex.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
(folder / "flex.tflite").write_bytes(flex.convert())
(folder / "pwned").unlink(missing_ok=True)
for broken in ("graph", "weights"):
    shutil.copytree(folder / "saved", folder / broken)
(folder / "graph/saved_model.pb").write_bytes(b"nonsense")  # it is not even looked at
(folder / "weights/variables/variables.index").write_bytes(b"nonsense")
(folder / "text.tflite").write_text("not found")
(folder / "add.tflite").write_bytes(tf.lite.TFLiteConverter.from_concrete_functions(
    [tf.function(lambda x: x + 1).get_concrete_function(tf.TensorSpec([1, 15600]))]).convert())
messages = {}
for name in ("hostile", "graph"):
    found = audioset_reader.read_savedmodel(str(folder / name)).variables
    assert all((found[one] == value).all() for one, value in
        audioset_reader.read_savedmodel(str(folder / "saved")).variables.items())
for name in ("other", "weights", "text.tflite", "add.tflite", "flex.tflite"):
    read = audioset_reader.read_tflite if name.endswith("tflite") else audioset_reader.read_savedmodel
    try:
        read(str(folder / name))
    except audioset_reader.AudioSetError as error:
        messages[name] = str(error)
(folder / "messages.json").write_text(json.dumps(messages))
"""


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", **more}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A folder with a YAMNet of random weights in every form, and sources that are wrong or damaged."""
    folder = tmp_path_factory.mktemp("made")
    random_yamnet.write(folder / "weights.safetensors")
    command = [sys.executable, "-c", MAKE, str(folder / "weights.safetensors"), str(folder)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def converted(made, tmp_path_factory) -> Path:
    """From tensorflow-hub's cache folder, where the model lies as if it had been fetched."""
    cache = tmp_path_factory.mktemp("hub")
    (cache / hashlib.sha1(ADDRESS.encode()).hexdigest()).symlink_to(made / "saved")
    out = tmp_path_factory.mktemp("converted") / "new" / "yamnet.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFHUB_CACHE_DIR", str(cache))
        audioset.convert(ADDRESS, out)
    return out


def origin(path: Path) -> dict:
    with safetensors.safe_open(path, "pt") as file:
        assert list(file.metadata()) == ["origin"]
        return json.loads(file.metadata()["origin"])


def tensorflow_is_here() -> bool:
    names = {name.partition(".")[0] for name in sys.modules}
    return bool(names & {"tensorflow", "tensorflow_hub", "tf_keras", "keras", "ai_edge_litert"})


def variables() -> list[tuple[str, np.ndarray]]:
    """Those of the published model, each filled with a number of its own, as TensorFlow names them."""
    shapes = audioset_reader.published().items()
    return [(f"{name}:0", np.full(shape, number, np.float32)) for number, (name, shape) in enumerate(shapes)]


def test_weights_come_through_tensorflow_hub_bit_by_bit(converted):
    tensors = safetensors.torch.load_file(converted)
    expected = random_yamnet.tensors()
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[name], expected[name]) for name in expected)


def test_the_file_says_where_it_comes_from_and_is_the_same_every_time(converted, made, tmp_path):
    found = origin(converted)
    assert len(found.pop("sha256")) == 64
    assert found == {"source": ADDRESS, "kind": "hub", "licence": "Apache-2.0", "format": 1}
    again = random_yamnet.write(tmp_path / "again.safetensors", origin=origin(converted))
    assert again.read_bytes() == converted.read_bytes()
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]  # nothing unfinished is left


def test_no_graph_of_a_source_is_run(made):
    assert (made / "hostile/saved_model.pb").exists() and not (made / "pwned").exists()


def test_tensorflow_is_never_in_this_process(converted):
    assert converted.exists()
    assert not tensorflow_is_here()


def test_a_quantised_tflite_file_becomes_the_same_network_within_its_rounding(made, tmp_path):
    audioset.convert(str(made / "yamnet.tflite"), tmp_path / "lite.safetensors")
    found = origin(tmp_path / "lite.safetensors")
    assert found["kind"] == "tflite"
    assert found["sha256"] == tables.sha256(made / "yamnet.tflite")
    lite, exact = load_audioset(tmp_path / "lite.safetensors"), load_audioset(made / "weights.safetensors")
    wave = torch.from_numpy(audioset_reader.probe())[None, None]
    with torch.inference_mode():
        scores = [network.head(network.embed_waves(wave)).sigmoid() for network in (lite, exact)]
    assert (scores[0] - scores[1]).abs().max() < 0.05
    assert scores[0].std() > 0.05
    assert lite.maps[1].running_mean.count_nonzero() == 0  # folded into the kernels


def test_a_folded_normalisation_changes_nothing():
    norm = torch.nn.BatchNorm2d(4, eps=audioset_reader.NORMALISATION_EPSILON).eval()
    norm.running_var.fill_(np.float32(1 - audioset_reader.NORMALISATION_EPSILON))
    values = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(norm(values), values, rtol=1e-7, atol=0)


def test_a_converted_file_is_checked_and_copied(made, tmp_path):
    source = made / "weights.safetensors"
    audioset.convert(str(source), tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == source.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(source.read_bytes()[:100000])
    with pytest.raises(AudioSetError, match="cut.safetensors is damaged"):
        audioset.convert(str(tmp_path / "cut.safetensors"), tmp_path / "out.safetensors")
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "other",
            "other is not the published YAMNet: layer1/conv/kernel has the shape .3, 3. instead of "
            ".3, 3, 1, 32.; layer1/conv/bn/beta .32. is missing.* more such",
        ),
        ("weights", "weights cannot be read as a SavedModel's variables"),
        ("flex.tflite", "flex.tflite cannot be read as a .tflite YAMNet.*Flex"),
        ("text.tflite", "text.tflite cannot be read as a .tflite YAMNet"),
        ("add.tflite", "add.tflite cannot be read as a .tflite YAMNet.*no output of 521 scores"),
    ],
)
def test_wrong_and_damaged_sources_are_named(made, name, message):
    messages = json.loads((made / "messages.json").read_text())
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(messages[name])
    assert "yamnet.source is an address for tensorflow-hub" in messages[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere does not exist; yamnet.source is"),
        ("folder", "folder is no SavedModel: it holds model.h5, but no saved_model.pb"),
        ("model.h5", "model.h5 is a file of another kind .*h5"),
    ],
)
def test_what_is_no_source_is_refused_before_tensorflow_starts(tmp_path, name, message):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/model.h5").touch()
    (tmp_path / "model.h5").touch()
    with pytest.raises(AudioSetError, match=message):
        audioset.convert(str(tmp_path / name), tmp_path / "out.safetensors")


def fake(folder: Path, **modules: str) -> str:
    """A folder of modules to be found before the real ones."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return str(folder)


def test_without_tensorflow_the_message_says_how_to_install_it(made, tmp_path, monkeypatch):
    gone = "raise ModuleNotFoundError(\"No module named 'tensorflow'\")"
    monkeypatch.setenv("PYTHONPATH", fake(tmp_path, tensorflow=gone, ai_edge_litert=gone))
    with pytest.raises(AudioSetError, match=r"lite needs TensorFlow.*No module named.*pip install tensorflow=="):
        audioset.convert(str(made / "yamnet.tflite"), tmp_path / "out.safetensors")


def test_a_reader_that_dies_is_reported(made, tmp_path, monkeypatch):
    dies = "import sys; print('out of luck', file=sys.stderr); sys.exit(7)"
    monkeypatch.setenv("PYTHONPATH", fake(tmp_path, tensorflow=dies))
    with pytest.raises(AudioSetError, match="saved: TensorFlow ended with exit status 7.*out of luck"):
        audioset.convert(str(made / "saved"), tmp_path / "out.safetensors")


def test_a_source_that_scores_otherwise_is_refused(made, tmp_path, monkeypatch):
    expected = random_yamnet.tensors()
    heard = {"scores": torch.full((521,), 0.5), "log_mel": torch.zeros(96, 64)}
    monkeypatch.setattr(audioset, "read", lambda source: (expected, {"kind": "tflite", "sha256": ""}, heard))
    with pytest.raises(AudioSetError, match="tflite and our network with its weights give a test sound other scores"):
        audioset.convert(str(made / "yamnet.tflite"), tmp_path / "out.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_source_that_pads_the_sound_is_compared_on_its_first_patch():
    heard = audioset_reader.first_patch(np.arange(2 * 521.0).reshape(2, 521), np.ones((144, 64)))
    assert heard["scores"].tolist() == list(range(521))
    assert heard["log_mel"].shape == (96, 64)
    assert list(audioset_reader.first_patch(np.zeros(521), None)) == ["scores"]


def test_names_with_a_prefix_and_in_any_order_are_matched():
    given = [(f"yamnet_frames/{name}".replace("logits", "dense_3"), value) for name, value in variables()[::-1]]
    found = audioset_reader.match(given, "s")
    assert {name: value.flat[0] for name, value in found.items()} == {n[:-2]: v.flat[0] for n, v in variables()}


def test_variables_without_layers_names_are_matched_by_order_if_every_shape_fits():
    plain = [(name.rpartition("/")[2], value) for name, value in variables()]
    found = audioset_reader.match(plain, "s")
    assert {name: value.flat[0] for name, value in found.items()} == {n[:-2]: v.flat[0] for n, v in variables()}
    with pytest.raises(AudioSetError, match="28 variables are called kernel|15 variables are called kernel"):
        audioset_reader.match(plain[4:] + plain[:4], "s")
    with pytest.raises(AudioSetError, match="1 variables are called gamma; the published model has 0"):
        audioset_reader.match([*plain, ("gamma:0", np.ones(32))], "s")


def test_every_variable_is_used_exactly_once():
    given = dict(variables())
    less = [item for item in given.items() if item[0] != "layer3/pointwise_conv/kernel:0"]
    with pytest.raises(AudioSetError, match=r"s is not the published YAMNet: layer3/pointwise_conv/kernel .* missing"):
        audioset_reader.match(less, "s")
    with pytest.raises(AudioSetError, match="gamma .32. is unknown"):
        audioset_reader.match([*given.items(), ("layer1/conv/bn/gamma:0", np.ones(32))], "s")
    with pytest.raises(AudioSetError, match="logits/bias is there twice"):
        audioset_reader.match([*given.items(), ("dense_1/bias:0", np.ones(521))], "s")
    with pytest.raises(AudioSetError, match=r"logits/bias has the shape \[10\] instead of \[521\]"):
        audioset_reader.match([*(given | {"logits/bias:0": np.ones(10)}).items()], "s")


def test_a_file_that_is_not_ours_is_refused(tmp_path):
    path = tmp_path / "weights.safetensors"
    with pytest.raises(AudioSetError, match="weights.safetensors is missing: run `dvc repro pretrained`"):
        load_audioset(path)
    safetensors.torch.save_file(random_yamnet.tensors(), path)
    with pytest.raises(AudioSetError, match="holds no AudioSet weights that counterpoise converted"):
        load_audioset(path)
    random_yamnet.write(path, origin={"format": 99})
    with pytest.raises(AudioSetError, match="holds no AudioSet weights that counterpoise converted"):
        load_audioset(path)
    tensors = random_yamnet.tensors()
    del tensors["maps.3.weight"]
    tensors["maps.0.weight"].fill_(torch.nan)
    tensors |= {"more": torch.zeros(1), "head.bias": torch.zeros(3)}
    safetensors.torch.save_file(tensors, path, {"origin": json.dumps(random_yamnet.ORIGIN)})
    with pytest.raises(AudioSetError) as refused:
        load_audioset(path)
    for part in ("maps.3.weight is missing", "more is unknown", "head.bias is torch.float32 [3]", "not finite"):
        assert part in str(refused.value)
