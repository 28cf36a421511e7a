"""What AudioSet's weights are worth: YAMNet from scratch, frozen and fine-tuned, and logistic regression beside them.

    python -m benchmarks.transfer FOLDER WEIGHTS [--folds 1 2] [--seeds 0 1 2] [--steps 400] [--cache FOLDER]

FOLDER has the layout of UrbanSound8K (audio/ and metadata/UrbanSound8K.csv); WEIGHTS is anything that `yamnet.source`
may be. Each way trains on one of the two folds and is tested on the other, and the other way round. A row is the mean
and the standard deviation over the seeds; seconds are those of one training with its test, and, of the frozen ways, of
the embeddings as well, which only the first seed has to wait for.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import sklearn.metrics
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks import inputs
from counterpoise.classifiers import networks, training
from counterpoise.core import audio, runtime
from counterpoise.embeddings import audioset
from counterpoise.embeddings.cache import embed_clips
from counterpoise.embeddings.yamnet import load_audioset

AUDIO = audio.Audio(sample_rate=16000, channels=1, seconds=4)
WAYS = {
    "scratch": {"pretrained": False, "frozen": False},
    "frozen": {"pretrained": True, "frozen": True},
    "finetune": {"pretrained": True, "frozen": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights")
    parser.add_argument("--folds", nargs=2, type=int, default=[1, 2])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--body-rate", type=float, default=0.1)
    parser.add_argument("--patches", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=[*WAYS, "regression"], default=[*WAYS, "regression"])
    parser.add_argument("--cache", type=Path, help="keeps embeddings for the next run")
    arguments = parser.parse_args()

    p = inputs.parameters([f"runtime.threads={arguments.threads}"])
    device = runtime.setup(p.runtime)
    classifier = p.classifier.model_copy(
        update={
            "steps": arguments.steps,
            "batch_size": arguments.batch_size,
            "body_rate": arguments.body_rate,
            "learning_rate": arguments.learning_rate,
            "yamnet_patches": arguments.patches,
        }
    )
    examples, labels = inputs.clips(arguments.folder, arguments.folds)
    targets = np.array([labels.index(label) for label in examples.label])
    sides = [np.flatnonzero(examples.fold == fold) for fold in arguments.folds]
    counts = ", ".join(f"{len(side)} in fold {fold}" for fold, side in zip(arguments.folds, sides))
    print(f"{len(labels)} classes, {len(examples)} clips: {counts}")

    with tempfile.TemporaryDirectory() as scratch:
        cache, weights = arguments.cache or Path(scratch) / "embeddings", Path(scratch) / "yamnet.safetensors"
        audioset.convert(arguments.weights, weights)

        def learned(way: str, seed: int, train: np.ndarray, test: np.ndarray) -> np.ndarray:
            network = networks.build("yamnet", len(labels), AUDIO, p.features, seed, weights, **WAYS[way])
            training.train(
                network,
                examples.iloc[train],
                labels,
                AUDIO,
                classifier,
                p.runtime,
                device,
                seed,
                class_weights=None,
                checkpoint=None,
                report=lambda step, measured: None,
                validation=None,
                cache=cache,
            )
            return training.predict(network, examples.iloc[test], AUDIO, p.runtime, device, 32, cache).argmax(axis=1)

        def regression(train: np.ndarray, test: np.ndarray) -> np.ndarray:
            patches = embed_clips(load_audioset(weights), examples, AUDIO, p.runtime, device, cache)
            means = np.stack([patches[row].mean(axis=(0, 1)) for row in range(len(patches))])
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=2000))
            return model.fit(means[train], targets[train]).predict(means[test])

        print("| way | trained on fold | accuracy, % | macro-F1, % | seconds of each seed |\n|---|---|---|---|---|")
        for way in arguments.ways:
            for (train, test), fold in zip((sides, sides[::-1]), arguments.folds):
                scores, seconds = [], []
                for seed in arguments.seeds if way in WAYS else [0]:  # regression draws nothing
                    start = time.perf_counter()
                    predicted = learned(way, seed, train, test) if way in WAYS else regression(train, test)
                    seconds.append(f"{time.perf_counter() - start:.0f}")
                    f1 = sklearn.metrics.f1_score(targets[test], predicted, average="macro")
                    scores.append((100 * np.mean(predicted == targets[test]), 100 * f1))
                mean, deviation = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=min(1, len(scores) - 1))
                cells = [f"{m:.1f} ± {s:.1f}" for m, s in zip(mean, deviation)]
                print(f"| {way} | {fold} | {cells[0]} | {cells[1]} | {', '.join(seconds)} |", flush=True)


if __name__ == "__main__":
    main()
