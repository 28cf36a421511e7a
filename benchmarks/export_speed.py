"""How fast is an exported classifier on one thread? Times real time: onnxruntime in float32 and int8, beside torch.

    python -m benchmarks.export_speed [--from models/release] [--tflite YAMNET.tflite] [--rounds 20] [--seconds 60]

Every round times each engine once on the same noise, a sound of one window and a long one, so that other work on the
machine meets all of them. Time is the processor's, not the clock's, which other work would stretch. Figures are medians
over rounds: how many seconds of sound a second of work hears, and the ratio to torch in the same round. torch hears the
windows in batches of 32, as `counterpoise classify` does; the graph hears them one by one. int8 is calibrated on made
sounds here: its speed does not depend on what calibrates it. With --tflite and TensorFlow's interpreter, AudioSet's
YAMNet is timed, too, on a patch of 0.975 s every 0.48 s.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from counterpoise.export import checking, graph, quantising
from counterpoise.export.session import Session
from counterpoise.inference import classify

BATCH = 32
PATCH, HOP, RATE = 15600, 7680, 16000  # of the published YAMNet: samples, samples, Hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, default=Path("models/release"))
    parser.add_argument("--tflite", type=Path)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    classifier = classify.load(options.folder, torch.device("cpu"))
    form = classifier.audio
    one = graph.of_window(classifier.network, form)
    with tempfile.TemporaryDirectory() as scratch:
        small = quantising.quantise(one, checking.made_sounds(form, Path(scratch)), form)
    floats, ints = (Session(graph.of_sound(each, form, {}), form.sample_rate) for each in (one, small))

    console, rng = Console(), np.random.default_rng(0)
    for seconds in (form.seconds, options.seconds):
        wave = 0.1 * rng.standard_normal((form.channels, round(seconds * form.sample_rate))).astype(np.float32)
        engines = {
            "torch": torch_engine(classifier, wave),
            "onnxruntime, float32": lambda wave=wave: floats(wave),
            "onnxruntime, int8": lambda wave=wave: ints(wave),
        }
        if options.tflite:
            engines["YAMNet, TFLite"] = yamnet_engine(options.tflite, seconds)
        table = Table("engine", "times real time", "to torch", title=f"{seconds:g} s of sound, one thread")
        for name, (speed, ratio) in timed(engines, seconds, options.rounds).items():
            table.add_row(name, f"{speed:,.0f}", f"{ratio:.2f}")
        console.print(table)


def torch_engine(classifier: classify.Classifier, wave: np.ndarray) -> Callable[[], object]:
    """The network on a wave `[channels, samples]`."""
    form = classifier.audio
    size = round(form.seconds * form.sample_rate)
    windows = torch.from_numpy(wave).unfold(1, size, graph.hop_of(form)).movedim(1, 0)  # [W, channels, size]

    @torch.inference_mode()
    def hear() -> torch.Tensor:
        return torch.cat([classifier.network(batch.contiguous()).exp() for batch in windows.split(BATCH)]).mean(0)

    return hear


def yamnet_engine(path: Path, seconds: float) -> Callable[[], object]:
    """The published YAMNet on noise of this length."""
    import tensorflow as tf

    interpreter = tf.lite.Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    form = interpreter.get_input_details()[0]
    patches = 1 + max(0, round(seconds * RATE) - PATCH + HOP - 1) // HOP
    patch = 0.1 * np.random.default_rng(0).standard_normal(PATCH).astype(np.float32).reshape(form["shape"])

    def hear() -> None:
        for _ in range(patches):
            interpreter.set_tensor(form["index"], patch)
            interpreter.invoke()

    return hear


def timed(engines: dict[str, Callable[[], object]], seconds: float, rounds: int) -> dict[str, tuple[float, float]]:
    """By engine: the median times real time, and the median ratio to the first engine's speed in the same round."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for hear in engines.values():
        hear()
    for _ in range(rounds):
        for name, hear in engines.items():
            start = time.process_time()
            hear()
            taken[name].append(time.process_time() - start)
    first = next(iter(taken.values()))
    return {
        name: (
            seconds / statistics.median(times),
            statistics.median(base / own for base, own in zip(first, times, strict=True)),
        )
        for name, times in taken.items()
    }


if __name__ == "__main__":
    main()
