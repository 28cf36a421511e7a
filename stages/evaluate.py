"""evaluate: score every classifier on the held-out recordings, say what that proves, and draw it."""

import json

import pandas as pd

from counterpoise.arms import arm as arms
from counterpoise.classifiers import training
from counterpoise.classifiers.networks import io
from counterpoise.classifiers.settings import Classifier
from counterpoise.core import runtime, tables
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.evaluation import bootstrap, plots, scores
from counterpoise.metrics.intervals import Evaluation
from counterpoise.splits.split import Split
from stages.base import paths
from stages.base.work import cache, run


class Params(File):
    arms: list[str]
    classes: Classes
    classifier: Classifier
    evaluation: Evaluation
    models: list[str]
    runtime: Runtime
    split: Split


def main() -> None:
    p = Params.read()
    device = runtime.setup(p.runtime)
    labels, names = list(p.classes), {slug: info.name for slug, info in p.classes.items()}
    test = tables.read(paths.SPLITS / "test.csv", tables.EXAMPLES)
    tables.check_contents(test)
    plan = tables.read(paths.PLAN, tables.BALANCE)
    counts, rare = plan.set_index("label").real.to_dict(), plan.label[plan.rare].tolist()

    # Predict
    predictions, curves, kept = [], [], cache("embeddings")
    for model in p.models:
        for arm in p.arms:
            for seed in p.classifier.seeds:
                name = f"{arm}-{model}/seed{seed}"
                network, card = io.load(paths.CLASSIFIER / name, device)
                probabilities = training.predict(
                    network, test, card.audio, p.runtime, device, p.classifier.batch_size, kept
                )
                predictions.append(
                    scores.predictions(test, probabilities, card.labels, model, arm, seed, p.split.test_fold)
                )
                curves.append(plots.curve_table(paths.PLOTS / "training" / name / "plots/metrics", model, arm, seed))

    # Score
    table = pd.concat(predictions)
    views = scores.summarise(scores.score_runs(table, labels, rare), counts, rare)
    cheap = {arm: arms.load(arm).cheap for arm in p.arms}
    views["answer"] = bootstrap.answer(bootstrap.bootstrap(table, labels, rare, p.evaluation), cheap)
    views["errors"] = scores.errors(table, dict(zip(test.clip_id, test.path, strict=True)))
    tables.write(table, paths.PREDICTIONS, exact=True)
    paths.METRICS.mkdir(exist_ok=True)
    for name, view in views.items():
        (paths.METRICS / f"{name}.json").write_text(json.dumps(view, indent=1) + "\n")

    # Draw
    confusion, per_class = plots.confusion_table(views["seeds"]), plots.per_class_table(views["seeds"])
    tables.write(confusion, paths.PLOTS / "confusion.csv")
    tables.write(per_class, paths.PLOTS / "per_class.csv")
    tables.write(pd.concat(curves), paths.PLOTS / "curves.csv")
    for model in p.models:
        plots.confusion(confusion, model, counts, names, paths.PLOTS / "pictures" / f"confusion_{model}.png")
    plots.recall_by_arm(per_class, names, paths.PLOTS / "pictures" / "recall_by_arm.png")
    plots.differences(views["answer"], paths.PLOTS / "pictures" / "differences.png")


if __name__ == "__main__":
    run(main)
