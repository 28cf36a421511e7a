"""Tables of configurations, for a terminal."""

import pandas as pd
from rich import box
from rich.table import Table

from counterpoise.compare.configurations import Configuration, columns, short, shown
from counterpoise.evaluation.metrics import HEADLINES, title

MOST_COLUMNS = 4  # parameters; where more differ, configurations have numbers instead


def numbered(configurations: list[Configuration]) -> bool:
    """Whether too many parameters differ for a column each."""
    return len(columns(configurations)) > MOST_COLUMNS


def score_table(scores: pd.DataFrame, configurations: list[Configuration]) -> Table:
    """Rows: configuration, model, arm. Columns: the parameters that differ, the headlines with intervals."""
    metrics = [metric for metric in HEADLINES if metric in set(scores.metric)]
    folded = scores.folds.max() > 1
    titles = [title(metric) + (" ± SD of folds" if folded else "") for metric in metrics]
    models = scores.model.nunique() > 1
    table, about = _table(configurations)
    for column in [*(["folds"] if folded else []), *(["model"] if models else []), "arm", *titles]:
        table.add_column(column, no_wrap=True, justify="right" if column in titles else "left")
    for i, one in enumerate(configurations, 1):
        told = about[i - 1] + ([_share(one)] if folded else [])
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
    models = verdicts.model.nunique() > 1
    table, about = _table(configurations)
    for column in [*(["model"] if models else []), "arm", "against", "difference", "verdict"]:
        table.add_column(column, no_wrap=True, justify="right" if column == "difference" else "left")
    for row in verdicts.itertuples():
        difference = f"{row.mean:+.3f} [{row.corrected_low:+.3f}, {row.corrected_high:+.3f}]"
        told = about[row.configuration - 1] + ([row.model] if models else [])
        table.add_row(*told, row.arm, row.against, difference.replace("[", r"\["), row.verdict)
    return table


def _share(one: Configuration) -> str:
    return f"{len(one.runs)} of {len(one.folds)}" if one.folds else str(len(one.runs))


def _cell(row: pd.Series, folded: bool) -> str:
    spread = f" ±{row.sd:.3f}" if folded and row.folds > 1 else ""
    return f"{row['mean']:.3f}{spread}" + ("" if pd.isna(row.low) else rf" \[{row.low:.2f}, {row.high:.2f}]")


def _table(configurations: list[Configuration]) -> tuple[Table, list[list[str]]]:
    """A table with the columns that tell configurations apart, and the cells of each configuration in them."""
    table = Table(box=box.SIMPLE_HEAD)
    table.show_edge, table.pad_edge, table.collapse_padding = False, False, True
    if numbered(configurations):
        table.add_column("no.", justify="right")
        return table, [[str(i)] for i in range(1, len(configurations) + 1)]
    keys = columns(configurations)
    for key in keys:
        table.add_column(short(key, keys), overflow="fold")
    return table, [[shown(one.params.get(key)) for key in keys] for one in configurations]
