"""`counterpoise export`: the steps, and what is said of them."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from onnx import ModelProto

from counterpoise.core import tables
from counterpoise.export import ExportError, checking, graph, quantising
from counterpoise.export.metadata import metadata
from counterpoise.export.session import Session
from counterpoise.inference import classify
from counterpoise.inference.classify import Classifier, Source
from counterpoise.release import folder as releases


def run(folder: Path, output: Path, int8: bool, split: Path, commit: str | None) -> None:
    """Write a classifier as ONNX, with `int8` also in eight bits, and say how near to the network it is.

    Args:
        folder: a release or a trained classifier.
        output: the file; what was there is replaced once the new one has been checked.
        int8: write :func:`beside` it, too.
        split: the table of the workspace's clips, `tables.SPLIT`. It may be missing; `int8` needs its training clips.
        commit: of the workspace.

    Raises:
        ModelError, ReleaseError: the classifier cannot be had.
        ExportError: the model differs from the network, there are no clips to calibrate with, or `output` cannot be
            written.
        TableError: `split` is damaged.
    """
    torch.set_num_threads(1)
    classifier = classify.load(folder, torch.device("cpu"))
    clips = _clips(split)
    training = clips[(clips.partition == "train") & clips.label.isin(classifier.labels)]
    if int8 and training.empty:
        raise ExportError(
            f"--int8 is calibrated on training clips, and {split} names none of this classifier's classes that are "
            "here: run `dvc pull`, or `dvc repro split`; or leave --int8 away"
        )
    if output.is_dir():
        raise ExportError(f"--output {output} is a folder: name a file, e.g. {output / 'model.onnx'}")

    # Float32, as the network is
    one = graph.of_window(classifier.network, classifier.audio)
    about = metadata(classifier, releases.read(folder), commit)
    model = graph.of_sound(one, classifier.audio, about)
    validation = clips[clips.partition == "val"]
    with tempfile.TemporaryDirectory(prefix="counterpoise-") as scratch:
        made = checking.made_sounds(classifier.audio, Path(scratch))
        agreement = checking.check(model, classifier, [*made, *_sources(validation)])
    size = _write(model, output)
    sounds = f"{len(validation)} validation clips and {len(made)} made sounds" if len(validation) else "made sounds"
    print(f"{output}: {size}; differs from the network by at most {agreement.largest:.1e}, on {sounds}")

    # Eight bits
    if int8:
        calibrating = quantising.calibrating(training)
        small = quantising.quantise(one, _sources(calibrating), classifier.audio)
        about |= {"quantised": f"int8 convolutions, calibrated on {len(calibrating)} training clips"}
        small_model = graph.of_sound(small, classifier.audio, about)
        size = _write(small_model, beside(output))
        print(f"{beside(output)}: {size}; {_cost(model, small_model, classifier, validation)}")


def beside(output: Path) -> Path:
    """Where the quantised model lies: `model.int8.onnx` beside `model.onnx`."""
    return output.with_name(f"{output.stem}.int8{output.suffix}")


def _clips(split: Path) -> pd.DataFrame:
    """The clips whose sounds are here."""
    if not split.exists():
        return tables.table([], tables.SPLIT)
    clips = tables.read(split, tables.SPLIT)
    return clips[[Path(path).is_file() for path in clips.path]]


def _sources(clips: pd.DataFrame) -> list[Source]:
    return [Source(path, path) for path in clips.path]


def _write(model: ModelProto, path: Path) -> str:
    """Replace a file in one go; its size as people read it."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(model.SerializeToString(deterministic=True))
        os.replace(partial, path)
    except OSError as error:
        raise ExportError(f"--output {path} cannot be written ({error.strerror}): name another file") from None
    return f"{path.stat().st_size / 1e6:.2f} MB"


def _cost(model: ModelProto, small: ModelProto, classifier: Classifier, clips: pd.DataFrame) -> str:
    """What quantising costs on validation clips of the classifier's classes, in words."""
    known: Sequence[str] = classifier.labels
    labelled = clips[clips.label.isin(known)]
    if labelled.empty:
        return "there are no validation clips here, so what the eight bits cost is not known"
    sources, rate = _sources(labelled), classifier.audio.sample_rate
    before, after = (Session(each, rate).of_files(sources) for each in (model, small))
    truth = np.array([known.index(label) for label in labelled.label])
    cost = quantising.cost(before, after, truth)
    return (
        f"the same class as float32 for {cost.agreement:.1%} of {cost.clips} validation clips; mean AP "
        f"{cost.mean_ap[0]:.3f} → {cost.mean_ap[1]:.3f}, macro-F1 {cost.macro_f1[0]:.3f} → {cost.macro_f1[1]:.3f}"
    )
