"""A classifier as one ONNX graph: a sound of any length in, the probabilities of its classes out.

torch's exporter translates the network with its frontend, for one window. Round it lies a graph that is written here:
it mixes channels, pads a short sound, loops over the windows of a long one, and takes the mean of what they say. The
loop keeps memory small, however long a sound is.
"""

import onnx
import onnx.compose
import onnx.parser
import torch
from onnx import ModelProto

from counterpoise.classifiers.networks.network import Network
from counterpoise.core.audio import Audio
from counterpoise.core.windows import Windows
from counterpoise.export import ExportError, quiet

OPSET = 18  # STFT and DFT are operators since 17
INPUT, OUTPUT = "wave", "probabilities"
WINDOW, SAID = "window", "log_probabilities"  # of the graph of one window

MONO = "mixed = ReduceMean <keepdims = 1> (wave, zero)"
STEREO = """
    there = Shape <end = 1> (wave)
    last = Sub (there, one)
    wanted = Constant <value_ints = [0, 1]> ()
    which = Min (wanted, last)
    mixed = Gather <axis = 0> (wave, which)
"""
SOUND = """
<ir_version: {ir_version}, opset_import: ["" : {opset}]>
classifier (float[channels, samples] {input}) => (float[{classes}] {output}) {{
    zero = Constant <value_ints = [0]> ()
    one = Constant <value_ints = [1]> ()
    size = Constant <value_ints = [{size}]> ()
    hop = Constant <value_ints = [{hop}]> ()
    rest = Constant <value_ints = [{rest}]> ()

    {mix}

    samples = Shape <start = 1> ({input})
    short = Sub (size, samples)
    missing = Max (short, zero)
    pads = Concat <axis = 0> (zero, zero, zero, missing)
    sound = Pad (mixed, pads)

    length = Max (samples, size)
    beyond = Sub (length, size)
    hops = Div (beyond, hop)
    covered = Mul (hops, hop)
    left = Sub (beyond, covered)
    is_long = Greater (left, rest)
    one_more = Cast <to = 7> (is_long)
    regular = Add (hops, one)
    count = Add (regular, one_more)
    trips = Squeeze (count)
    go = Constant <value = bool {{1}}> ()

    said = Loop <body = one_window (int64 number, bool on) => (bool still, float[1, {classes}] shares) {{
        still = Identity (on)
        regular_start = Mul (number, hop)
        start = Min (regular_start, beyond)
        end = Add (start, size)
        cut = Slice (sound, start, end, one)
        network_{window} = Unsqueeze (cut, zero)
        shares = Exp (network_{said})
    }}> (trips, go)
    axes = Constant <value_ints = [0, 1]> ()
    {output} = ReduceMean <keepdims = 0> (said, axes)
}}
"""


def of_window(network: Network, audio: Audio) -> ModelProto:
    """The network with its frontend, for one window: `window` `[1, channels, samples]` to `log_probabilities` `[1, K]`.

    Args:
        network: in eval mode, on the CPU.
        audio: the form of its waves.

    Raises:
        ExportError: torch's exporter cannot translate it.
    """
    wave = torch.zeros(1, audio.channels, round(audio.seconds * audio.sample_rate))
    with torch.no_grad(), quiet():
        network(wave)  # what the frontend keeps for later must be numbers, and while it is traced it would be none
        try:
            program = torch.onnx.export(
                network,  # type: ignore[arg-type]
                (wave,),
                input_names=[WINDOW],
                output_names=[SAID],
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(
                f"torch {torch.__version__} cannot translate this {type(network).__name__} to ONNX ({error}). Use the "
                "versions of requirements.txt, or choose another `models`"
            ) from None
    assert program is not None
    return _without_traces(program.model_proto)


def _without_traces(model: ModelProto) -> ModelProto:
    """Without what the exporter notes for its own developers: lines of code and paths of this machine."""
    del model.metadata_props[:]
    graph = model.graph
    for item in [graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer]:
        item.doc_string = ""
        del item.metadata_props[:]
    return model


def of_sound(one: ModelProto, audio: Audio, metadata: dict[str, str]) -> ModelProto:
    """The graph of a whole sound: `wave` float32 `[any channels, samples]` to `probabilities` `[K]`.

    Windows lie where :class:`counterpoise.core.windows.Windows` has them, and channels are mixed as
    :func:`counterpoise.core.audio.mix` does. The wave has the network's sample rate and one sample or more.

    Args:
        one: the graph of one window, from :func:`of_window`, be it quantised.
        audio: the form of a window.
        metadata: what the model says of itself.

    Raises:
        ExportError: the result is no valid ONNX model.
    """
    network = onnx.compose.add_prefix(one, "network_")
    classes = network.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    windows = Windows.of(audio.seconds, audio.sample_rate)
    text = SOUND.format(
        ir_version=one.ir_version,
        opset=OPSET,
        input=INPUT,
        output=OUTPUT,
        window=WINDOW,
        said=SAID,
        classes=classes,
        size=windows.size,
        hop=windows.hop,
        rest=windows.rest,
        mix=MONO if audio.channels == 1 else STEREO,
    )
    model = onnx.parser.parse_model(text)
    (loop,) = (node for node in model.graph.node if node.op_type == "Loop")
    body = loop.attribute[0].g
    *before, after = list(body.node)
    del body.node[:]
    body.node.extend([*before, *network.graph.node, after])
    body.initializer.extend(network.graph.initializer)
    del model.opset_import[:]
    model.opset_import.extend(one.opset_import)  # quantising brings a domain of its own
    model.functions.extend(one.functions)
    model.producer_name = "counterpoise"
    onnx.helper.set_model_props(model, metadata)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid ({error}). Use the versions of requirements.txt") from None
    return model
