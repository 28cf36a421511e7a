"""A model in whole numbers of eight bits: what it needs to be calibrated, and what it costs.

Only the 2-D convolutions are quantised, with a scale for each output channel. The spectrogram stays in float32: its
range of powers is far wider than eight bits. Activations are calibrated on training clips (onnxruntime's static
quantisation), because its dynamic quantisation of convolutions was written for machines without these scales.
"""

import copy
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pandas as pd
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from counterpoise.core.audio import Audio
from counterpoise.evaluation.metrics import Outcome, macro_f1, mean_ap
from counterpoise.export import quiet
from counterpoise.export.graph import WINDOW
from counterpoise.inference.classify import Source
from counterpoise.inference.windows import Recording

CLIPS = 240  # training clips that calibrate, at most


class Cost(NamedTuple):
    """What quantising changes on N labelled clips."""

    agreement: float  # share of the clips with the same most probable class
    mean_ap: tuple[float, float]  # of the float32 model, of the quantised one
    macro_f1: tuple[float, float]
    clips: int


class _Windows(CalibrationDataReader):
    """The windows of sound files, one at a time."""

    def __init__(self, sources: Sequence[Source], audio: Audio) -> None:
        self._windows = self._read(sources, audio)

    @staticmethod
    def _read(sources: Sequence[Source], audio: Audio) -> Iterator[np.ndarray]:
        for source in sources:
            for window in Recording(source.path, audio, audio.seconds).windows():
                yield window.wave[None]

    def get_next(self) -> dict[str, np.ndarray] | None:
        window = next(self._windows, None)
        return None if window is None else {WINDOW: window}


def calibrating(clips: pd.DataFrame) -> pd.DataFrame:
    """The clips that calibrate: of each class as many, CLIPS in all at most.

    Args:
        clips: training clips, with the column `label`.
    """
    share = max(1, CLIPS // max(1, clips.label.nunique()))
    return clips[clips.groupby("label").cumcount() < share]


def quantise(one: ModelProto, sources: Sequence[Source], audio: Audio) -> ModelProto:
    """The graph of one window with its 2-D convolutions in int8.

    Args:
        one: from :func:`counterpoise.export.graph.of_window`.
        sources: training clips that calibrate, one or more.
        audio: the form of a window.

    Raises:
        AudioError: a clip cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="counterpoise-") as scratch:
        done = Path(scratch) / "done.onnx"
        dimensions = {weights.name: len(weights.dims) for weights in one.graph.initializer}
        others = [
            node.name
            for node in one.graph.node
            if node.op_type == "Conv" and dimensions.get(node.input[1]) != 4  # a resampler's
        ]
        with quiet():
            quantize_static(
                copy.deepcopy(one),  # it writes into what it is given
                done,
                _Windows(sources, audio),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                nodes_to_exclude=others,
                per_channel=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
            )
        return onnx.load(done)


def cost(before: np.ndarray, after: np.ndarray, truth: np.ndarray) -> Cost:
    """What quantising changes.

    Args:
        before: probabilities of the float32 model, `[N, K]`, of one clip or more.
        after: those of the quantised one.
        truth: the numbers of the clips' classes, `[N]`.
    """
    scores = []
    for said in (before, after):
        outcome = Outcome(truth, said.argmax(axis=1), said.astype(float), said.shape[1], ())
        each = np.ones((1, len(truth)))
        scores.append((float(mean_ap(outcome, each)[0]), float(macro_f1(outcome, each)[0])))
    same = float((before.argmax(axis=1) == after.argmax(axis=1)).mean())
    (ap_before, f1_before), (ap_after, f1_after) = scores
    return Cost(same, (ap_before, ap_after), (f1_before, f1_after), len(truth))
