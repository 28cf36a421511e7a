"""More rows beside those of a finished run: networks that learn other tables, scored and compared as the pipeline does.

The benchmarks that try something are run where the pipeline has run, and change nothing there.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from counterpoise.arms import arm as arms
from counterpoise.classifiers import networks, training
from counterpoise.classifiers.networks.network import Network
from counterpoise.cli.params import Params
from counterpoise.core import runtime, tables
from counterpoise.core.checkpoint import Checkpoint
from counterpoise.ensembles import fusion, members
from counterpoise.evaluation import bootstrap, scores
from counterpoise.evaluation.metrics import METRICS
from stages.base import paths
from stages.evaluate import training_prior

MODEL = "cnn"


class Trial:
    """A finished run, and the rows that are tried beside it.

    All rows have their training prior divided out, so that none gains by having balanced classes.

    Args:
        p: the parameters; those of `classifier` hold for every row.
        folder: for unfinished and finished trainings, so that a second call goes on; None keeps nothing.
    """

    def __init__(self, p: Params, folder: Path | None) -> None:
        self.p, self.folder, self.labels = p, folder, list(p.classes)
        self.device = runtime.setup(p.runtime)
        self.test = tables.read(paths.SPLITS / "test.csv", tables.EXAMPLES)
        plan = tables.read(paths.PLAN, tables.BALANCE)
        self.rare = plan.label[plan.rare].tolist()
        self.uniform = np.full(len(self.labels), 1 / len(self.labels))
        self._rows: list[pd.DataFrame] = []

    def table(self, arm: str) -> pd.DataFrame:
        """What an arm of the run trained on, `tables.EXAMPLES`."""
        return tables.read(paths.SPLITS / f"train_{arm}.csv", tables.EXAMPLES)

    def network(
        self, name: str, examples: pd.DataFrame, seed: int, arm: str = "none", taught: np.ndarray | None = None
    ) -> Network:
        """A network that has learned these examples in an arm's way, or what a teacher said of them `[N, K]`."""
        checkpoint = None if self.folder is None else Checkpoint(self.folder / f"{name}-seed{seed}.pt")
        return learned(self.p, self.labels, examples, seed, self.device, checkpoint, arm, taught)

    def predict(self, network: Network, examples: pd.DataFrame) -> np.ndarray:
        """Probabilities `[N, K]`."""
        p = self.p
        return training.predict(network, examples, p.audio, p.runtime, self.device, p.classifier.batch_size)

    def learn(
        self,
        name: str,
        examples: pd.DataFrame,
        arm: str = "none",
        prior: Sequence[float] | None = None,
        taught: np.ndarray | None = None,
    ) -> list[np.ndarray]:
        """Add a row: a network of every seed. `prior` is what the training lets it expect; None: equal classes.

        Returns:
            Log-likelihoods of the test clips, `[N, K]`, of every seed.
        """
        found = []
        for seed in self.p.classifier.seeds:
            said = self.predict(self.network(name, examples, seed, arm, taught), self.test)
            found.append(fusion.log_likelihoods(said, self.uniform if prior is None else np.asarray(prior)))
            self.add(name, seed, found[-1])
        return found

    def add(self, name: str, seed: int, log_likelihoods: np.ndarray) -> None:
        """Add what one run of a row says of the test clips, `[N, K]`."""
        said = fusion.combine([log_likelihoods], [1.0], self.uniform)
        fold = self.p.split.test_fold
        self._rows.append(scores.predictions(self.test, said, self.labels, MODEL, name, seed, fold))

    def prior(self, arm: str) -> np.ndarray:
        """What an arm of the run lets its networks expect, `[K]`."""
        return training_prior(arm, self.labels, self.p.classifier.real_last)

    def again(self, arm: str) -> None:
        """Add a row that an arm of the run has, its training prior divided out as from all others."""
        kept = tables.read(paths.PROBABILITIES, tables.probabilities(self.labels))
        clip_ids = self.test.clip_id.tolist()
        for (of, model, seed), said in members.networks(kept, "test", clip_ids, self.labels).items():
            if (of, model) == (arm, MODEL):
                self.add(arm, seed, fusion.log_likelihoods(said, self.prior(arm)))

    def of_the_run(self, *names: str) -> None:
        """Add rows that the run itself has."""
        kept = tables.read(paths.PREDICTIONS, scores.columns(self.labels))
        self._rows += [kept[(kept.model == MODEL) & (kept.arm == name)] for name in names]

    def report(self, *pairs: tuple[str, str]) -> None:
        """Print every row's scores, means over seeds, and how the first of each pair differs from the second."""
        table = pd.concat(self._rows)
        found = bootstrap.bootstrap(table, self.labels, self.rare, self.p.evaluation)
        for row in table.arm.unique():
            cells = (f"{name} {found.estimate(MODEL, row, name):.3f}" for name in METRICS if name in found.metrics)
            print(row.ljust(24), *cells, sep="  ")
        for row, other in pairs:
            for metric in ("macro_f1", "rare_ap"):
                one = found.difference(MODEL, row, other, metric)
                print(f"{row} against {other}: {metric} {one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]")


def learned(
    p: Params,
    labels: list[str],
    examples: pd.DataFrame,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint | None,
    arm: str = "none",
    taught: np.ndarray | None = None,
) -> Network:
    """A network MODEL that has learned `tables.EXAMPLES` in an arm's way, as the stage trains it, unvalidated."""
    how = arms.load(arm)
    classifier = p.classifier.model_copy(update={"steps": round(how.steps * p.classifier.steps)})
    network = networks.build(MODEL, len(labels), p.audio, p.features, seed)
    training.train(
        network,
        examples,
        labels,
        p.audio,
        classifier,
        p.runtime,
        device,
        seed,
        training.class_weights(examples.label.tolist(), labels) if how.weighted else None,
        checkpoint,
        lambda step, measured: None,
        None,
        mixup=p.classifier.mixup_alpha if how.mixup else None,
        loss=how.loss,
        retrain_head=how.retrain_head,
        taught=taught,
    )
    return network
