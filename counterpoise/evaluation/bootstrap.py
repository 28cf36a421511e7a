"""How sure the answer is: intervals and verdicts from a bootstrap over test recordings and training seeds.

Two kinds of variance are in a score: which recordings were tested, and how each training went. A draw renews both, and
it is the same draw for every arm, so that a difference between two arms is paired by recording, seed and fold.

1. Recordings. Clips of a recording stay together, and the strata are fold and class, so that no class vanishes. Of a
   stratum's n recordings n - 1 are drawn with replacement and weigh n / (n - 1): the rescaling bootstrap of Rao and Wu
   (JASA 83, 1988), whose variance is unbiased however small the stratum is.
2. Seeds. Three seeds resampled never leave the range of the three, which holds the true mean three times in four, and
   the spread of three is itself mostly chance. So normal noise is added instead, with the variance that all arms of a
   model show together: the residual of arms x seeds in each fold, a randomised block design (Montgomery, Design and
   Analysis of Experiments, chapter 4). It takes the variance of training to be as large in one arm as in another.
   Systems of several models have no say in it, because they repeat the luck of the networks that they are made of; it
   is taken to be theirs, too. What is trained once, the denoisers, has luck that no interval knows of.
3. Student. Percentiles of the draws are moved away from the estimate by t / z, with the degrees of freedom that Welch
   and Satterthwaite give to the sum of both variances (the expanded percentile interval of Hesterberg, The American
   Statistician 69, 2015); for m comparisons t is the quantile at 1 - alpha / 2m: Bonferroni's correction.

What a training and a recording have in common is counted by both 1 and 2, which errs on the wide side.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from counterpoise.arms import arm as arms
from counterpoise.arms.arm import BASELINE
from counterpoise.core import CounterpoiseError
from counterpoise.core.progress import progress
from counterpoise.evaluation import metrics, scores
from counterpoise.evaluation.metrics import HEADLINES, METRICS, Outcome
from counterpoise.metrics.intervals import Evaluation

CHUNK = 500  # draws that are held in memory at once


class StatisticsError(CounterpoiseError):
    """Predictions that cannot be compared; the message says which are missing."""


Verdict = Literal["helps", "hurts", "cannot tell"]


@dataclass(frozen=True)
class Difference:
    """How much better an arm is than another; positive is better."""

    mean: float
    low: float  # of the interval at `evaluation.level`
    high: float
    corrected_low: float  # of the interval that holds for all comparisons of a table at once
    corrected_high: float
    p: float  # two-sided, of this comparison alone
    verdict: Verdict  # from the corrected interval


@dataclass(frozen=True)
class Bootstrap:
    """Draws of every metric of every model and arm, made by :func:`bootstrap`: B draws, F folds, S seeds, M metrics.

    The metrics are those of METRICS, and for each class `recall/<label>` and `ap/<label>`. Each is computed in each
    fold and run, and averaged over seeds and folds. An arm may also be a system of several networks.
    """

    level: float
    metrics: list[str]
    recordings: dict[str, int]  # by metric: the test recordings of the classes that it is about
    freedom: dict[str, int]  # by metric: those recordings less their strata
    runs: dict[tuple[str, str], np.ndarray]  # by (model, arm): [F, S, M], on the test recordings as they are
    resampled: dict[tuple[str, str], np.ndarray]  # by (model, arm): [B, M], means over runs on resampled recordings
    noise: np.ndarray  # [B], standard normal: the variance of training, the same for every arm

    def estimate(self, model: str, arm: str, metric: str) -> float:
        """The mean over seeds and folds."""
        return float(self.runs[model, arm][..., self.metrics.index(metric)].mean())

    def interval(self, model: str, arm: str, metric: str) -> tuple[float, float]:
        """The lower and the upper end of the interval of a score, within 0 and 1."""
        runs, resampled = self._of(model, arm, metric)
        training = self._training(model, metric, paired=False)
        low, high = self._ends(self._draws(float(runs.mean()), resampled, *training, metric, 1))
        return max(low, 0.0), min(high, 1.0)

    def difference(self, model: str, arm: str, baseline: str, metric: str, comparisons: int = 1) -> Difference:
        """Compare two arms.

        Args:
            model: of both.
            arm: the one of which it is asked whether it is better.
            baseline: the other.
            metric: one of `metrics`.
            comparisons: how many comparisons the table holds, for the corrected interval.

        Returns:
            The verdict is "cannot tell" where the corrected interval holds 0, and where variance cannot be measured:
            with a single seed; with a single recording in every stratum; with so few recordings that even a sign test
            on which all agree, p = 2^(1 - n), would not pass the corrected level. `p` is never below that, nor 0.

        Raises:
            StatisticsError: there is no such arm or metric.
        """
        if unknown := {(model, arm), (model, baseline)} - set(self.runs) or {metric} - set(self.metrics):
            raise StatisticsError(
                f"no predictions of {unknown.pop()}: there are {', '.join(map(str, self.runs))} with "
                f"{', '.join(self.metrics)}. Add it to `arms` or `models` in params.yaml and run `dvc repro`."
            )
        (runs, resampled), (other_runs, other_resampled) = (self._of(model, one, metric) for one in (arm, baseline))
        equal = np.array_equal(
            self.runs[model, arm], self.runs[model, baseline]
        )  # both add nothing: no variance, either
        training = (0.0, 1) if equal else self._training(model, metric, paired=True)
        mean = float((runs - other_runs).mean())
        alone, corrected = (
            self._draws(mean, resampled - other_resampled, *training, metric, m) for m in (1, comparisons)
        )
        (low, high), (corrected_low, corrected_high) = self._ends(alone), self._ends(corrected)
        unanimous = 2.0 ** (1 - self.recordings[metric])  # the p value of a sign test on which all recordings agree
        p = 2 * (1 + min((alone <= 0).sum(), (alone >= 0).sum())) / (1 + len(alone))
        measurable = runs.shape[1] > 1 and self.freedom[metric] > 0 and unanimous * comparisons <= 1 - self.level
        verdict: Verdict = "cannot tell"
        if measurable and not corrected_low <= 0 <= corrected_high:
            verdict = "helps" if corrected_low > 0 else "hurts"
        p = float(min(1.0, max(p, unanimous)))
        return Difference(mean, low, high, corrected_low, corrected_high, p, verdict)

    def _of(self, model: str, arm: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        at = self.metrics.index(metric)
        return self.runs[model, arm][..., at], self.resampled[model, arm][:, at]

    def _training(self, model: str, metric: str, paired: bool) -> tuple[float, int]:
        """What training adds to the variance of a mean over runs, or of the difference of two; its freedom."""
        # Arms that add nothing are copies of `none`, and say nothing that it does not say: each set counts once
        own = {arm: runs for (name, arm), runs in self.runs.items() if name == model}
        trained = {arm: runs for arm, runs in own.items() if arm in arms.names()} or own
        distinct = {runs.tobytes(): runs for runs in trained.values()}
        runs = np.stack([runs[..., self.metrics.index(metric)] for runs in distinct.values()])  # [A, F, S]
        amount, folds, seeds = runs.shape
        apart = runs - runs.mean(axis=2, keepdims=True)
        if paired:  # what a seed does to all arms alike cancels in a difference
            apart = apart - apart.mean(axis=0)
        freedom = max((amount - paired) * folds * (seeds - 1), 1)
        return float((1 + paired) * (apart**2).sum() / freedom / (folds * seeds)), freedom

    def _draws(
        self, mean: float, resampled: np.ndarray, variance: float, freedom: int, metric: str, comparisons: int
    ) -> np.ndarray:
        """Draws `[B]` around the mean, as wide as Student's distribution asks for."""
        both = np.array([resampled.var(), variance])
        welch = both.sum() ** 2 / max((both**2 / [max(self.freedom[metric], 1), freedom]).sum(), 1e-30)
        tail = (1 - self.level) / 2
        stretch = stats.t.isf(tail / comparisons, max(welch, 1)) / stats.norm.isf(tail)
        return mean + stretch * (resampled + np.sqrt(variance) * self.noise - mean)

    def _ends(self, draws: np.ndarray) -> tuple[float, float]:
        low, high = np.quantile(draws, [(1 - self.level) / 2, (1 + self.level) / 2])
        return float(low), float(high)


def bootstrap(predictions: pd.DataFrame, labels: list[str], rare: list[str], evaluation: Evaluation) -> Bootstrap:
    """Draw recordings and seeds again and again.

    Args:
        predictions: a table with the columns `scores.columns(labels)`, of one test fold or of several put together. In
            every fold all runs were tested on the same clips; every arm of a model has the same seeds in every fold.
        labels: the K classes' slugs.
        rare: those that `rare_ap` and `rare_recall` are about; may be empty.
        evaluation: how many draws, their seed, and the intervals' level.

    Raises:
        StatisticsError: a run is missing, or runs of a fold were tested on different clips.
    """
    seeds = _seeds(predictions)
    known = metrics.known(bool(rare))
    of_metric = {name: rare if METRICS[name].of_rare else labels for name in known}
    of_metric |= {name: [name.partition("/")[2]] for name in metrics.of_class(labels)}

    def values(outcome: Outcome, weights: np.ndarray) -> np.ndarray:  # [B, M]
        columns = [METRICS[name].function(outcome, weights) for name in known]
        return np.column_stack([*columns, *(kind.function(outcome, weights) for kind in metrics.OF_CLASS.values())])

    pairs = predictions[["model", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    folds, draws, rng = sorted(predictions.fold.unique()), evaluation.resamples, np.random.default_rng(evaluation.seed)
    runs = {pair: np.zeros((len(folds), len(seeds[pair[0]]), len(of_metric))) for pair in pairs}
    resampled = {pair: np.zeros((draws, len(of_metric))) for pair in runs}
    amounts = np.zeros((len(folds), len(labels)), dtype=int)  # recordings in each stratum
    for f, fold in enumerate(progress(folds, desc="bootstrap", unit="fold")):
        recording, strata, outcomes = _outcomes(predictions[predictions.fold == fold], labels, rare)
        amounts[f] = np.bincount(strata, minlength=len(labels))
        for (model, arm, seed), outcome in outcomes.items():
            whole = np.ones((1, len(recording)))
            runs[model, arm][f, seeds[model].index(seed)] = values(outcome, whole)[0]
        for start in range(0, draws, CHUNK):
            weights = recording_weights(rng, strata, min(CHUNK, draws - start))[:, recording]
            for (model, arm, _), outcome in outcomes.items():
                share = len(folds) * len(seeds[model])
                resampled[model, arm][start : start + CHUNK] += values(outcome, weights) / share
    recordings, freedom = {}, {}
    for metric, classes in of_metric.items():
        own = amounts[:, [labels.index(label) for label in classes]]
        recordings[metric], freedom[metric] = int(own.sum()), int((own - 1).clip(min=0).sum())
    noise = rng.standard_normal(draws)
    return Bootstrap(evaluation.level, list(of_metric), recordings, freedom, runs, resampled, noise)


def recording_weights(rng: np.random.Generator, strata: np.ndarray, draws: int) -> np.ndarray:
    """Rao and Wu's weights of recordings `[draws, R]`, with a mean of 1; one alone in its stratum always has 1.

    Args:
        strata: the number of each recording's stratum, `[R]`.
        draws: how many.
    """
    weights = np.ones((draws, len(strata)))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        if (n := len(own)) > 1:
            weights[:, own] = rng.multinomial(n - 1, np.full(n, 1 / n), size=draws) * n / (n - 1)
    return weights


def comparisons(found: Bootstrap, model: str, metric: str, cheap: Mapping[str, bool]) -> list[tuple[str, str]]:
    """Who is compared with whom: every row with `none`, and every row with diffusion with the best cheap one.

    An arm is one network, so it is compared with the best cheap arm; a system, with the best of all cheap rows. Each,
    `none` left out, is chosen with hindsight, by the same test clips, which speaks against diffusion. Of equals it is
    the first.

    Args:
        cheap: by arm or system, whether it needs no diffusion model.

    Raises:
        StatisticsError: `cheap` lacks one.
    """
    rows = [row for of, row in found.runs if of == model]
    if unknown := [row for row in rows if row not in cheap]:
        raise StatisticsError(
            f"nothing says whether {', '.join(unknown)} needs a diffusion model; expected in `cheap`. Run "
            "`dvc repro evaluate`."
        )
    trained = arms.names()

    def best(row: str) -> str | None:
        others = [one for one in rows if one != BASELINE and cheap[one] and (row not in trained or one in trained)]
        return max(others, key=lambda one: found.estimate(model, one, metric), default=None)

    pairs = [(row, BASELINE) for row in rows if row != BASELINE and BASELINE in rows]
    return pairs + [(row, other) for row in rows if not cheap[row] and (other := best(row))]


def answer(found: Bootstrap, cheap: Mapping[str, bool]) -> dict:
    """Which arms help, by how much, and how sure that is, ready for JSON.

    Arms are compared as :func:`comparisons` says, by the headlines and by the recall of each class. Average precision
    of single classes has intervals and no comparisons: it would ask the same of each class a second time. Intervals are
    corrected for all comparisons of a model and metric; recalls count as one metric.

    Args:
        cheap: by arm or system, whether it needs no diffusion model.

    Returns:
        `level`; `cheap`; `scores` {model: {arm: {metric: [mean, low, high]}}}; `differences`, rows of {model, metric,
        arm, against, comparisons, the fields of :class:`Difference`, sentence}.

    Raises:
        StatisticsError: `cheap` lacks an arm or system.
    """
    by_model, rows = {}, []
    for model, arm in found.runs:
        by_model.setdefault(model, {})[arm] = {
            metric: [round(x, 4) for x in (found.estimate(model, arm, metric), *found.interval(model, arm, metric))]
            for metric in found.metrics
        }
    recalls = [metric for metric in found.metrics if metrics.is_recall(metric)]
    for model in by_model:
        for metric in [*(name for name in HEADLINES if name in found.metrics), *recalls]:
            pairs = comparisons(found, model, metric, cheap)
            many = len(pairs) * (len(recalls) if metric in recalls else 1)
            for arm, against in pairs:
                one = found.difference(model, arm, against, metric, many)
                numbers = {k: v if isinstance(v, str) else round(v, 4) for k, v in asdict(one).items()}
                row = {"model": model, "metric": metric, "arm": arm, "against": against, "comparisons": many}
                rows.append({**row, **numbers, "sentence": _sentence(arm, against, metric, one)})
    told = {arm: cheap[arm] for _, arm in found.runs}
    return {"level": found.level, "cheap": told, "scores": by_model, "differences": rows}


def _sentence(arm: str, against: str, metric: str, one: Difference) -> str:
    whom = against if against == BASELINE else f"{against}, the best cheap one"
    title = metrics.title(metric)
    verdict: str = one.verdict
    if verdict == "cannot tell" and not one.corrected_low <= 0 <= one.corrected_high:
        verdict += ": too few seeds or recordings to measure variance"
    interval = f"[{one.corrected_low:+.3f}, {one.corrected_high:+.3f}]"
    return f"{arm} against {whom}: {title} {one.mean:+.3f} {interval}, {verdict}"


def _seeds(predictions: pd.DataFrame) -> dict[str, list[int]]:
    """The seeds of each model, which every arm must have in every fold."""
    seeds = {model: sorted(map(int, own.unique())) for model, own in predictions.groupby("model", sort=False).seed}
    runs = set(predictions.groupby(["model", "arm", "fold", "seed"]).groups)
    wanted = {
        (model, arm, fold, seed)
        for model, arm in predictions.groupby(["model", "arm"]).groups
        for fold in predictions.fold.unique()
        for seed in seeds[model]
    }
    if missing := sorted(wanted - runs):
        model, arm, fold, seed = missing[0]
        raise StatisticsError(
            f"{len(missing)} run(s) are missing, for example {model} {arm}, seed {seed}, test fold {fold}: all folds "
            "need the same `arms`, `models` and `classifier.seeds`. Run `dvc repro` for that fold."
        )
    return seeds


def _outcomes(
    fold: pd.DataFrame, labels: list[str], rare: list[str]
) -> tuple[np.ndarray, np.ndarray, dict[tuple[str, str, int], Outcome]]:
    """What all runs made of a fold's N clips, sorted by recording.

    Returns:
        The number of each clip's recording `[N]`; the class of each recording `[R]`, of several the most frequent; and
        the outcome of each run.
    """
    clips = fold.drop_duplicates("clip_id").sort_values(["source_id", "clip_id"])
    recording, sources = pd.factorize(clips.source_id)
    amounts = np.zeros((len(sources), len(labels)))
    np.add.at(amounts, (recording, pd.Index(labels).get_indexer(clips.label)), 1)
    found = {}
    for run, table in fold.groupby(["model", "arm", "seed"]):
        if set(table.clip_id) != set(clips.clip_id) or len(table) != len(clips):
            raise StatisticsError(
                f"{' '.join(map(str, run))} was tested on other clips of fold {table.fold.iloc[0]} than the rest "
                f"({len(table)}, not {len(clips)}). Run `dvc repro evaluate` for that fold."
            )
        found[run] = scores.outcome(table.set_index("clip_id").loc[clips.clip_id], labels, rare)
    return recording, amounts.argmax(axis=1), found
