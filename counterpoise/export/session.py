"""An exported model at work, in onnxruntime on one thread of the CPU."""

from collections.abc import Sequence

import numpy as np
import onnxruntime
import soundfile
from onnx import ModelProto

from counterpoise.core import audio
from counterpoise.export.graph import INPUT, OUTPUT
from counterpoise.inference.classify import Source


class Session:
    """A model from :func:`counterpoise.export.graph.of_sound`.

    Args:
        model: the graph.
        sample_rate: of the sounds that it takes, Hz.
    """

    def __init__(self, model: ModelProto, sample_rate: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        self._sample_rate = sample_rate
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """A sound `[any channels, samples]`, float32, to probabilities `[K]`."""
        return self._session.run([OUTPUT], {INPUT: wave})[0]

    def of_files(self, sources: Sequence[Source]) -> np.ndarray:
        """Sound files, each with all its channels, to probabilities `[N, K]`."""
        return np.stack([self(self._read(source.path)) for source in sources])

    def _read(self, path: str) -> np.ndarray:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return audio.resample(samples.T, rate, self._sample_rate)
