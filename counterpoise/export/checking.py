"""Whether an exported model says what the network says: both hear the same files, each on its own way."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from onnx import ModelProto

from counterpoise.core.audio import Audio
from counterpoise.core.naming import printable
from counterpoise.export import ExportError
from counterpoise.export.session import Session
from counterpoise.inference import classify
from counterpoise.inference.classify import Classifier, Failure, Source

TOLERANCE = 1e-4  # of a probability
FAINT = 0.01  # of the noise beside a tone
LENGTHS = (0.3, 1.0, 1.004, 1.6, 4.3)  # windows that made sounds are long


class Agreement(NamedTuple):
    """How near an exported model is to the network."""

    largest: float  # difference of a probability
    where: str  # the sound with that difference
    sounds: int


def made_sounds(audio: Audio, folder: Path) -> list[Source]:
    """Noise, a tone, clicks and silence as files: shorter than a window and longer, mono and stereo.

    Args:
        audio: the form of a window; the files have its sample rate.
        folder: for the files.
    """
    rng, sources = np.random.default_rng(0), []
    for length in LENGTHS:
        time = np.arange(round(length * audio.seconds * audio.sample_rate)) / audio.sample_rate
        noise = 0.1 * rng.standard_normal((2, len(time))).clip(-4, 4)
        tone = np.stack([0.5 * np.sin(2 * np.pi * 440 * time), 0.2 * np.sin(2 * np.pi * 1760 * time)])
        tone += FAINT * noise  # as in recordings: where a band is empty, rounding is all that a logarithm sees
        clicks = (rng.random((2, len(time))) < 50 / audio.sample_rate) * 0.9
        sounds = {"noise": noise, "tone": tone, "clicks": clicks, "silence": np.zeros((2, len(time)))}
        for name, wave in sounds.items():
            for channels, form in ((1, "mono"), (2, "stereo")):
                path = folder / f"{form} {name} of {length:g} windows.wav"
                soundfile.write(path, wave[:channels].T, audio.sample_rate, subtype="FLOAT")
                sources.append(Source(path.name, str(path)))
    return sources


def network_says(classifier: Classifier, sources: Sequence[Source]) -> np.ndarray:
    """What `counterpoise classify` says of files by default: probabilities `[N, K]`.

    Raises:
        ExportError: a file cannot be read.
    """
    rows = []
    for heard in classify.classify(classifier, sources, classifier.audio.seconds / 2, 32, keep_windows=False):
        if isinstance(heard, Failure):
            raise ExportError(
                f"{printable(heard.name)}: {heard.reason}. The export is checked on this sound: mend or remove it, or "
                "run `dvc checkout`"
            )
        rows.append(heard.probabilities)
    return np.stack(rows)


def check(model: ModelProto, classifier: Classifier, sources: Sequence[Source]) -> Agreement:
    """Compare an exported model with its network.

    Args:
        model: of float32.
        classifier: which was exported.
        sources: files to hear, one or more.

    Raises:
        ExportError: they differ by TOLERANCE or more, or a file cannot be read.
    """
    differences = np.abs(
        Session(model, classifier.audio.sample_rate).of_files(sources) - network_says(classifier, sources)
    )
    differences = np.where(np.isfinite(differences), differences, np.inf).max(axis=1)
    worst = int(differences.argmax())
    agreement = Agreement(float(differences[worst]), sources[worst].name, len(sources))
    if not agreement.largest < TOLERANCE:
        raise ExportError(
            f"the ONNX model differs from the network by {agreement.largest:.2g} on {printable(agreement.where)}; less "
            f"than {TOLERANCE:g} is allowed. Nothing was written. Use the versions of requirements.txt: "
            "`pip install -r requirements.txt`"
        )
    return agreement
