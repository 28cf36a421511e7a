"""How good, varied and new the generated sounds of a class are, beside what other sets of sounds score.

A number of generated sounds alone means little, so all sets below are measured in one way, against real clips of
recordings that no model has seen:

- `held_out`: those real clips, one half against the other: as good as it gets.
- `training`: the real clips that the models learned from.
- `round_trip`: these, through the codec and back: the ceiling for whatever is made from latents.
- `classic`: these, augmented classically: what costs nothing.
- `variations`: what the diffusion model made, all of it, and by strength.
- `nearest_class`, `other_classes`: real held-out clips of the wrong class, the nearest one and the mean over all:
  as bad as it should get.

What can mislead:

- An embedding tells what it was trained for. One's own CNN learned the classes from these training clips: it has
  no ear for artefacts that say nothing of the class, and hears its training clips as clearer than any others.
  AudioSet's YAMNet knows neither, so prefer it (`class_filter.embedding: audioset`). KADs of two embeddings cannot be
  compared.
- KAD's scale is that of the class's own held-out clips, so two classes cannot be compared, only sets of one class.
  On few recordings look at the interval, not at the value. FAD is far too large on sets smaller than an embedding, and
  larger for the smaller set.
- Recognition is by the class filter, which learned from the training clips. With `generate.keep: best` it chose the
  variations, by the embeddings in which they are measured here: then its verdict is circular, and KAD and FAD flatter.
- A perfect copy of the training clips scores perfectly on all but novelty.
- After `generate.finish: classic` a memorised clip sounds as new as those of `classic`, which are all copies: read near
  copies and cosine beside theirs.
- These are the test clips. Whoever chooses a strength or a model by them has no unseen test left.
"""

import numpy as np
import pandas as pd
from scipy.spatial.distance import pdist

from counterpoise.assessment.sounds import Sounds
from counterpoise.core import tables
from counterpoise.filtering.class_filter import OTHER_CLASS, ClassFilter
from counterpoise.metrics import c2st, kad
from counterpoise.metrics.intervals import Evaluation

HELD_OUT, TRAINING, ROUND_TRIP, CLASSIC, VARIATIONS = "held_out", "training", "round_trip", "classic", "variations"
NEAREST, OTHERS = "nearest_class", "other_classes"
TABLE = {  # a row a set of sounds; what cannot be measured is empty
    "label": "str",
    "set": "str",
    "strength": "float64",  # of the variations in this row; empty for all of them and for other sets
    "other": "str",  # nearest_class: which it is
    "clips": "int64",
    "recordings": "int64",  # that they were cut or made from
    "kad": "float64",  # to the held-out real clips, times 100; held_out: of one half to the other
    "kad_low": "float64",  # interval over recordings; held_out: over halvings
    "kad_high": "float64",
    "fad": "float64",  # to the held-out real clips
    "recognised": "float64",  # share that the class filter takes for the class; it learned from training clips
    "diversity": "float64",  # mean cosine distance of two sounds
    "vendi": "float64",  # effective number of different sounds among `vendi_of` of them
    "vendi_of": "float64",  # the same for all sets of a class
    "root_cosine": "float64",  # mean likeness to the clip that each was made from
    "nearest": "float64",  # median distance to the nearest training clip; 1: as two real clips of the class
    "second": "float64",  # and to the nearest of another recording
    "near_copies": "float64",  # of training clips
    "c2st": "float64",  # AUC of telling the set from training clips: 0.5 cannot be told, 1 always
    "c2st_low": "float64",  # interval over recordings
    "c2st_high": "float64",
    "silent": "float64",
    "clipped": "float64",
}
VENDI_DRAWS = 20
ABOUT = {
    "kad": "distance to real clips of recordings that no model has seen; 0 is perfect; compare sets of one class only",
    "recognised": "share that the class filter takes for the class; it learned from the training clips",
    "nearest": "distance to the nearest training clip; 1 is that of two real clips of the class",
    "c2st": "area under the ROC curve of telling a set from training clips: 0.5 it cannot be told, 1 it always can",
}


def measure(
    label: str, sets: dict[str, Sounds], others: dict[str, Sounds], class_filter: ClassFilter, settings: Evaluation
) -> pd.DataFrame:
    """Measure the sets of one class, the variations by strength too, and the wrong classes.

    Intervals and C2ST need four recordings on either side, most else two clips; what cannot be had is NaN.

    Args:
        sets: HELD_OUT, TRAINING and VARIATIONS, and those that they are to be compared with.
        others: held-out real clips of the other classes.
        class_filter: recognises, and knows the training clips, among which copies are looked for.

    Returns:
        Rows of TABLE.
    """
    real, training = sets[HELD_OUT], sets[TRAINING]
    unit = float(np.median(pdist(real.embeddings))) if len(real.clips) > 1 else 0.0
    unit = unit if unit > 0 else np.nan
    equals = min(len(sets[name].clips) for name in (HELD_OUT, TRAINING, VARIATIONS))
    rows = []
    for name, strength, sounds in [(name, np.nan, sounds) for name, sounds in sets.items()] + by_strength(sets):
        row = {"label": label, "set": name, "strength": strength, "other": ""}
        row |= _amounts(sounds) | _variety(sounds, equals)
        row |= _halves(real, unit, settings) if name == HELD_OUT else _distance(sounds, real, unit, settings)
        if name != TRAINING:  # which the filter knows, which are no copies, and which C2ST compares with
            row["recognised"] = _recognised(sounds, label, class_filter)
            row |= _newness(sounds, label, class_filter, unit) | _told_apart(sounds, training, settings)
        rows.append(row)
    wrong = [
        {"label": label, "set": NEAREST, "other": other, **_amounts(sounds), **_distance(sounds, real, unit, settings)}
        for other, sounds in others.items()
    ]
    known = [row for row in wrong if not np.isnan(row["kad"])]
    if known:
        nearest = min(known, key=lambda row: row["kad"])
        mean = {name: np.mean([row[name] for row in known]) for name in ("kad", "fad")}
        amounts = {name: sum(row[name] for row in known) for name in ("clips", "recordings")}
        rows += [nearest, {"label": label, "set": OTHERS, "other": "", **amounts, **mean}]
    return tables.table(rows, TABLE)


def by_strength(sets: dict[str, Sounds]) -> list[tuple[str, float, Sounds]]:
    """The variations of each strength, where there is more than one: (VARIATIONS, strength, sounds)."""
    strengths = sets[VARIATIONS].clips.strength
    levels = sorted(strengths.unique())
    return [(VARIATIONS, s, sets[VARIATIONS].of((strengths == s).to_numpy())) for s in levels if len(levels) > 1]


def near_copies(variations: Sounds, label: str, class_filter: ClassFilter) -> list[dict[str, str]]:
    """Each variation that is hardly more than a training clip, and which: `clip_id` and `copies`."""
    found, reference = _novelty(variations, label, class_filter)
    return [
        {"clip_id": clip_id, "copies": reference.clip_id.iloc[nearest]}
        for clip_id, nearest, copy in zip(variations.clips.clip_id, found.nearest, found.near_copy)
        if copy
    ]


def rejections(candidates: pd.DataFrame) -> dict[str, int]:
    """How many candidates (`tables.CANDIDATES`) the class filter rejected, by reason."""
    rejected = candidates[candidates.reason != ""]
    taken = "taken for " + rejected.recognised
    kinds = rejected.reason.where(rejected.reason != OTHER_CLASS, taken)
    return {kind: int(count) for kind, count in kinds.value_counts().sort_index().items()}


def view(table: pd.DataFrame) -> dict:
    """One class's rows of :func:`measure` for JSON: `sets` and `by_strength`, rounded, None for what is not known."""
    measures = list(TABLE)[3:]
    shown = {"sets": {}, "by_strength": {}}
    for row in table.to_dict("records"):
        known = {name: _plain(row[name]) for name in measures if row[name] != ""}
        if row["set"] in (NEAREST, OTHERS):  # of which most is not asked
            known = {name: value for name, value in known.items() if value is not None}
        if np.isnan(row["strength"]):
            shown["sets"][row["set"]] = known
        else:
            shown["by_strength"][f"{row['strength']:g}"] = known
    return shown


def _plain(value: str | float) -> str | float | None:
    if isinstance(value, str):
        return value
    return None if np.isnan(value) else int(value) if float(value).is_integer() else round(float(value), 4)


def _amounts(sounds: Sounds) -> dict:
    return {
        "clips": len(sounds.clips),
        "recordings": sounds.clips.source_id.nunique(),
        "silent": sounds.silent.sum(),
        "clipped": sounds.clipped.sum(),
    }


def _recognised(sounds: Sounds, label: str, class_filter: ClassFilter) -> float:
    return float(
        (class_filter.probabilities(sounds.embeddings).argmax(axis=1) == class_filter.labels.index(label)).mean()
    )


def _distance(sounds: Sounds, real: Sounds, unit: float, settings: Evaluation) -> dict:
    if min(len(sounds.clips), len(real.clips)) < 2 or np.isnan(unit):
        return {"kad": np.nan, "fad": np.nan}
    row = {
        "kad": kad.kad(sounds.embeddings, real.embeddings, unit),
        "fad": kad.fad(sounds.embeddings, real.embeddings),
    }
    groups = sounds.clips.source_id, real.clips.source_id
    if min(g.nunique() for g in groups) >= 4:
        row["kad_low"], row["kad_high"] = kad.kad_interval(
            sounds.embeddings, real.embeddings, *groups, settings.seed, settings.level, settings.resamples, unit
        )
    return row


def _halves(real: Sounds, unit: float, settings: Evaluation) -> dict:
    if real.clips.source_id.nunique() < 4 or np.isnan(unit):
        return {}
    values = kad.kad_of_halves(
        real.embeddings, real.clips.source_id, settings.seed, settings.level, settings.resamples, unit
    )
    return dict(zip(("kad", "kad_low", "kad_high"), values))


def _variety(sounds: Sounds, equals: int) -> dict:
    """The Vendi score grows with the number of sounds, so it is taken of equally many of each set, drawn anew."""
    n = len(sounds.clips)
    row = {"diversity": kad.diversity(sounds.embeddings)} if n > 1 else {}
    if n >= equals > 1:
        rng = np.random.default_rng(0)
        draws = [sounds.embeddings[rng.permutation(n)[:equals]] for _ in range(VENDI_DRAWS)]
        row |= {"vendi": np.mean([kad.vendi(draw) for draw in draws]), "vendi_of": equals}  # type: ignore[dict-item]
    return row


def _novelty(sounds: Sounds, label: str, class_filter: ClassFilter) -> tuple[kad.Novelty, pd.DataFrame]:
    """Among the class's training clips, and the clips of other classes that the sounds started from."""
    parts = [class_filter.reference(name) for name in class_filter.labels]
    embeddings, clips = np.concatenate([part[0] for part in parts]), pd.concat([part[1] for part in parts])
    roots = sounds.clips.get("root_clip_id")
    near = ((clips.label == label) | clips.clip_id.isin([] if roots is None else roots)).to_numpy()
    embeddings, clips = embeddings[near], clips[near].reset_index(drop=True)
    rows = None if roots is None else pd.Index(clips.clip_id).get_indexer(roots)
    return kad.novelty(sounds.embeddings, embeddings, rows, clips.source_id), clips


def _newness(sounds: Sounds, label: str, class_filter: ClassFilter, unit: float) -> dict:
    found, _ = _novelty(sounds, label, class_filter)
    return {
        "root_cosine": found.root_cosine.mean(),
        "nearest": np.median(found.distance) / unit,
        "second": np.median(found.second_distance) / unit,
        "near_copies": found.near_copy.sum(),
    }


def _told_apart(sounds: Sounds, training: Sounds, settings: Evaluation) -> dict:
    groups = sounds.clips.source_id, training.clips.source_id
    if min(g.nunique() for g in groups) < c2st.RECORDINGS:
        return {}
    values = c2st.auc(
        sounds.statistics, training.statistics, *groups, settings.seed, settings.level, settings.resamples
    )
    return dict(zip(("c2st", "c2st_low", "c2st_high"), values))
