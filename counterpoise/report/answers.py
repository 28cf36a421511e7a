"""What the run found, in sentences."""

from counterpoise.evaluation.metrics import HEADLINES, METRICS

VERDICTS = {
    "helps": "Diffusion helps.",
    "hurts": "Diffusion hurts.",
    "cannot tell": "Whether diffusion helps cannot be told from chance.",
}
NO_DIFFUSION = "No row of this run needs a diffusion model, so it says nothing of diffusion."
NOTHING_CHEAP = (
    "This run has no row without diffusion beside the baseline, so diffusion is compared with nothing cheap."
)


def sentences(answer: dict, model: str) -> list[str]:
    """The answer first, then what it rests on: the best row with diffusion against the best without, by each headline.

    The best rows are chosen with hindsight, by the same test clips; `bootstrap.comparisons` says of whom.

    Args:
        answer: `metrics/answer.json`.
        model: whose rows.
    """
    scores, cheap = answer["scores"][model], answer["cheap"]
    dear = [row for row in scores if not cheap[row]]
    if not dear:
        return [NO_DIFFUSION]
    told, verdict_of = [], {}
    for metric in HEADLINES:
        if metric not in scores[dear[0]]:
            continue  # no class is rare
        best = max(dear, key=lambda row: scores[row][metric][0])
        against = [
            one
            for one in answer["differences"]
            if (one["model"], one["metric"], one["arm"]) == (model, metric, best) and cheap[one["against"]]
        ]
        if not against:
            return [NOTHING_CHEAP]
        one = against[-1]  # the baseline comes first, the best cheap row last
        verdict_of[metric] = one["verdict"]
        told.append(
            f"By {METRICS[metric].title} the best row with diffusion is {best} with {_short(scores[best][metric][0])}; "
            f"against {one['against']} with {_short(scores[one['against']][metric][0])} the difference is "
            f"{one['mean']:+.3f} [{one['corrected_low']:+.3f}, {one['corrected_high']:+.3f}]{_told(one['verdict'])}."
        )
    return [_verdict(verdict_of), *told]


def _verdict(verdict_of: dict[str, str]) -> str:
    """One sentence where all headlines agree, else one with each of them."""
    if len(set(verdict_of.values())) == 1:
        return VERDICTS[next(iter(verdict_of.values()))]
    parts = ", ".join(f"{METRICS[metric].title}: {verdict}" for metric, verdict in verdict_of.items())
    return f"Headlines disagree about diffusion ({parts})."


def _told(verdict: str) -> str:
    return ", which may be chance" if verdict == "cannot tell" else f", and {verdict}"


def _short(score: float) -> str:
    return f"{score:.3f}".removeprefix("0")
