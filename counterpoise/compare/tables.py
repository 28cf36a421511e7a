"""Tables of configurations, for a terminal."""

import pandas as pd
from rich import box
from rich.table import Table

from counterpoise.compare.configurations import Configuration, columns, short, shown
from counterpoise.compare.scores import metric_name
from counterpoise.statistics import TITLES

MOST_COLUMNS = 4  # parameters; the CSV has all


def score_table(scores: pd.DataFrame, configurations: list[Configuration]) -> Table:
    """Rows: configuration, model, arm. Columns: the parameters that differ, macro-F1 and rare recall with intervals."""
    keys = columns(configurations)[:MOST_COLUMNS]
    metrics = [metric for metric in TITLES if metric in set(scores.metric)]
    folded = scores.folds.max() > 1
    titles = [metric_name(metric) + (" ± SD of folds" if folded else "") for metric in metrics]
    models = scores.model.nunique() > 1
    table = _table()
    for key in keys:
        table.add_column(short(key, keys), overflow="fold")
    for title in [*(["folds"] if folded else []), *(["model"] if models else []), "arm", *titles]:
        table.add_column(title, no_wrap=True, justify="right" if title in titles else "left")
    for i, one in enumerate(configurations, 1):
        told = [shown(one.params.get(key)) for key in keys] + ([_share(one)] if folded else [])
        own = scores[scores.configuration == i]
        for (model, arm), rows in own.groupby(["model", "arm"], sort=False):
            rows = rows.set_index("metric")
            cells = [_cell(rows.loc[metric], folded) if metric in rows.index else "–" for metric in metrics]
            table.add_row(*told, *([model] if models else []), arm, *cells)
            told = [""] * len(told)
        table.add_section()
    return table


def verdict_table(verdicts: pd.DataFrame, configurations: list[Configuration]) -> Table:
    """Rows: comparisons. Columns: the parameters that differ, who against whom, the difference, the verdict."""
    keys, models = columns(configurations)[:MOST_COLUMNS], verdicts.model.nunique() > 1
    table = _table()
    for key in keys:
        table.add_column(short(key, keys), overflow="fold")
    for title in [*(["model"] if models else []), "arm", "against", "difference", "verdict"]:
        table.add_column(title, no_wrap=True, justify="right" if title == "difference" else "left")
    for row in verdicts.itertuples():
        one = configurations[row.configuration - 1]
        difference = f"{row.mean:+.3f} [{row.corrected_low:+.3f}, {row.corrected_high:+.3f}]"
        told = [shown(one.params.get(key)) for key in keys] + ([row.model] if models else [])
        table.add_row(*told, row.arm, row.against, difference.replace("[", r"\["), row.verdict)
    return table


def _share(one: Configuration) -> str:
    return f"{len(one.runs)} of {len(one.folds)}" if one.folds else str(len(one.runs))


def _cell(row: pd.Series, folded: bool) -> str:
    spread = f" ±{row.sd:.3f}" if folded and row.folds > 1 else ""
    return f"{row['mean']:.3f}{spread}" + ("" if pd.isna(row.low) else rf" \[{row.low:.2f}, {row.high:.2f}]")


def _table() -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    return table
