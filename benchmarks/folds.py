"""Several finished runs that tested different folds, as one answer.

    python -m benchmarks.folds WORKSPACE… [--model cnn]

Each WORKSPACE is a clone in which the pipeline has run, with the same classes, arms, systems and seeds and another
`split.test_fold`. `dvc exp run --queue -S split.test_fold=1,2` and `make compare` do the same in one clone; this is for
runs that were made side by side. Columns: means over folds and seeds, then the difference to the baseline and, of rows
with diffusion, to the best cheap row: corrected intervals over recordings and seeds, of all rows at once.
"""

import argparse
import json
from pathlib import Path

import pandas as pd
from rich.console import Console

from counterpoise.cli.params import Params
from counterpoise.core import tables
from counterpoise.evaluation import bootstrap, report, scores
from counterpoise.evaluation.metrics import METRICS
from stages.base import paths
from stages.base.work import run


def main(*given: str) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspaces", nargs="+", type=Path)
    parser.add_argument("--model", default="cnn")
    options = parser.parse_args(given)
    p = Params.read(options.workspaces[0] / "params.yaml")
    labels = list(p.classes)
    table = pd.concat(
        tables.read(workspace / paths.PREDICTIONS, scores.columns(labels)) for workspace in options.workspaces
    )
    table = table[table.model == options.model]
    plan = tables.read(options.workspaces[0] / paths.PLAN, tables.BALANCE)
    cheap = json.loads((options.workspaces[0] / paths.METRICS / "answer.json").read_text())["cheap"]
    found = bootstrap.bootstrap(table, labels, plan.label[plan.rare].tolist(), p.evaluation)
    answer = bootstrap.answer(found, cheap)
    for arm, own in answer["scores"][options.model].items():
        print(arm.ljust(30), *(f"{metric} {own[metric][0]:.3f}" for metric in METRICS if metric in own), sep="  ")
    rows = [row for row in answer["differences"] if row["model"] == options.model]
    console = Console(width=100)
    console.print(*report.differences(rows, cheap), sep="\n\n")
    for line in report.verdicts(rows, answer["level"], cheap):
        print(line)
    for row in rows:
        if row["metric"] in METRICS:
            print(row["sentence"])


if __name__ == "__main__":
    run(main)
