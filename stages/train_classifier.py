"""train_classifier: one arm, one model, every seed."""

import functools

import pandas as pd
from dvclive import Live

from counterpoise import catalog, checkpoint, classifiers, params, runtime
from counterpoise.classifiers import training
from stages import CLASSIFIER, PLOTS, PRETRAINED, SPLITS, cache, run, working


def main(arm: str, model: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    name, labels = f"{arm}-{model}", list(p.classes)
    tables = [SPLITS / f"train_{arm}.csv", SPLITS / "val.csv"]
    examples, validation = (catalog.read(table, catalog.EXAMPLES) for table in tables)
    catalog.check_contents(pd.concat([examples, validation]))
    weights = training.class_weights(examples.label.tolist(), labels) if arm == "class_weights" else None
    mixup = p.classifier.mixup_alpha if arm == "mixup" else None
    pretrained = PRETRAINED if model == "yamnet" and p.classifier.init == "audioset" else None

    key = checkpoint.key(
        stage="train_classifier", arm=arm, model=model, classes=labels, audio=p.audio, features=p.features,
        classifier=p.classifier, runtime=p.runtime, tables=[catalog.sha256(table) for table in tables],
        pretrained=pretrained and [catalog.sha256(path) for path in sorted(pretrained.parent.iterdir())],
    )
    card = training.Card(model=model, labels=labels, audio=p.audio, features=p.features, classifier=p.classifier)
    with working(CLASSIFIER / name, key) as folder:
        for seed in p.classifier.seeds:
            network = classifiers.build(model, len(labels), p.audio, p.features, p.classifier, seed, pretrained)
            state = checkpoint.Checkpoint(folder / f"seed{seed}.pt")
            with Live(
                str(PLOTS / "training" / name / f"seed{seed}"),
                save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False,
            ) as live:
                training.train(
                    network, examples, labels, p.audio, p.classifier, p.runtime, device, seed, weights, state,
                    functools.partial(report, live), validation, cache("embeddings"), mixup,
                )
            training.save(CLASSIFIER / name / f"seed{seed}", network, card)


def report(live: Live, step: int, measured: dict[str, float]) -> None:
    live.step = step
    for metric, value in measured.items():
        live.log_metric(metric, round(value, 4))


if __name__ == "__main__":
    run(main)
