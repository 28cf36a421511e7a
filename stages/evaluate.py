"""evaluate: score every classifier on the held-out recordings, say what that proves, and draw it."""

import json

import pandas as pd

from counterpoise import catalog, evaluation, params, pictures, runtime, statistics
from counterpoise.classifiers import training
from stages import CLASSIFIER, METRICS, PLOTS, PREDICTIONS, SPLITS, cache, run


def main() -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    labels, names = list(p.classes), {slug: info.name for slug, info in p.classes.items()}
    test = catalog.read(SPLITS / "test.csv", catalog.EXAMPLES)
    catalog.check_contents(test)
    counts = catalog.read(SPLITS / "balance.csv", catalog.BALANCE).set_index("label").real.to_dict()

    # Predict
    predictions, curves, kept = [], [], cache("embeddings")
    for model in p.models:
        for arm in p.arms:
            for seed in p.classifier.seeds:
                name = f"{arm}-{model}/seed{seed}"
                network, card = training.load(CLASSIFIER / name, device)
                probabilities = training.predict(
                    network, test, card.audio, p.runtime, device, p.classifier.batch_size, kept
                )
                predictions.append(
                    evaluation.predictions(test, probabilities, card.labels, model, arm, seed, p.split.test_fold)
                )
                curves.append(pictures.curve_table(PLOTS / "training" / name / "plots/metrics", model, arm, seed))

    # Score
    table = pd.concat(predictions)
    rare = evaluation.rare_classes(counts, p.data.scarce.classes)
    views = evaluation.summarise(evaluation.score_runs(table, labels), counts, rare)
    views["answer"] = statistics.answer(statistics.bootstrap(table, labels, rare, p.evaluation))
    views["errors"] = evaluation.errors(table, dict(zip(test.clip_id, test.path)))
    catalog.write(table, PREDICTIONS)
    METRICS.mkdir(exist_ok=True)
    for name, view in views.items():
        (METRICS / f"{name}.json").write_text(json.dumps(view, indent=1) + "\n")

    # Draw
    confusion, per_class = pictures.confusion_table(views["seeds"]), pictures.per_class_table(views["seeds"])
    catalog.write(confusion, PLOTS / "confusion.csv")
    catalog.write(per_class, PLOTS / "per_class.csv")
    catalog.write(pd.concat(curves), PLOTS / "curves.csv")
    for model in p.models:
        pictures.confusion(confusion, model, counts, names, PLOTS / "pictures" / f"confusion_{model}.png")
    pictures.recall_by_arm(per_class, names, PLOTS / "pictures" / "recall_by_arm.png")
    pictures.differences(views["answer"], PLOTS / "pictures" / "differences.png")


if __name__ == "__main__":
    run(main)
