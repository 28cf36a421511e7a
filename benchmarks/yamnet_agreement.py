"""How far our YAMNet with converted weights agrees with its sources.

    python -m benchmarks.yamnet_agreement YAMNET.tflite FOLDER [FOLDER ...] [--clips 100]

The .tflite file is converted. A SavedModel with the published interface is made from the result and goes through
`hub.load` and conversion in its turn. Then every patch (0.96 s, one each 0.48 s) of the folders' sounds, at most
`clips` of each folder, drawn at random, is scored by the .tflite interpreter, the SavedModel and our network.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from counterpoise.core import audio
from counterpoise.core.progress import progress
from counterpoise.embeddings import audioset
from counterpoise.embeddings.yamnet import YAMNet, load_audioset, yamnet_patches

PATCH, HOP = 15600, 7680  # samples at 16 kHz


def choose(folder: Path, clips: int) -> list[Path]:
    """Sounds below a folder, all of them or a random draw."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".wav", ".flac", ".ogg", ".mp3"))
    drawn = np.random.default_rng(0).permutation(len(files))[:clips]
    return [files[index] for index in sorted(drawn)]


def our_scores(network: YAMNet, patches: torch.Tensor) -> np.ndarray:
    """Patches `[P, 96, 64]` to scores `[P, 521]`."""
    with torch.inference_mode():
        return network.head(network.embed(patches[None]))[0].sigmoid().numpy()


def tflite_outputs(interpreter, waves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Waves `[P, 15600]` to scores `[P, 521]` and spectrograms `[P, 96, 64]`."""
    form = interpreter.get_input_details()[0]
    indices = {int(output["shape"][-1]): output["index"] for output in interpreter.get_output_details()}
    scores, spectrograms = [], []
    for wave in waves:
        interpreter.set_tensor(form["index"], wave.reshape(form["shape"]))
        interpreter.invoke()
        scores.append(interpreter.get_tensor(indices[521]).reshape(521))
        spectrograms.append(interpreter.get_tensor(indices[64]).reshape(96, 64))
    return np.stack(scores), np.stack(spectrograms)


def double_log_mel(wave: np.ndarray) -> np.ndarray:
    """A patch `[15600]` to its spectrogram `[96, 64]`, by the definition and in double precision."""
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), 400)[::160]
    magnitudes = np.abs(np.fft.rfft(frames * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)), 512))
    mel = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(*(1127 * np.log1p(np.array([125.0, 7500.0]) / 700)), 66)
    triangles = np.stack([np.interp(mel, edges[band : band + 3], [0, 1, 0]) for band in range(64)], axis=1)
    return np.log(magnitudes @ triangles + 0.001)


def row(name: str, ours: np.ndarray, theirs: np.ndarray, classes: bool = True) -> str:
    """A line of the table; both are `[patches, ...]`."""
    apart = np.abs(ours - theirs)
    same = f"{100 * np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)):.1f} %" if classes else "-"
    largest = apart.reshape(len(apart), -1).max(axis=1)
    figures = " | ".join(f"{figure:.1e}" for figure in (np.median(apart), np.median(largest), apart.max()))
    return f"| {name} | {same} | {figures} | {100 * np.mean(apart < 1e-4):.2f} % |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tflite")
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--clips", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    with tempfile.TemporaryDirectory() as scratch:
        weights, again, saved = (Path(scratch) / name for name in ("weights.safetensors", "again.safetensors", "saved"))
        audioset.convert(arguments.tflite, weights)
        command = [sys.executable, "-m", "benchmarks.yamnet_savedmodel", str(weights), str(saved)]
        subprocess.run(command, check=True, capture_output=True)
        audioset.convert(str(saved), again)
        network, other = load_audioset(weights), load_audioset(again)
        equal = all(torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values()))
        print(f"converted from .tflite and again through hub.load: {'the same bits' if equal else 'DIFFERENT weights'}")

        import tensorflow as tf  # only now: conversions are to work without it in this process
        import tensorflow_hub as hub

        model = hub.load(str(saved))
        interpreter = tf.lite.Interpreter(arguments.tflite, num_threads=1)
        interpreter.allocate_tensors()
        files = [file for folder in arguments.folders for file in choose(folder, arguments.clips)]
        results: dict[str, list[np.ndarray]] = {}
        for file in progress(files, desc="three networks", unit="clip"):
            wave = audio.read(file, 16000, 1)
            hops = max(0, -(-(wave.shape[1] - PATCH) // HOP))
            wave = audio.fit(wave, PATCH + hops * HOP)
            patches = yamnet_patches(torch.from_numpy(wave))[0]
            cut = np.stack([wave[0, start : start + PATCH] for start in range(0, hops * HOP + 1, HOP)])
            lite_scores, lite_mel = tflite_outputs(interpreter, cut)
            scores, embeddings, log_mel = (output.numpy() for output in model(wave[0]))
            with torch.inference_mode():
                own_embeddings = network.embed(patches[None])[0].numpy()
            for name, value in {
                "ours": our_scores(network, patches),
                "ours on lite mel": our_scores(network, torch.from_numpy(lite_mel)),
                "own embeddings": own_embeddings,
                "own mel": patches.numpy(),
                "lite": lite_scores,
                "lite mel": lite_mel,
                "float": scores,
                "embeddings": embeddings,
                "double mel": np.stack([double_log_mel(patch) for patch in cut]),
                "float mel": np.stack([log_mel[48 * patch : 48 * patch + 96] for patch in range(hops + 1)]),
            }.items():
                results.setdefault(name, []).append(value)

    joined = {name: np.concatenate(values) for name, values in results.items()}
    print(f"{len(files)} sounds, {len(joined['ours'])} patches")
    print("| what | same top class | median difference | median of patches' largest | largest | below 1e-4 |")
    print("|---|---|---|---|---|---|")
    print(row("scores: ours, TensorFlow in float", joined["ours"], joined["float"]))
    print(row("embeddings: ours, TensorFlow in float", joined["own embeddings"], joined["embeddings"], classes=False))
    print(row("log-mel: ours, TensorFlow in float", joined["own mel"], joined["float mel"], classes=False))
    print(row("log-mel: ours, NumPy in double precision", joined["own mel"], joined["double mel"], classes=False))
    print(row("log-mel: TensorFlow, NumPy in double", joined["float mel"], joined["double mel"], classes=False))
    print(row("scores: ours, .tflite", joined["ours"], joined["lite"]))
    print(row("scores: TensorFlow in float, .tflite", joined["float"], joined["lite"]))
    print(row("scores: ours on the .tflite log-mel, .tflite", joined["ours on lite mel"], joined["lite"]))
    print(row("log-mel: ours, .tflite (8-bit DFT)", joined["own mel"], joined["lite mel"], classes=False))


if __name__ == "__main__":
    main()
