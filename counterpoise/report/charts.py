"""The page's charts, as Vega-Lite specifications that Altair builds and checks.

Their text and lines have no colours here: the page gives them those of its theme. What differs in colour differs in
shape, too. A chart that shows one row at a time has a parameter `row`, which the page's menus set.
"""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from counterpoise.arms.arm import BASELINE
from counterpoise.evaluation.metrics import METRICS, OF_CLASS

CHEAP, DEAR = "without diffusion", "with diffusion"
COLOURS = alt.Scale(domain=[CHEAP, DEAR], range=["#7f7f7f", "#D55E00"])
SHAPES = alt.Scale(domain=[CHEAP, DEAR], range=["circle", "diamond"])
STEP = 19  # pixels between two rows
LABELLED = 12  # classes up to which a confusion matrix has its numbers written into it
ALL_LABELS = alt.Axis(title=None, labelLimit=220, labelOverlap=False)


def scores(answer: dict, model: str, metric: str) -> dict:
    """A row's score by one metric, with its interval; rows from top to bottom as they stand in `answer`.

    Args:
        answer: `metrics/answer.json`.
        model: whose rows.
        metric: a headline.
    """
    rows = [
        {"row": arm, "kind": CHEAP if answer["cheap"][arm] else DEAR} | dict(zip(("score", "low", "high"), own[metric]))
        for arm, own in answer["scores"][model].items()
    ]
    name = METRICS[metric].title
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("row:N", sort=None, axis=ALL_LABELS),
        color=alt.Color("kind:N", scale=COLOURS, legend=None),
        tooltip=[
            alt.Tooltip("row:N"),
            alt.Tooltip("kind:N", title="kind"),
            alt.Tooltip("score:Q", title=name, format=".3f"),
            alt.Tooltip("low:Q", title="from", format=".3f"),
            alt.Tooltip("high:Q", title="to", format=".3f"),
        ],
    )
    ends = alt.Scale(zero=False, nice=True)
    interval = base.mark_rule(strokeWidth=2, opacity=0.55).encode(alt.X("low:Q", scale=ends, title=name), x2="high:Q")
    point = base.mark_point(filled=True, size=75, opacity=1).encode(
        x="score:Q", shape=alt.Shape("kind:N", scale=SHAPES, legend=None)
    )
    return _spec(interval + point, len(rows), f"{name} of every row, with its interval")


def classes(per_class: dict[str, dict[str, dict]], counts: dict[str, int], names: dict[str, str], kind: str) -> dict:
    """One score of each class, largest class first: the baseline's beside that of the row which the page chose.

    Args:
        per_class: one model's part of `metrics/per_class.json`.
        counts: training clips by slug.
        names: what people read, by slug.
        kind: of `metrics.OF_CLASS`.
    """
    order = [f"{names[slug]} ({counts[slug]})" for slug in sorted(counts, key=lambda slug: -counts[slug])]
    rows = [
        {
            "row": row,
            "class": f"{names[slug]} ({counts[slug]})",
            "score": own[slug][kind],
            "before": per_class.get(BASELINE, {}).get(slug, {}).get(kind),
        }
        for row, own in per_class.items()
        for slug in own
    ]
    name = OF_CLASS[kind].title
    row = alt.param(name="row", value=BASELINE)
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter("datum.row == row")
        .encode(
            y=alt.Y("class:N", sort=order, axis=ALL_LABELS),
            tooltip=[
                alt.Tooltip("class:N", title="class (training clips)"),
                alt.Tooltip("before:Q", title=BASELINE, format=".3f"),
                alt.Tooltip("row:N"),
                alt.Tooltip("score:Q", title=name, format=".3f"),
            ],
        )
    )
    whole = alt.Scale(domain=[0, 1])
    way = base.mark_rule(strokeWidth=2, opacity=0.5).encode(alt.X("before:Q", scale=whole, title=name), x2="score:Q")
    before = base.mark_point(size=60, strokeWidth=2, color="#7f7f7f").encode(x="before:Q")
    after = base.mark_point(filled=True, size=75, opacity=1, shape="diamond", color="#2b8cc4").encode(x="score:Q")
    chart = (way + before + after).add_params(row)
    return _spec(chart, len(order), f"{name} of each class: {BASELINE} and the chosen row")


def confusion(table: pd.DataFrame, model: str, names: dict[str, str], order: Sequence[str]) -> dict:
    """What each class's test clips were taken for, of the row that the page chose.

    Args:
        table: what `evaluation.plots.confusion_table` gives.
        model: whose rows.
        names: what people read, by slug.
        order: slugs, largest class first.
    """
    own = table[(table.model == model) & (table.clips > 0)]
    rows = [
        {"row": one.arm, "actual": names[one.actual], "predicted": names[one.predicted], "share": one.share}
        for one in own.itertuples()
    ]
    told = [names[slug] for slug in order]
    row = alt.param(name="row", value=BASELINE)
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter("datum.row == row")
        .encode(
            x=alt.X(
                "predicted:N", sort=told, scale=alt.Scale(domain=told), title="taken for", axis=alt.Axis(labelAngle=-40)
            ),
            y=alt.Y("actual:N", sort=told, scale=alt.Scale(domain=told), title="class", axis=alt.Axis(labelLimit=220)),
            tooltip=[
                alt.Tooltip("actual:N", title="class"),
                alt.Tooltip("predicted:N", title="taken for"),
                alt.Tooltip("share:Q", title="share of the class", format=".1%"),
            ],
        )
    )
    share = alt.Color("share:Q", scale=alt.Scale(scheme="cividis", domain=[0, 1]), legend=None)
    chart = base.mark_rect().encode(color=share)
    if len(order) <= LABELLED:
        ink = alt.when("datum.share > 0.55").then(alt.value("#111111")).otherwise(alt.value("#ffffff"))
        chart += base.mark_text(fontSize=11).encode(text=alt.Text("share:Q", format=".0%"), color=ink)
    return _spec(chart.add_params(row), len(order), "confusion matrix of the chosen row")


def _spec(chart: alt.Chart | alt.LayerChart, rows: int, about: str) -> dict:
    return chart.properties(width="container", height=STEP * rows, description=about).to_dict()
