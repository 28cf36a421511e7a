"""Metrics of fabricated models, as `evaluate` writes them."""

import numpy as np
import pandas as pd
from settings import settings_of

from counterpoise.arms import arm as arms_room
from counterpoise.evaluation import bootstrap, scores
from counterpoise.metrics.intervals import Evaluation

LABELS = ["bark", "howl", "whine"]
SYSTEMS = {"ensemble_of_all_arms": True, "denoisers": False}  # whether they are cheap
TRAIN_CLIPS = {"bark": 120, "howl": 60, "whine": 12}


def metrics_of(hits: dict[str, list[int]]) -> dict[str, dict]:
    """Metrics of a fabricated model: of 20 test clips of each class, each arm and seed gets so many right."""
    truth = np.repeat(LABELS, 20)
    wrong = dict(zip(LABELS, LABELS[1:] + LABELS[:1], strict=True))
    tables = []
    for arm, seeds in hits.items():
        for seed, right in enumerate(seeds):
            predicted = [label if i % 20 < right else wrong[label] for i, label in enumerate(truth)]
            probabilities = np.array([[name == label for label in LABELS] for name in predicted], float)
            ids = [f"c{i}" for i in range(60)]
            clips = pd.DataFrame({"clip_id": ids, "label": truth, "source_id": ids})
            tables.append(scores.predictions(clips, probabilities, LABELS, "cnn", arm, seed, 1))
    table, cheap = pd.concat(tables), {arm: arms_room.is_cheap(arm) for arm in hits} | SYSTEMS
    return {
        **scores.summarise(scores.score_runs(table, LABELS, ["whine"]), TRAIN_CLIPS, ["whine"]),
        "answer": bootstrap.answer(
            bootstrap.bootstrap(table, LABELS, ["whine"], settings_of(Evaluation, resamples=500)), cheap
        ),
        "errors": scores.errors(table, {clip: f"data/raw/{clip}.flac" for clip in ids}),
    }
