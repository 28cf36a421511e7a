"""Classical classifiers of clips' features, learned and calibrated by training clips alone.

All classes count the same in them, however many clips each has: their prior is uniform.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.optimize
import scipy.special
from scipy.spatial.distance import cdist
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from counterpoise.core import tables
from counterpoise.core.progress import progress
from counterpoise.shallow.features import MFCC

FOLDS = 5  # at most; as many as the class with the fewest has recordings
SPREAD = 1.0  # of ln(temperature) below the usual, a priori: few clips that are all right make a classifier too sure
BOUNDS = (-5.0, 15.0)  # of ln(temperature), from the usual one; at the upper end all classes are equally probable

Scores = Callable[[np.ndarray], np.ndarray]  # features `[N, F]` to scores `[N, K]`: log-likelihoods but for their scale


@dataclass(frozen=True)
class Kind:
    """One way of classifying.

    Attributes:
        fit: from features `[N, F]`, their classes' numbers `[N]` and C to scores. All K classes occur.
        grid: values of C to choose from; None where it has none.
        usual: C where a class has too few recordings to choose by.
        temperature: what scores are divided by in that case, about what was fitted to the dogs.
        mfcc: it hears MFCC statistics, whatever else there is.
    """

    fit: Callable[[np.ndarray, np.ndarray, float | None], Scores]
    grid: tuple[float | None, ...]
    usual: float | None
    temperature: float
    mfcc: bool


def support_vectors(features: np.ndarray, truth: np.ndarray, C: float | None) -> Scores:
    """Support vector machines, each class against the rest, both sides counting the same (Cortes and Vapnik 1995).

    The kernel is Gaussian, on standardised features. Margins against the rest can be compared; the usual decision
    values of pairs of classes are mostly votes.
    """
    machine = OneVsRestClassifier(SVC(C=C, class_weight="balanced"))
    fitted = make_pipeline(StandardScaler(), machine).fit(features, truth)
    return lambda others: _one_each(fitted.decision_function(others))


def discriminants(features: np.ndarray, truth: np.ndarray, C: float | None) -> Scores:
    """Linear discriminant analysis with shrunk covariances (Ledoit and Wolf 2004); it has no C.

    With one clip of each class there is no covariance, and the nearest mean takes its place.
    """
    classes = len(set(truth))
    if len(truth) == classes:
        return nearest_mean(features, truth, C)
    machine = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=np.full(classes, 1 / classes))
    fitted = make_pipeline(StandardScaler(), machine).fit(features, truth)
    return lambda others: _one_each(fitted.decision_function(others))


def nearest_mean(features: np.ndarray, truth: np.ndarray, C: float | None) -> Scores:
    """Minus half the mean squared distance to each class's mean; it has no C.

    A feature's unit is its standard deviation within classes. scikit-learn's NearestCentroid divides by 0 where each
    class has one clip.
    """
    means = np.stack([features[truth == k].mean(axis=0) for k in range(len(set(truth)))])
    within = StandardScaler(with_mean=False)
    within.fit(features - means[truth], sample_weight=compute_sample_weight("balanced", truth))
    centres = within.transform(means)
    return lambda others: -0.5 * cdist(within.transform(others), centres, "sqeuclidean") / features.shape[1]


KINDS = {
    "mfcc_svm": Kind(support_vectors, grid=(0.1, 1.0, 10.0), usual=1.0, temperature=0.3, mfcc=True),
    "lda": Kind(discriminants, grid=(None,), usual=None, temperature=3.0, mfcc=False),
    "nearest_mean": Kind(nearest_mean, grid=(None,), usual=None, temperature=0.1, mfcc=False),
}


def learn(
    names: Sequence[str], features: Mapping[str, np.ndarray], clips: pd.DataFrame, labels: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, dict]]:
    """Learn several classifiers from the training clips, and say what the held-out clips are.

    Args:
        names: of :data:`KINDS`, one or more.
        features: of N clips, `[N, F]`, by what they are: MFCC statistics, and an embedding where there is one. What
            need not hear MFCCs hears the last.
        clips: N rows with `clip_id`, `label`, `source_id` and `partition`: train, val or test. Every class has
            training clips.
        labels: the K classes.

    Returns:
        The table `tables.members`, without training clips; and by name what was chosen: `embedding`, `features` (F)
        and the numbers of :func:`classify`.
    """
    found, cards = [], {}
    for name in names:
        embedding = MFCC if KINDS[name].mfcc else list(features)[-1]
        said, chosen = classify(name, features[embedding], clips, labels)
        found.append(said)
        cards[name] = {"embedding": embedding, "features": features[embedding].shape[1], **chosen}
    return pd.concat(found, ignore_index=True), cards


def classify(
    name: str, features: np.ndarray, clips: pd.DataFrame, labels: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """One classifier of :func:`learn`, on its features `[N, F]`.

    A cross-validation over the recordings of the training clips gives each of them scores that were learned without
    its recording. A softmax of scores divided by a temperature gives probabilities (Guo, Pleiss, Sun and Weinberger,
    "On Calibration of Modern Neural Networks", ICML 2017, section 4.2). The temperature, and C where there is one, are
    those with the least log-loss of these clips, in which all classes count the same. Validation and test clips choose
    nothing.

    Returns:
        The table, and `C`, `temperature` and `log_loss` (nats, cross-validated). Where a class has too few recordings,
        the first two are the kind's usual ones, and the last is None.
    """
    kind, is_training = KINDS[name], (clips.partition == "train").to_numpy()
    training, held_out = clips[is_training], clips[~is_training]
    seen, truth = features[is_training].astype(np.float64), training.label.map(list(labels).index).to_numpy()
    C, temperature, loss = _choose(name, seen, truth, folds(truth, training.source_id.to_numpy()))
    scores = kind.fit(seen, truth, C)(features[~is_training].astype(np.float64))
    said = scipy.special.softmax(scores / temperature, axis=1)
    columns = tables.members(labels)
    rows = held_out[["clip_id", "partition"]].reset_index(drop=True).assign(member=name)
    rows = pd.concat([rows, pd.DataFrame(said, columns=list(columns)[3:])], axis=1)
    return rows.astype(columns), {"C": C, "temperature": temperature, "log_loss": loss}


def folds(truth: np.ndarray, recordings: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The rows that train and the rows that are held out, in each fold; no recording has rows on both sides.

    Args:
        truth: the classes' numbers, `[N]`.
        recordings: `[N]`.

    Returns:
        No fold where a class has too few recordings: all classes must be learned in each.
    """
    classes = set(truth)
    amount = min(FOLDS, *(len(set(recordings[truth == k])) for k in classes))
    if amount < 2:
        return []
    found = list(StratifiedGroupKFold(amount).split(truth, truth, recordings))
    return found if all(set(truth[train]) == classes and len(held_out) for train, held_out in found) else []


def _choose(
    name: str, features: np.ndarray, truth: np.ndarray, folds: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[float | None, float, float | None]:
    """C, the temperature and the log-loss."""
    kind = KINDS[name]
    if not folds:
        return kind.usual, kind.temperature, None
    found = {}
    with progress(total=len(kind.grid) * len(folds), desc=name, unit="fold") as bar:
        for C in kind.grid:
            scores = np.empty((len(truth), len(set(truth))))
            for train, held_out in folds:
                scores[held_out] = kind.fit(features[train], truth[train], C)(features[held_out])
                bar.update()
            found[C] = calibrate(scores, truth, kind.temperature)
    best = min(found, key=lambda C: found[C][1])
    return best, *found[best]


def calibrate(scores: np.ndarray, truth: np.ndarray, usual: float) -> tuple[float, float]:
    """The temperature that makes held-out labels most probable, and its log-loss; each class counts the same.

    Below the usual one ln(temperature) has a normal prior, which keeps few clips from saying too much. Above it has
    none: where scores are worth nothing, all classes come out equally probable.

    Args:
        scores: `[N, K]`, of clips that were not learned.
        truth: their classes' numbers, `[N]`.
        usual: the temperature without any clips.

    Returns:
        The temperature, and the mean log-loss with it, in nats.
    """
    each = compute_sample_weight("balanced", truth)

    def loss(temperature: float) -> float:
        log_p = scipy.special.log_softmax(scores / temperature, axis=1)
        return float(-(each * log_p[np.arange(len(truth)), truth]).sum())

    found = scipy.optimize.minimize_scalar(
        lambda x: loss(usual * np.exp(x)) + 0.5 * (min(x, 0.0) / SPREAD) ** 2, bounds=BOUNDS, method="bounded"
    )
    temperature = float(usual * np.exp(found.x))
    return temperature, loss(temperature) / len(truth)


def _one_each(decisions: np.ndarray) -> np.ndarray:
    """scikit-learn's decision values, which are one column for two classes, with a column for each class."""
    return decisions if decisions.ndim == 2 else np.stack([-decisions, decisions], axis=1) / 2
