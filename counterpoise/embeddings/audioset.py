"""The YAMNet that Google trained on AudioSet, as a safetensors file for our network.

Model card:
    what: YAMNet, a MobileNet v1 that scores 0.96 s of sound for 521 classes; 3.7 million weights.
    who: Manoj Plakal and Dan Ellis, Google; https://github.com/tensorflow/models/tree/master/research/audioset/yamnet.
    trained on: AudioSet, 2 million 10 s excerpts of YouTube videos with labels for whole excerpts. Some of its sounds,
        or their siblings, may well be in a collection that is tested with it.
    where from: https://tfhub.dev/google/yamnet/1 (which now leads to Kaggle Models), or its TensorFlow Lite edition.
        The latter is quantised to 8 bits: its scores differ a little.
    licence: Apache 2.0, as TensorFlow Hub states for the model and its repository for the code.
    made for: sounds at 16 kHz, mono, in -1..1. Its scores are no calibrated probabilities.
    cite: M. Plakal and D. Ellis, YAMNet, 2019; J. F. Gemmeke et al., Audio Set: An ontology and human-labeled dataset
        for audio events, ICASSP 2017; A. G. Howard et al., MobileNets: Efficient Convolutional Neural Networks for
        Mobile Vision Applications, 2017, https://arxiv.org/abs/1704.04861.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from counterpoise.embeddings.audioset_reader import kind_of, probe
from counterpoise.embeddings.yamnet import AUDIOSET_FORMAT, AudioSetError, load_audioset, yamnet_patches

LICENCE = "Apache-2.0"
TOLERANCE = 0.25  # largest difference between a .tflite file's scores for the probe and ours: it works in 8 bits


def convert(source: str, out: Path) -> None:
    """Write the published weights as a file for :func:`counterpoise.embeddings.yamnet.load_audioset`.

    TensorFlow runs in a process of its own, which ends before this returns. Of a SavedModel it reads variables alone,
    each of which must have its published name and shape. A .tflite file is run on a test sound, and the file appears
    only if our network gives it the same scores. Its one metadata entry `origin` is a JSON object: source, kind, sha256
    (of the file read; of a SavedModel's sorted files), licence, format. The same source gives the same bytes.

    Args:
        source: an address for tensorflow-hub, a SavedModel folder, a .tflite file, or a .safetensors file that was
            converted before, which is checked and copied.
        out: the file to write.

    Raises:
        AudioSetError: the source is missing, damaged, or another model, or TensorFlow is needed and not installed.
    """
    kind = kind_of(source)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.{os.getpid()}.partial")
    try:
        if kind == "safetensors":
            shutil.copyfile(source, partial)
            load_audioset(Path(source))
        else:
            tensors, origin, heard = read(source)
            about = origin | {"source": source, "licence": LICENCE, "format": AUDIOSET_FORMAT}
            metadata = {"origin": json.dumps(about, sort_keys=True)}  # a second entry would come in any order
            safetensors.torch.save_file(tensors, partial, metadata)
            load_audioset(partial)
            if heard:
                _check_scores(source, partial, heard)
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)


def read(source: str) -> tuple[dict[str, torch.Tensor], dict[str, str], dict[str, torch.Tensor]]:
    """Read a source with TensorFlow, in another process.

    Args:
        source: an address for tensorflow-hub, a SavedModel folder, or a .tflite file.

    Returns:
        Our network's state; its origin, `kind` and `sha256`; and what a .tflite file made of the probe: `scores` [521],
        and `log_mel` [96, 64] where it gives that. Of a SavedModel it is empty.

    Raises:
        AudioSetError: the source is damaged or another model, or TensorFlow is not installed.
    """
    reader = "counterpoise.embeddings.audioset_reader"
    ours = str(Path(__file__).parents[2])  # so that it finds this package, wherever it runs
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")])),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",  # it would take the whole device's memory for itself
    }
    with tempfile.TemporaryDirectory() as folder:
        read = Path(folder) / "read.safetensors"
        command = [sys.executable, "-m", reader, source, str(read)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 2:
            raise AudioSetError(done.stdout.strip().splitlines()[-1])
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise AudioSetError(
                f"{source}: TensorFlow ended with exit status {done.returncode} while reading it ({last}). It may be "
                f"damaged; see all that is said with `python -m {reader} {source} {read.name}`"
            )
        with safetensors.safe_open(read, "pt") as file:
            origin = json.loads(file.metadata()["origin"])
        tensors = safetensors.torch.load_file(read)
    heard = {name: tensors.pop(f"probe.{name}") for name in ("scores", "log_mel") if f"probe.{name}" in tensors}
    return tensors, origin, heard


def _check_scores(source: str, converted: Path, heard: dict[str, torch.Tensor]) -> None:
    """The network is given the source's own spectrogram where there is one: TensorFlow Lite rounds it to 8 bits."""
    network, spectrogram = load_audioset(converted), yamnet_patches(torch.from_numpy(probe())[None])
    theirs = heard.get("log_mel", spectrogram[0, 0])
    with torch.inference_mode():
        scores = network.head(network.embed(theirs[None, None]))[0, 0].sigmoid()
    difference = (scores - heard["scores"]).abs().max().item()
    if not difference <= TOLERANCE:
        raise AudioSetError(
            f"{source} and our network with its weights give a test sound other scores (by up to {difference:.3g}; "
            f"{TOLERANCE:g} is allowed): it is not the published YAMNet"
        )


if __name__ == "__main__":
    try:
        convert(sys.argv[1], Path(sys.argv[2]))
    except AudioSetError as error:
        sys.exit(str(error))
