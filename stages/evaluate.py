"""evaluate: put classifiers together, score them on the held-out recordings, say what that proves, and draw it."""

import json

import numpy as np
import pandas as pd

from counterpoise.arms import arm as arms
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import tables
from counterpoise.core.settings import Classes, File
from counterpoise.diffusion_classifier import posterior, table
from counterpoise.diffusion_classifier.settings import DiffusionClassifier
from counterpoise.ensembles import fusion, members, systems
from counterpoise.ensembles.settings import DENOISERS, FEATURES, SHALLOW, Ensembles
from counterpoise.ensembles.systems import Answer, Heard, Run
from counterpoise.evaluation import bootstrap, expectation, plots, scores
from counterpoise.metrics.intervals import Evaluation
from counterpoise.splits.split import Split
from stages.base import paths
from stages.base.work import is_empty, run, tell, why_empty


class Params(File):
    arms: list[str]
    classes: Classes
    classifier: Classifier
    diffusion_classifier: DiffusionClassifier
    ensembles: Ensembles
    evaluation: Evaluation
    models: list[str]
    split: Split


def main() -> None:
    p = Params.read()
    labels, names = list(p.classes), {slug: info.name for slug, info in p.classes.items()}
    clips = {part: tables.read(paths.SPLITS / f"{part}.csv", tables.EXAMPLES) for part in ("val", "test")}
    plan = tables.read(paths.PLAN, tables.BALANCE)
    counts, rare = plan.set_index("label").real.to_dict(), plan.label[plan.rare].tolist()

    # What networks say, and what systems of networks and diffusion models say
    networks = networks_of(clips, labels)
    calibration, places, answers = ask(p, clips, labels, counts, networks)

    # Score
    rows = [(model, arm, seed, networks["test"][arm, model, seed]) for arm, model, seed in networks["test"]]
    rows += [(answer.model, answer.system, answer.seed, answer.probabilities) for answer in answers]
    predictions = pd.concat(
        scores.predictions(clips["test"], said, labels, model, arm, seed, p.split.test_fold)
        for model, arm, seed, said in rows
    )
    views = scores.summarise(scores.score_runs(predictions, labels, rare), counts, rare)
    cheap = {arm: arms.load(arm).cheap for arm in p.arms}
    cheap |= {system: p.ensembles.is_cheap(system, cheap) for system, _ in places}
    views["answer"] = bootstrap.answer(bootstrap.bootstrap(predictions, labels, rare, p.evaluation), cheap)
    views["errors"] = scores.errors(predictions, dict(zip(clips["test"].clip_id, clips["test"].path, strict=True)))
    views["systems"] = {"calibration": calibration, "weights": systems.weights(answers)}
    tables.write(predictions, paths.PREDICTIONS, exact=True)
    paths.METRICS.mkdir(exist_ok=True)
    for name, view in views.items():
        (paths.METRICS / f"{name}.json").write_text(json.dumps(view, indent=1) + "\n")

    # Draw
    plots.draw(views, p.models, list(networks["test"]), counts, names, paths.PLOTS)
    tell(paths.METRICS, f"scores of {len(rows):,} runs of classifiers and systems; `counterpoise report` shows them")


def ask(
    p: Params,
    clips: dict[str, pd.DataFrame],
    labels: list[str],
    counts: dict[str, int],
    networks: dict[str, dict[Run, np.ndarray]],
) -> tuple[dict | None, list[tuple[str, str]], list[Answer]]:
    """How the denoisers were calibrated, which systems stand in which tables, and what these say of the test clips."""
    truth = np.array([labels.index(label) for label in clips["val"].label], int)
    priors = {arm: training_prior(arm, labels, p.classifier.real_last) for arm in p.arms}
    calibration, denoisers = calibrated(p.diffusion_classifier, clips, labels, truth)
    readings = {DENOISERS: denoisers, FEATURES: features_of(clips, labels), **shallow_of(clips, labels)}
    heard = {
        part: Heard(
            {run: fusion.log_likelihoods(said, priors[run[0]]) for run, said in networks[part].items()},
            {reading: said[part] for reading, said in readings.items() if said},
        )
        for part in clips
    }
    seeds, prior = p.classifier.seeds, systems.prior(p.ensembles, labels, counts)
    outputs = {DENOISERS: paths.DENOISER_LOSSES, FEATURES: paths.DENOISER_FEATURES}
    outputs |= dict.fromkeys(SHALLOW, paths.SHALLOW)
    absent = {reading: why_empty(folder) for reading, folder in outputs.items() if is_empty(folder)}
    for name in SHALLOW:
        if name not in readings:
            absent.setdefault(name, f"shallow.classifiers does not name {name}")
    if not denoisers:
        absent.setdefault(
            DENOISERS,
            "no validation clips calibrate it (set split.val_fold, or diffusion_classifier.calibration to likelihood)",
        )
    places, left_out = p.ensembles.places(p.arms, p.models, len(seeds), len(clips["val"]), absent)
    for line in left_out:
        print(line)
    answers = list(systems.answers(p.ensembles, places, seeds, heard["val"], truth, heard["test"], prior))
    return calibration, places, answers


def networks_of(clips: dict[str, pd.DataFrame], labels: list[str]) -> dict[str, dict[Run, np.ndarray]]:
    """What every trained network says of these partitions: probabilities in the order of the clips."""
    rows = tables.read(paths.PROBABILITIES, tables.probabilities(labels))
    return {part: members.networks(rows, part, own.clip_id, labels) for part, own in clips.items()}


def training_prior(arm: str, labels: list[str], real_last: float) -> np.ndarray:
    """The class frequencies that an arm's training lets its networks expect; it may end on real clips alone."""
    examples = tables.read(paths.SPLITS / f"train_{arm}.csv", tables.EXAMPLES)
    return np.array([*expectation.expected_frequencies(arms.load(arm), examples, labels, real_last).values()])


def calibrated(
    settings: DiffusionClassifier, clips: dict[str, pd.DataFrame], labels: list[str], truth: np.ndarray
) -> tuple[dict | None, dict[str, np.ndarray]]:
    """How losses are weighed, and the denoisers' log-likelihoods of val and test; nothing if they cannot be had."""
    if is_empty(paths.DENOISER_LOSSES) or (clips["val"].empty and settings.calibration != "likelihood"):
        return None, {}
    losses = tables.read(paths.DENOISER_LOSSES / "losses.csv", table.schema(labels))
    found = {part: table.from_table(losses, own.clip_id.tolist(), labels) for part, own in clips.items()}
    card = json.loads((paths.DENOISER_LOSSES / "card.json").read_text())
    calibration = posterior.calibrate(
        settings.calibration, found["val"], truth, settings.sigmas, card["elements"], np.array(card["volumes"])
    )
    about = {
        "weights": calibration.weights.round(4).tolist(),  # of the levels, or of the bound as a whole
        "offsets": dict(zip(labels, calibration.offsets.round(4).tolist())),
    }
    return about, {part: calibration.log_likelihoods(own) for part, own in found.items()}


def features_of(clips: dict[str, pd.DataFrame], labels: list[str]) -> dict[str, np.ndarray]:
    """The features' log-likelihoods of val and test; nothing if they were not read."""
    if is_empty(paths.DENOISER_FEATURES):
        return {}
    rows = tables.read(paths.DENOISER_FEATURES / "probabilities.csv", table.probabilities(labels))
    return members.balanced(rows, clips, labels)


def shallow_of(clips: dict[str, pd.DataFrame], labels: list[str]) -> dict[str, dict[str, np.ndarray]]:
    """The log-likelihoods of val and test of every classical classifier that was learned, by their names."""
    if is_empty(paths.SHALLOW):
        return {}
    rows = tables.read(paths.SHALLOW / "probabilities.csv", tables.members(labels))
    return {name: members.balanced(own, clips, labels) for name, own in rows.groupby("member", sort=False)}


if __name__ == "__main__":
    run(main)
