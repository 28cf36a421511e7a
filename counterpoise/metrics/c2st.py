"""Can a machine tell generated sounds from real ones? A classifier two-sample test, one class at a time.

Logistic regression looks at simple statistics of a log-mel spectrogram and is scored on recordings that it has not
seen. An area under the ROC curve of 0.5 means that it cannot tell the two sets apart, 1.0 that it always can: then the
sounds carry a trace, and a classifier that trains on them may learn the trace in place of the class. 0.5 is no proof
that nobody can: a stronger listener may find what this one does not look for.

Few recordings leave it to chance: what a real set of other recordings gets shows how much, and so does the interval.

Lopez-Paz & Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017, with the area in place of the accuracy, since
the sets differ in size.
"""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterpoise.core import audio
from counterpoise.embeddings.spectrogram import MelSpectrogram

FOLDS = 5
RECORDINGS = 4  # of either set, at least
REGULARISATION = 0.1  # scikit-learn's C: there are more statistics than clips


def band_statistics(wave: np.ndarray, spectrogram: MelSpectrogram) -> np.ndarray:
    """Mean and standard deviation of each mel band over time and channels: `[channels, samples]` to `[2 * n_mels]`.

    They are those of the picture that the CNN sees, in units of 20 dB around the clip's mean; loudness is not in it.
    A sound shorter than a window is padded with silence.
    """
    wave = audio.fit(wave, max(wave.shape[1], spectrogram.n_fft, spectrogram.hop))
    bands = spectrogram(torch.from_numpy(wave)[None])[0].transpose(0, 1).flatten(1)  # [n_mels, channels * frames]
    return torch.cat([bands.mean(dim=1), bands.std(dim=1, correction=0)]).numpy()


def auc(
    made: np.ndarray,
    real: np.ndarray,
    made_groups: Sequence,
    real_groups: Sequence,
    seed: int = 0,
    level: float = 0.95,
    resamples: int = 1000,
) -> tuple[float, float, float]:
    """How well generated sounds are told from real ones, with an interval.

    A recording and all that was made from it are in one fold, so that the classifier cannot know one. The interval
    is a percentile bootstrap over recordings of the scores that the folds gave; it leaves out that another draw of
    recordings would have trained another classifier.

    Args:
        made: statistics `[n, S]`, of :func:`band_statistics`.
        real: `[m, S]`.
        made_groups, real_groups: the recording that each was made from or cut from.

    Returns:
        (area under the ROC curve, low, high).

    Raises:
        ValueError: a set is of fewer than RECORDINGS recordings.
    """
    least = min(len(set(made_groups)), len(set(real_groups)))
    if least < RECORDINGS:
        raise ValueError(f"a set is of {least} recordings; expected at least {RECORDINGS}")
    names, group = np.unique([*made_groups, *real_groups], return_inverse=True)
    is_made = np.arange(len(group)) < len(made)
    folds = PredefinedSplit(_deal(group, is_made, min(FOLDS, least), seed)[group])
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=REGULARISATION, class_weight="balanced", max_iter=5000)
    )
    statistics = np.concatenate([made, real]).astype(np.float64)
    scores = cross_val_predict(classifier, statistics, is_made, cv=folds, method="decision_function")

    # Share of pairs in which the generated sound has the higher score, once, and with recordings drawn again
    above = scores[is_made][:, None] - scores[~is_made][None, :]
    wins = (above > 0) + 0.5 * (above == 0)
    draws = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), resamples)
    times_made, times_real = draws[:, group[is_made]], draws[:, group[~is_made]]
    pairs = times_made.sum(axis=1) * times_real.sum(axis=1)
    drawn = ((times_made @ wins) * times_real).sum(axis=1)[pairs > 0] / pairs[pairs > 0]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return float(wins.mean()), float(low), float(high)


def _deal(group: np.ndarray, is_made: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each recording, dealt like cards so that every fold has its share of both sets.

    Recordings that are in both sets come first: their neighbours then spread over the folds, too.
    """
    recordings = np.random.default_rng(seed).permutation(group.max() + 1)
    has_made, has_real = np.isin(recordings, group[is_made]), np.isin(recordings, group[~is_made])
    order = recordings[np.argsort(np.where(has_made & has_real, 0, np.where(has_made, 1, 2)), kind="stable")]
    fold = np.empty(len(order), dtype=int)
    fold[order] = np.arange(len(order)) % folds
    return fold
