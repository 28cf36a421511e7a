"""How should denoisers' losses be calibrated? Cross-validation over the validation recordings of a finished run.

    python -m benchmarks.calibration [--arm none] [--model cnn] [--weight 0.8]

Run it where `dvc repro` has run. Test clips are not looked at. Rows: how much of a clip's own spread is divided out
(`posterior.EVENNESS`), and `diffusion_classifier.calibration`. Columns: macro-F1, mean average precision and log-loss
(every class counts the same) on held-out validation recordings, of the denoisers alone, then beside the network of an
arm, means over seeds.
"""

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks import inputs
from counterpoise.cli.params import Params
from counterpoise.core import tables
from counterpoise.diffusion_classifier import posterior
from counterpoise.diffusion_classifier import table as losses
from counterpoise.ensembles import fusion
from stages.base import paths
from stages.base.work import run
from stages.evaluate import networks_of, training_prior

PARTS = 3  # of the validation recordings


def main(*given: str) -> None:
    options = inputs.beside(__doc__ or "").parse_args(given)
    p = Params.read()
    labels, sigmas = list(p.classes), p.diffusion_classifier.sigmas
    clips = {"val": tables.read(paths.SPLITS / "val.csv", tables.EXAMPLES)}
    val = clips["val"]
    truth = np.array([labels.index(label) for label in val.label])
    kept = tables.read(paths.DENOISER_LOSSES / "losses.csv", losses.schema(labels))
    found = losses.from_table(kept, val.clip_id.tolist(), labels)
    prior = training_prior(options.arm, labels, p.classifier.real_last)
    said = networks_of(clips, labels)["val"]
    beside = [fusion.log_likelihoods(said[options.arm, options.model, seed], prior) for seed in p.classifier.seeds]
    print(f"{len(val)} validation clips of {val.source_id.nunique()} recordings")
    for evenness in (0.0, 0.5, 0.75, 1.0):
        posterior.EVENNESS = evenness
        for how in ("standard", "fitted"):
            z = held_out(how, found, truth, val.source_id, sigmas)
            alone = measured(z, truth)
            together = np.mean([measured(one + options.weight * z, truth) for one in beside], axis=0)
            print(f"{evenness:4.2f}  {how:8}", *(f"{number:6.3f}" for number in [*alone, *together]), sep="  ")


def held_out(
    how: posterior.How, found: np.ndarray, truth: np.ndarray, recordings: pd.Series, sigmas: list[float]
) -> np.ndarray:
    """Log-likelihoods `[N, K]`, each by a calibration that has not seen the clip's recording."""
    said = np.zeros(found.shape[:2])
    for rest, part in StratifiedGroupKFold(PARTS, shuffle=True, random_state=0).split(truth, truth, recordings):
        calibration = posterior.calibrate(how, found[rest], truth[rest], sigmas, 1.0, np.zeros(found.shape[1]))
        said[part] = calibration.log_likelihoods(found[part])
    return said


def measured(log_likelihoods: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Macro-F1, mean average precision, log-loss; over the classes that there are."""
    probabilities = np.exp(log_likelihoods - np.logaddexp.reduce(log_likelihoods, axis=1, keepdims=True))
    present, counts = np.unique(truth, return_counts=True)
    weights = 1 / counts[np.searchsorted(present, truth)]
    own = np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-9))
    return (
        float(f1_score(truth, probabilities.argmax(axis=1), labels=present, average="macro")),
        float(np.mean([average_precision_score(truth == k, probabilities[:, k]) for k in present])),
        float(-(weights * own).sum() / weights.sum()),
    )


if __name__ == "__main__":
    run(main)
