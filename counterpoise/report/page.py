"""The page itself: `index.html` and what it loads. It opens from disk, asks no network, and reads nothing outside."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import vl_convert
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from counterpoise.arms.arm import BASELINE
from counterpoise.assessment.measures import CLASSIC, TRAINING, VARIATIONS
from counterpoise.assessment.measures import ROUND_TRIP as ROUND_TRIPS
from counterpoise.evaluation import plots
from counterpoise.evaluation.metrics import HEADLINES, METRICS, OF_CLASS
from counterpoise.evaluation.scores import by_size
from counterpoise.release.folder import About
from counterpoise.report import answers, charts
from counterpoise.report.listening import DIFFUSION, ROUND_TRIP

ASSETS = Path(__file__).parent / "assets"
STATIC = ("page.css", "page.js")
VEGA_LITE = "6.4"  # of the specifications that Altair writes
SETS = {
    VARIATIONS: "variations",
    CLASSIC: "classical variations",
    ROUND_TRIPS: "round trips",
    TRAINING: "training clips",
}
KINDS = {ROUND_TRIP: "round trip", "classic": "classic", "background": "over a background", DIFFUSION: "diffusion"}
MEASURES = ("recognised", "root_cosine", "kad", "c2st", "near_copies")


@dataclass(frozen=True)
class Run:
    """What the page tells of.

    Attributes:
        dataset: `data.dataset`.
        metrics: the views of `metrics/`, by file name: summary, per_class, seeds, answer, errors, generated, data.
        names: what people read, by slug.
        sounds: how many of each kind there are to hear, by slug.
        embedding: whose embeddings the class filter hears with; None where there is no filter.
        silence: why no variations were made, or "".
        release: the network that is given away, and the folder where it lies; None where there is none.
    """

    dataset: str
    metrics: Mapping[str, dict]
    names: dict[str, str]
    sounds: dict[str, dict[str, int]]
    embedding: str | None
    silence: str
    release: tuple[About, str] | None


def write(run: Run, folder: Path) -> None:
    """Write the page beside the sounds that :class:`listening.Room` left.

    Args:
        run: what to tell.
        folder: of the page; made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in STATIC:
        shutil.copyfile(ASSETS / name, folder / name)
    vega = vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]
    (folder / "vega.js").write_text(f"(() => {{{vega}\n}})();\n", encoding="utf-8")  # its names stay its own
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["short"] = short
    text = environment.get_template("index.html").render(context(run))
    (folder / "index.html").write_text(text, encoding="utf-8")


def context(run: Run) -> dict:
    """What the template reads."""
    answer, seeds = run.metrics["answer"], run.metrics["seeds"]
    order, confused = by_size(seeds["train_clips"]), plots.confusion_table(seeds)
    models = [
        {
            "name": model,
            "sentences": answers.sentences(answer, model),
            "rows": _rows(answer, model, run.metrics["errors"]),
            "opens": _opens(answer, model),
            "scores": [charts.scores(answer, model, metric) for metric in _headlines(answer, model)],
            "classes": [
                charts.classes(run.metrics["per_class"][model], seeds["train_clips"], run.names, kind)
                for kind in OF_CLASS
            ],
            "confusion": charts.confusion(confused, model, run.names, order),
        }
        for model in answer["scores"]
    ]
    return {
        "run": run,
        "models": models,
        "order": order,
        "rare": [run.names[slug] for slug in seeds["rare"]],
        "level": f"{100 * answer['level']:g} %",
        "recordings": run.metrics["data"]["partitions"],
        "baseline": BASELINE,
        "metrics": {name: metric.title for name, metric in METRICS.items()},
        "made": _made(run),
        "kinds": {kind: read for kind, read in KINDS.items() if any(kind in own for own in run.sounds.values())},
        "first": ([slug for slug in order if DIFFUSION in run.sounds[slug]] or order)[-1],
    }


def short(value: float | None, digits: int = 3) -> str:
    """A number from 0 to 1 as .883; a dash for what is not known."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text.removeprefix("0") if 0 <= value < 1 else text


def _headlines(answer: dict, model: str) -> list[str]:
    first = next(iter(answer["scores"][model].values()))
    return [metric for metric in HEADLINES if metric in first]


def _opens(answer: dict, model: str) -> str:
    """The row that charts of single rows show first: the best with diffusion, else the best of all."""
    scores = answer["scores"][model]
    dear = [row for row in scores if not answer["cheap"][row]] or list(scores)
    return max(dear, key=lambda row: scores[row][HEADLINES[0]][0])


def _rows(answer: dict, model: str, errors: dict) -> list[dict]:
    """A row of the table of results: scores with intervals, and what is said of it beside the baseline."""
    verdicts = {
        (one["arm"], one["metric"]): one["verdict"]
        for one in answer["differences"]
        if one["model"] == model and one["against"] == BASELINE
    }
    shown = [metric for metric in METRICS if metric in next(iter(answer["scores"][model].values()))]
    best = {metric: max(own[metric][0] for own in answer["scores"][model].values()) for metric in shown}
    return [
        {
            "name": row,
            "cheap": answer["cheap"][row],
            "scores": {
                metric: {"value": own[metric], "best": own[metric][0] == best[metric], "headline": metric in HEADLINES}
                for metric in shown
            },
            "verdicts": {metric: verdicts.get((row, metric)) for metric in shown if metric in HEADLINES},
            "ece": errors[model]["arms"][row]["ece"],
        }
        for row, own in answer["scores"][model].items()
    ]


def _made(run: Run) -> list[dict]:
    """What was made for each class, beside other sets of sounds, and why candidates were rejected."""
    classes = run.metrics["generated"].get("classes", {})
    return [
        {
            "slug": slug,
            "name": run.names[slug],
            "sets": [
                {"name": read, **{measure: own["sets"][key].get(measure) for measure in ("clips", *MEASURES)}}
                for key, read in SETS.items()
                if key in own["sets"]
            ],
            "rejected": own.get("rejected"),
        }
        for slug, own in classes.items()
        if slug in run.names
    ]
