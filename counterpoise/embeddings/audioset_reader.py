"""Reads the published YAMNet with TensorFlow: the only module that imports it, run in a process of its own.

    python -m counterpoise.embeddings.audioset_reader SOURCE OUT

OUT is for :func:`counterpoise.embeddings.audioset.convert`, which starts this process: the weights under our names,
what a .tflite file makes of :func:`probe`, and where it all came from. The exit status is 0, or 2 after a message on
standard output that the user can act on.
"""

import hashlib
import json
import math
import re
import sys
import urllib.error
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy

from counterpoise.core import tables
from counterpoise.embeddings.yamnet import AUDIOSET_CLASSES, LAYERS, NORMALISATION_EPSILON, AudioSetError

PATCH_SAMPLES = 15600  # of one patch, at 16 kHz
PATCH = (96, 64)  # its frames and bands
INSTALL = "python -m pip install tensorflow==2.21.0 tensorflow-hub==0.16.1 tf_keras==2.21.0 setuptools==81.0.0"
ALLOWED = (
    "yamnet.source is an address for tensorflow-hub (https://tfhub.dev/google/yamnet/1), a SavedModel folder, "
    "a .tflite file, or a .safetensors file that was converted before"
)
LARGEST = 2**24  # numbers in a variable; the published model's largest has a million
STATISTICS = ("beta", "moving_mean", "moving_variance")
NAMED = re.compile(r"(?:^|/)(layer\d+/(?:conv|depthwise_conv|pointwise_conv)/(?:bn/)?\w+)$")
HEAD = re.compile(r"(?:^|/)(?:logits|dense|predictions)(?:_\d+)?/(kernel|bias)$")  # Keras's own name is `dense`


def probe() -> np.ndarray:
    """A sound `[15600]`, float32 in -1..1, that excites every band: the source and its conversion must agree on it."""
    seconds = np.arange(PATCH_SAMPLES) / 16000
    sweep = np.sin(2 * np.pi * (200 + 3000 * seconds) * seconds)
    noise = np.random.default_rng(0).standard_normal(PATCH_SAMPLES)
    return (0.4 * sweep + 0.02 * noise).astype(np.float32)


def kind_of(source: str) -> str:
    """hub, savedmodel, tflite or safetensors; raises AudioSetError for what is missing or anything else."""
    if source.startswith(("http://", "https://")):
        return "hub"
    path = Path(source)
    if not path.exists():
        raise AudioSetError(f"{source} does not exist; {ALLOWED}")
    if path.is_dir():
        if any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
            return "savedmodel"
        found = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise AudioSetError(f"{source} is no SavedModel: it holds {found}, but no saved_model.pb; {ALLOWED}")
    if path.suffix in (".tflite", ".safetensors"):
        return path.suffix[1:]
    raise AudioSetError(f"{source} is a file of another kind ({path.suffix or 'no suffix'}); {ALLOWED}")


def published() -> dict[str, tuple[int, ...]]:
    """Name and shape of every variable of the published model, layer after layer.

    The names are those that Keras gives the layers of tensorflow/models, research/audioset/yamnet/yamnet.py.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def convolution(layer: str, kernel: str, shape: tuple[int, ...], channels: int) -> None:
        shapes[f"{layer}/{kernel}"] = shape
        shapes.update({f"{layer}/bn/{statistic}": (channels,) for statistic in STATISTICS})

    inputs = 32
    convolution("layer1/conv", "kernel", (3, 3, 1, inputs), inputs)
    for number, (outputs, _) in enumerate(LAYERS, start=2):
        convolution(f"layer{number}/depthwise_conv", "depthwise_kernel", (3, 3, inputs, 1), inputs)
        convolution(f"layer{number}/pointwise_conv", "kernel", (1, 1, inputs, outputs), outputs)
        inputs = outputs
    return shapes | {"logits/kernel": (inputs, AUDIOSET_CLASSES), "logits/bias": (AUDIOSET_CLASSES,)}


def match(variables: list[tuple[str, np.ndarray]], source: str) -> dict[str, np.ndarray]:
    """Every published variable by its name, from a model's variables as it names and orders them.

    A model that names no layer at all is matched by its variables' order, if each kind (the name's last part) has
    exactly the published sequence of shapes.

    Raises:
        AudioSetError: a variable is missing, unknown, there twice, or has another shape.
    """
    plain = [(name.partition(":")[0], value) for name, value in variables]
    if not any(NAMED.search(name) for name, _ in plain):
        return _match_by_order(plain, source)
    expected, found, problems = published(), {}, []
    for name, value in plain:
        layer, head = NAMED.search(name), HEAD.search(name)
        key = layer[1] if layer else f"logits/{head[1]}" if head else name
        if key not in expected:
            problems.append(f"{name} {list(value.shape)} is unknown")
        elif key in found:
            problems.append(f"{key} is there twice")
        elif value.shape != expected[key]:
            problems.append(f"{key} has the shape {list(value.shape)} instead of {list(expected[key])}")
        found[key] = value
    problems += [f"{key} {list(shape)} is missing" for key, shape in expected.items() if key not in found]
    _refuse(problems, source)
    return found


def _match_by_order(variables: list[tuple[str, np.ndarray]], source: str) -> dict[str, np.ndarray]:
    expected, found, problems = published(), {}, []
    for kind in dict.fromkeys([*(_kind(name) for name in expected), *(_kind(name) for name, _ in variables)]):
        names = [name for name in expected if _kind(name) == kind]
        values = [value for name, value in variables if _kind(name) == kind]
        if [value.shape for value in values] != [expected[name] for name in names]:
            problems.append(
                f"{len(values)} variables are called {kind or 'nothing'}; the published model has {len(names)}, and "
                "without layers' names their shapes must come in its order"
            )
        found.update(zip(names, values))
    _refuse(problems, source)
    return found


def _kind(name: str) -> str:
    return name.rpartition("/")[2]


def _refuse(problems: list[str], source: str) -> None:
    if problems:
        more = f"; and {len(problems) - 6} more such" if len(problems) > 6 else ""
        raise AudioSetError(f"{source} is not the published YAMNet: {'; '.join(problems[:6])}{more}. {ALLOWED}")


def state(variables: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The published variables as the state of :class:`counterpoise.embeddings.yamnet.YAMNet`."""
    tensors, kernels = {}, [name for name in published() if name.startswith("layer") and name.endswith("kernel")]
    for number, name in enumerate(kernels):
        layer, _, kind = name.rpartition("/")
        axes = (2, 3, 0, 1) if kind == "depthwise_kernel" else (3, 2, 0, 1)  # outputs, inputs of each, height, width
        beta, mean, variance = (variables[f"{layer}/bn/{statistic}"] for statistic in STATISTICS)
        convolution, normalisation = f"maps.{3 * number}", f"maps.{3 * number + 1}"  # a ReLU follows
        tensors |= {
            f"{convolution}.weight": variables[name].transpose(axes),
            f"{normalisation}.weight": np.ones_like(beta),
            f"{normalisation}.bias": beta,
            f"{normalisation}.running_mean": mean,
            f"{normalisation}.running_var": variance,
            f"{normalisation}.num_batches_tracked": np.array(0),
        }
    tensors |= {"head.weight": variables["logits/kernel"].T, "head.bias": variables["logits/bias"]}
    return {name: np.asarray(value, order="C") for name, value in tensors.items()}


class Reading(NamedTuple):
    """What a source holds."""

    variables: dict[str, np.ndarray]  # by their published names
    heard: dict[str, np.ndarray]  # of the probe, by .tflite: `scores` [521], and `log_mel` [96, 64] where it gives it
    sha256: str


def read_savedmodel(source: str) -> Reading:
    """From an address, through tensorflow-hub, or a folder; TFHUB_CACHE_DIR says where downloads are kept.

    Variables alone are read. The graph is a program that may read and write files, so it is neither loaded nor run, and
    there is nothing that this source has heard.

    Raises:
        AudioSetError: it cannot be had or read, or is another model.
        ImportError: TensorFlow or tensorflow-hub is not installed.
    """
    if kind_of(source) == "hub":
        import tensorflow_hub as hub

        try:
            folder = Path(hub.resolve(source))
        except urllib.error.URLError as error:
            raise AudioSetError(
                f"{source} could not be fetched ({error}). Try again with a connection, or set TFHUB_CACHE_DIR to a "
                f"folder that has it; {ALLOWED}"
            ) from None
    else:
        folder = Path(source)
    try:
        variables = _variables(folder)
    except (ImportError, AudioSetError):
        raise
    except Exception as error:  # a damaged checkpoint can fail anywhere in index, protobuf or tensors
        raise AudioSetError(
            f"{source} cannot be read as a SavedModel's variables ({_first_line(error)}); {ALLOWED}"
        ) from None
    return Reading(match(variables, source), {}, _folder_sha256(folder))


def _variables(folder: Path) -> list[tuple[str, np.ndarray]]:
    """The float variables of a SavedModel's checkpoint by the names that the layers had, in the checkpoint's order."""
    import tensorflow as tf
    from tensorflow.core.protobuf import trackable_object_graph_pb2 as objects

    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    graph = objects.TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
    stored = [attribute for node in graph.nodes for attribute in node.attributes]
    found = []
    for attribute in stored:
        key = attribute.checkpoint_key
        if types[key] != tf.float32:
            continue
        if math.prod(shapes[key]) > LARGEST:
            raise AudioSetError(f"{folder} is not the published YAMNet: {key} has the shape {shapes[key]}. {ALLOWED}")
        found.append((attribute.full_name or key, reader.get_tensor(key)))
    return found


def read_tflite(source: str) -> Reading:
    """From a .tflite file: weights dequantised, and batch normalisation, folded into them there, made an identity.

    The file is run on the probe. It may hold operations of TensorFlow Lite alone, none of which reads or writes files;
    those of TensorFlow itself (Flex) and custom ones are refused before anything runs.

    Raises:
        AudioSetError: the file is damaged, or holds another model.
        ImportError: neither TensorFlow nor ai_edge_litert is installed.
    """
    try:
        from tensorflow import lite

        plain = lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    except ImportError:
        from ai_edge_litert import interpreter as lite

        plain = lite.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    try:
        # Without delegates: one of them would run TensorFlow's own operations, which may read and write files
        interpreter = lite.Interpreter(source, num_threads=1, experimental_op_resolver_type=plain)
        interpreter.resize_tensor_input(interpreter.get_input_details()[0]["index"], _waveform_shape(interpreter))
        interpreter.allocate_tensors()
        layers = _tflite_layers(interpreter)
        heard = _tflite_outputs(interpreter)
    except (ValueError, RuntimeError, IndexError) as error:
        raise AudioSetError(f"{source} cannot be read as a .tflite YAMNet ({_first_line(error)}); {ALLOWED}") from None
    shapes = published()
    kernels = [name for name in shapes if name.endswith("kernel")]
    if len(layers) != len(kernels):
        raise AudioSetError(f"{source} has {len(layers)} layers with weights; YAMNet has {len(kernels)}. {ALLOWED}")
    variables = {}
    for name, (kernel, bias) in zip(kernels, layers):
        layer = name.rpartition("/")[0]
        if layer == "logits":
            variables |= {name: kernel.T, "logits/bias": bias}
        else:
            variables |= {
                name: np.moveaxis(kernel, 0, -1),  # of both kinds of convolutions
                f"{layer}/bn/beta": bias,
                f"{layer}/bn/moving_mean": np.zeros_like(bias),
                f"{layer}/bn/moving_variance": np.full_like(bias, 1 - NORMALISATION_EPSILON),
            }
    return Reading(match(list(variables.items()), source), heard, tables.sha256(source))


def _waveform_shape(interpreter: Any) -> list[int]:
    """`[1, 15600]` or `[15600]`, as the file wants it."""
    return [1] * (len(interpreter.get_input_details()[0]["shape"]) - 1) + [PATCH_SAMPLES]


def _tflite_outputs(interpreter: Any) -> dict[str, np.ndarray]:
    """What the model makes of the probe; some editions give no spectrogram."""
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], probe().reshape(_waveform_shape(interpreter)))
    interpreter.invoke()
    outputs = {tensor.shape[-1]: tensor for tensor in map(interpreter.get_tensor, _outputs(interpreter))}
    if AUDIOSET_CLASSES not in outputs:
        raise ValueError(f"it has no output of {AUDIOSET_CLASSES} scores")
    return first_patch(outputs[AUDIOSET_CLASSES], outputs.get(PATCH[1]))


def _outputs(interpreter: Any) -> list[int]:
    return [output["index"] for output in interpreter.get_output_details()]


def first_patch(scores: np.ndarray, log_mel: np.ndarray | None) -> dict[str, np.ndarray]:
    """What a source heard of the probe's own patch. A model may pad the sound, and then it gives more patches.

    Args:
        scores: of one patch `[521]` or several `[n, 521]`.
        log_mel: frames `[96 or more, 64]`, also with more axes before them; None where the source gives none.

    Returns:
        `scores` [521], and `log_mel` [96, 64] where it is given.

    Raises:
        ValueError: an array cannot be cut into rows of 521 scores or 64 bands.
    """
    heard = {"scores": scores.reshape(-1, AUDIOSET_CLASSES)[0]}
    return heard if log_mel is None else heard | {"log_mel": log_mel.reshape(-1, PATCH[1])[: PATCH[0]]}


def _tflite_layers(interpreter: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias of every convolution and of the last dense layer, in the order in which they compute."""
    details = {tensor["index"]: tensor for tensor in interpreter.get_tensor_details()}
    operations = interpreter._get_ops_details()
    unpacked = {op["outputs"][0]: op["inputs"][0] for op in operations if op["op_name"] == "DEQUANTIZE"}

    def values(index: int) -> np.ndarray:
        index = unpacked.get(index, index)
        stored, form = interpreter.get_tensor(index), details[index]["quantization_parameters"]
        if not len(form["scales"]):
            return stored.astype(np.float32)
        axis = [1] * stored.ndim
        axis[form["quantized_dimension"]] = -1
        scales, zeros = (form[key].reshape(axis) for key in ("scales", "zero_points"))  # of each channel, or one of all
        return ((stored.astype(np.int64) - zeros) * scales).astype(np.float32)

    convolutions = [op for op in operations if op["op_name"] in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    dense = [op for op in operations if op["op_name"] == "FULLY_CONNECTED"][-1:]  # others compute the spectrogram
    return [tuple(values(index) for index in op["inputs"][1:3]) for op in convolutions + dense]  # type: ignore[misc]


def _folder_sha256(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\n{tables.sha256(path)}\n".encode())
    return digest.hexdigest()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:300]


def main(source: str, out: str) -> None:
    try:
        kind = kind_of(source)
        reading = (read_tflite if kind == "tflite" else read_savedmodel)(source)
    except AudioSetError as error:
        print(error)
        sys.exit(2)
    except ImportError as error:
        print(f"{source} needs TensorFlow to be read ({error}). Install it: `{INSTALL}`")
        sys.exit(2)
    tensors = state(reading.variables) | {f"probe.{name}": value for name, value in reading.heard.items()}
    origin = {"kind": kind, "sha256": reading.sha256}
    safetensors.numpy.save_file(tensors, out, metadata={"origin": json.dumps(origin)})


if __name__ == "__main__":
    main(*sys.argv[1:])
