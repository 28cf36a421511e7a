"""The bootstrap against textbook variances and Student's test, what it calls sure, and what it refuses to."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from settings import settings_of

from counterpoise.evaluation import bootstrap, scores
from counterpoise.metrics.intervals import Evaluation

LABELS = ["bark", "howl", "whine"]
CHEAP = {"none": True, "classic": True, "mixup": True, "diffusion": False, "diffusion_classic": False}
SETTINGS = settings_of(Evaluation, resamples=2000)


def predictions(hits: dict, copies: int = 1, fold: int = 0) -> pd.DataFrame:
    """A table of fabricated runs: `hits` {(arm, seed): bool [recordings of each class] by class}.

    The class that a clip is taken for has a probability of 0.6, and the others share the rest.
    """
    labels = list(next(iter(hits.values())))
    rows = [
        {
            "clip_id": f"{label}{r}_{c}",
            "label": label,
            "source_id": f"{label}{r}",
            "fold": fold,
            "model": "cnn",
            "arm": arm,
            "seed": seed,
            "predicted": label if right else wrong,
            "true_probability": 0.6 if right else 0.4 / (len(labels) - 1),
            "confidence": 0.6,
            **{f"probability/{one}": 0.4 / (len(labels) - 1) for one in labels},
            f"probability/{label if right else wrong}": 0.6,
        }
        for (arm, seed), by_label in hits.items()
        for (label, recordings), wrong in zip(by_label.items(), [*list(by_label)[1:], next(iter(by_label))])
        for r, right in enumerate(recordings)
        for c in range(copies)
    ]
    return pd.DataFrame(rows).astype(scores.columns(labels))


def luck(rng: np.random.Generator, chances: dict[str, float], seeds: int = 3, recordings: int = 20) -> dict:
    """Runs that get each recording right by chance, the same recordings easy for all of them."""
    easy = rng.normal(0, 0.3, (len(LABELS), recordings))
    return {
        (arm, seed): {label: rng.random(recordings) < np.clip(chance + easy[k], 0, 1) for k, label in enumerate(LABELS)}
        for arm, chance in chances.items()
        for seed in range(seeds)
    }


def test_estimates_are_those_of_the_summary():
    table = predictions(luck(np.random.default_rng(0), {"none": 0.5, "classic": 0.7}))
    found = bootstrap.bootstrap(table, LABELS, ["howl", "whine"], SETTINGS)
    views = scores.summarise(
        scores.score_runs(table, LABELS, ["howl", "whine"]), {"bark": 9, "howl": 3, "whine": 2}, ["howl", "whine"]
    )
    for arm, own in views["summary"]["cnn"].items():
        assert {metric: found.estimate("cnn", arm, metric) for metric in own} == pytest.approx(own, abs=1e-4)
        for label in LABELS:
            for kind in ("recall", "ap"):
                mean = views["per_class"]["cnn"][arm][label][kind]
                assert found.estimate("cnn", arm, f"{kind}/{label}") == pytest.approx(mean, abs=1e-4)


def test_the_luck_of_few_recordings_has_the_unbiased_variance():
    right = np.array([True, True, True, False])
    found = bootstrap.bootstrap(
        predictions({("none", 0): dict.fromkeys(LABELS, right)}), LABELS, [], settings_of(Evaluation, resamples=20_000)
    )
    draws = found.resampled["cnn", "none"][:, found.metrics.index("recall/bark")]
    assert draws.mean() == pytest.approx(0.75, abs=0.01)
    assert draws.var() == pytest.approx(right.var(ddof=1) / 4, rel=0.03)  # plain resampling gives three quarters of it


def test_clips_of_a_recording_rise_and_fall_together():
    hits = luck(np.random.default_rng(1), {"none": 0.5})
    once, five = (bootstrap.bootstrap(predictions(hits, n), LABELS, [], SETTINGS) for n in (1, 5))
    np.testing.assert_allclose(once.resampled["cnn", "none"], five.resampled["cnn", "none"])


def test_no_class_vanishes_from_a_draw():
    hits = {("none", 0): {"bark": [True] * 20, "howl": [True, True], "whine": [True]}}
    found = bootstrap.bootstrap(predictions(hits), LABELS, ["whine"], SETTINGS)
    assert found.resampled["cnn", "none"].min() == pytest.approx(1)


def test_every_class_keeps_its_weight_in_every_draw():
    hits = {("none", 0): {"bark": [True] * 20, "howl": [False, False], "whine": [False]}}
    found = bootstrap.bootstrap(predictions(hits), LABELS, [], SETTINGS)
    np.testing.assert_allclose(found.resampled["cnn", "none"][:, found.metrics.index("accuracy")], 20 / 23)


def test_without_luck_of_recordings_the_interval_of_two_arms_is_students():
    accuracy = {"none": [0.3, 0.5, 0.4], "classic": [0.6, 0.7, 0.9]}
    hits = {}
    for arm, values in accuracy.items():  # all recordings of a class alike, as many classes right as it takes
        for seed, value in enumerate(values):
            hits[arm, seed] = {label: [k < 10 * value] * 4 for k, label in enumerate("abcdefghij")}
    labels = list("abcdefghij")
    found = bootstrap.bootstrap(predictions(hits), labels, [], settings_of(Evaluation, resamples=20_000))
    student = stats.ttest_rel(accuracy["classic"], accuracy["none"]).confidence_interval(0.95)
    one = found.difference("cnn", "classic", "none", "accuracy")
    assert (one.low, one.high) == (pytest.approx(student.low, abs=0.02), pytest.approx(student.high, abs=0.02))
    corrected = stats.ttest_rel(accuracy["classic"], accuracy["none"]).confidence_interval(1 - 0.05 / 8)
    many = found.difference("cnn", "classic", "none", "accuracy", comparisons=8)
    assert many.corrected_high == pytest.approx(corrected.high, rel=0.05)
    assert (many.low, many.high, many.p) == (one.low, one.high, one.p)


def test_more_arms_tell_more_of_the_luck_of_training():
    hits = luck(np.random.default_rng(2), {"none": 0.5, "classic": 0.6, "mixup": 0.5, "oversample": 0.5})
    two = {(arm, seed): runs for (arm, seed), runs in hits.items() if arm in ("none", "classic")}
    few = bootstrap.bootstrap(predictions(two), LABELS, [], SETTINGS)
    many = bootstrap.bootstrap(predictions(hits), LABELS, [], SETTINGS)
    narrow, wide = (found.difference("cnn", "classic", "none", "accuracy", 50) for found in (many, few))
    assert narrow.corrected_high - narrow.corrected_low < wide.corrected_high - wide.corrected_low


def test_copies_of_an_arm_tell_nothing_of_the_luck_of_training():
    hits = luck(np.random.default_rng(4), {"none": 0.5, "class_weights": 0.6, "mixup": 0.5})
    copied = hits | {(arm, seed): hits["none", seed] for arm in ("classic", "roundtrip") for seed in range(3)}
    few, many = (bootstrap.bootstrap(predictions(table), LABELS, [], SETTINGS) for table in (hits, copied))
    assert few.difference("cnn", "class_weights", "none", "accuracy") == many.difference(
        "cnn", "class_weights", "none", "accuracy"
    )
    assert few.interval("cnn", "mixup", "accuracy") == many.interval("cnn", "mixup", "accuracy")


def test_systems_tell_nothing_of_the_luck_of_training():
    """Two rows that repeat the luck of `none` would make it look small; they change no interval between arms."""
    rng = np.random.default_rng(3)
    hits = luck(rng, {"none": 0.4, "classic": 0.5, "mixup": 0.6})
    alone = bootstrap.bootstrap(predictions(hits), LABELS, ["whine"], SETTINGS)
    same = {("three_none", seed): hits["none", 0] for seed in range(3)}
    shifted = {("two_none", seed): hits["none", (seed + 1) % 3] for seed in range(3)}
    together = bootstrap.bootstrap(predictions({**hits, **same, **shifted}), LABELS, ["whine"], SETTINGS)
    for metric in ("macro_f1", "rare_ap"):
        assert alone.difference("cnn", "mixup", "none", metric) == together.difference("cnn", "mixup", "none", metric)
        assert alone.interval("cnn", "none", metric) == together.interval("cnn", "none", metric)


def test_equal_arms_have_equal_draws_and_a_clear_gain_helps():
    rng = np.random.default_rng(3)
    hits = luck(rng, {"none": 0.3, "diffusion": 0.8})
    hits |= {("classic", seed): hits["none", seed] for seed in range(3)}
    found = bootstrap.bootstrap(predictions(hits), LABELS, ["howl", "whine"], SETTINGS)
    same = found.difference("cnn", "classic", "none", "rare_ap")
    assert (same.mean, same.low, same.high, same.verdict) == (0, 0, 0, "cannot tell") and same.p > 0.9
    np.testing.assert_array_equal(found.resampled["cnn", "classic"], found.resampled["cnn", "none"])
    gain = found.difference("cnn", "diffusion", "none", "rare_ap", comparisons=10)
    assert gain.corrected_low < gain.low < gain.mean < gain.high < gain.corrected_high
    assert gain.verdict == "helps" and gain.corrected_low > 0 and gain.p == 2 / 2001
    assert found.difference("cnn", "none", "diffusion", "rare_ap", comparisons=10).verdict == "hurts"


def test_the_verdict_is_that_of_the_corrected_interval():
    hits = luck(np.random.default_rng(8), {"none": 0.4, "classic": 0.65, "mixup": 0.5})
    found = bootstrap.bootstrap(predictions(hits), LABELS, [], SETTINGS)
    alone, of_many = (found.difference("cnn", "classic", "none", "accuracy", m) for m in (1, 100_000))
    assert of_many.corrected_low < 0 < of_many.low
    assert (alone.verdict, of_many.verdict) == ("helps", "cannot tell")


def test_the_interval_covers_and_noise_is_seldom_called_a_gain():
    covered = told = 0
    for world in range(60):
        hits = luck(np.random.default_rng(world), {"none": 0.5, "classic": 0.5, "mixup": 0.5}, recordings=8)
        found = bootstrap.bootstrap(predictions(hits), LABELS, [], settings_of(Evaluation, resamples=300))
        one = found.difference("cnn", "classic", "none", "macro_f1")
        covered += one.low <= 0 <= one.high
        told += one.verdict != "cannot tell"
    assert covered >= 54 and told <= 6


def test_one_seed_and_unanimous_but_few_recordings_cannot_be_told():
    single = {("none", 0): dict.fromkeys(LABELS, [False] * 20), ("diffusion", 0): dict.fromkeys(LABELS, [True] * 20)}
    few = {
        (arm, seed): {"bark": [True] * 20, "howl": [arm == "diffusion"] * 5, "whine": [arm == "diffusion"] * 6}
        for arm in ("none", "diffusion")
        for seed in range(3)
    }
    found = bootstrap.bootstrap(predictions(single), LABELS, [], SETTINGS)
    assert found.difference("cnn", "diffusion", "none", "accuracy").verdict == "cannot tell"
    sentence = bootstrap.answer(found, CHEAP)["differences"][0]["sentence"]
    assert "too few seeds or recordings" in sentence
    found = bootstrap.bootstrap(predictions(few), LABELS, [], SETTINGS)
    five, six = (found.difference("cnn", "diffusion", "none", f"recall/{label}") for label in ("howl", "whine"))
    assert (five.mean, five.p, five.verdict) == (1, 2**-4, "cannot tell")
    assert (six.mean, six.p, six.verdict) == (1, 2**-5, "helps")


def test_metrics_are_computed_in_each_fold_and_averaged():
    small = predictions({("none", 0): dict.fromkeys(LABELS, [True] * 2)}, fold=1)
    large = predictions({("none", 0): dict.fromkeys(LABELS, [False] * 50)}, fold=2)
    large["clip_id"], large["source_id"] = "other_" + large.clip_id, "other_" + large.source_id
    found = bootstrap.bootstrap(pd.concat([small, large]), LABELS, [], SETTINGS)
    assert found.estimate("cnn", "none", "accuracy") == 0.5
    assert found.recordings["accuracy"] == 3 * 52 and found.freedom["recall/bark"] == 50
    assert found.resampled["cnn", "none"][:, found.metrics.index("accuracy")].mean() == pytest.approx(0.5)


def test_the_order_of_the_table_and_another_run_change_no_draw():
    table = predictions(luck(np.random.default_rng(4), {"none": 0.5, "classic": 0.6}))
    shuffled = table.sample(frac=1, random_state=0)
    first, second = (bootstrap.bootstrap(rows, LABELS, ["whine"], SETTINGS) for rows in (table, shuffled))
    assert bootstrap.answer(first, CHEAP) == bootstrap.answer(second, CHEAP)
    other = bootstrap.bootstrap(table, LABELS, ["whine"], settings_of(Evaluation, resamples=2000, seed=1))
    assert other.interval("cnn", "none", "macro_f1") != first.interval("cnn", "none", "macro_f1")


def test_runs_that_cannot_be_paired_are_named():
    hits = luck(np.random.default_rng(5), {"none": 0.5, "classic": 0.6})
    table = predictions(hits)
    with pytest.raises(bootstrap.StatisticsError, match="cnn classic, seed 2, test fold 0"):
        bootstrap.bootstrap(table[(table.arm == "none") | (table.seed < 2)], LABELS, [], SETTINGS)
    with pytest.raises(bootstrap.StatisticsError, match="cnn classic 1 was tested on other clips of fold 0"):
        gone = (table.arm == "classic") & (table.seed == 1) & (table.clip_id == "bark3_0")
        bootstrap.bootstrap(table[~gone], LABELS, [], SETTINGS)
    found = bootstrap.bootstrap(table, LABELS, [], SETTINGS)
    with pytest.raises(bootstrap.StatisticsError, match="mixup.*`arms`"):
        found.difference("cnn", "mixup", "none", "macro_f1")
    with pytest.raises(bootstrap.StatisticsError, match="rare_ap"):
        found.difference("cnn", "classic", "none", "rare_ap")


def test_the_answer_compares_with_nothing_and_diffusion_with_the_best_cheap_one():
    chances = {"none": 0.4, "classic": 0.9, "mixup": 0.5, "diffusion": 0.8, "diffusion_classic": 0.8}
    found = bootstrap.bootstrap(predictions(luck(np.random.default_rng(6), chances)), LABELS, ["whine"], SETTINGS)
    answer = bootstrap.answer(found, CHEAP)
    assert json.loads(json.dumps(answer)) == answer
    assert answer["level"] == 0.95
    assert answer["cheap"] == CHEAP
    for metric in ("rare_ap", "rare_recall", "mean_ap", "ap/howl"):
        mean, low, high = answer["scores"]["cnn"]["classic"][metric]
        assert 0 <= low < mean < high <= 1
    rows = pd.DataFrame(answer["differences"])
    rare = rows[rows.metric == "rare_ap"]
    assert list(zip(rare.arm, rare.against)) == [
        ("classic", "none"),
        ("mixup", "none"),
        ("diffusion", "none"),
        ("diffusion_classic", "none"),
        ("diffusion", "classic"),
        ("diffusion_classic", "classic"),
    ]
    assert set(rare.comparisons) == {6} and set(rows[rows.metric == "recall/howl"].comparisons) == {18}
    assert list(rows.metric.unique()) == ["macro_f1", "rare_ap", *(f"recall/{label}" for label in LABELS)]
    expected = found.difference("cnn", "diffusion", "classic", "macro_f1", 6)
    row = rows[(rows.metric == "macro_f1") & (rows.arm == "diffusion") & (rows.against == "classic")].iloc[0]
    assert row["mean"] == round(expected.mean, 4) and row.corrected_low == round(expected.corrected_low, 4)
    assert row.sentence.startswith("diffusion against classic, the best cheap one: macro-F1 ")
    assert row.sentence.endswith(row.verdict)


def test_without_a_baseline_or_a_cheap_arm_there_is_less_to_compare():
    hits = luck(np.random.default_rng(7), {"diffusion": 0.5, "classic": 0.5})
    rows = bootstrap.answer(bootstrap.bootstrap(predictions(hits), LABELS, [], SETTINGS), CHEAP)["differences"]
    assert {(row["arm"], row["against"]) for row in rows} == {("diffusion", "classic")}
    hits = luck(np.random.default_rng(7), {"none": 0.5})
    assert bootstrap.answer(bootstrap.bootstrap(predictions(hits), LABELS, [], SETTINGS), CHEAP)["differences"] == []


def test_systems_are_compared_like_arms_and_are_cheap_as_they_are_told_to_be():
    """The baseline and what needs diffusion are never the best cheap one, however good; of equals it is the first."""
    hits = luck(np.random.default_rng(9), {"none": 0.9, "few": 0.4, "ensemble": 0.7, "denoisers": 0.8})
    hits |= {("twin", seed): hits["ensemble", seed] for seed in range(3)}
    found = bootstrap.bootstrap(predictions(hits), LABELS, ["whine"], SETTINGS)
    cheap = {"none": True, "few": True, "ensemble": True, "twin": True, "denoisers": False}
    against = [pair for pair in bootstrap.comparisons(found, "cnn", "macro_f1", cheap) if pair[1] != "none"]
    assert against == [("denoisers", "ensemble")]
    against = [row for row in bootstrap.answer(found, cheap)["differences"] if row["against"] == "ensemble"]
    assert {row["arm"] for row in against} == {"denoisers"}
    dear = cheap | {"ensemble": False, "twin": False}
    against = [pair for pair in bootstrap.comparisons(found, "cnn", "macro_f1", dear) if pair[1] != "none"]
    assert sorted(against) == [("denoisers", "few"), ("ensemble", "few"), ("twin", "few")]
    with pytest.raises(bootstrap.StatisticsError, match="whether twin needs a diffusion model"):
        bootstrap.answer(found, {arm: cheap[arm] for arm in cheap if arm != "twin"})


def test_an_arm_is_compared_with_arms_and_a_system_with_all():
    hits = luck(
        np.random.default_rng(9), {"none": 0.4, "classic": 0.5, "diffusion": 0.6, "pair": 0.8, "denoisers": 0.7}
    )
    found = bootstrap.bootstrap(predictions(hits), LABELS, ["whine"], SETTINGS)
    cheap = {"none": True, "classic": True, "diffusion": False, "pair": True, "denoisers": False}
    against = [pair for pair in bootstrap.comparisons(found, "cnn", "macro_f1", cheap) if pair[1] != "none"]
    assert against == [("diffusion", "classic"), ("denoisers", "pair")]


def test_a_gain_in_order_alone_helps_rare_ap_and_leaves_rare_recall():
    """All clips are taken for barks under both arms; `classic` gives rare clips higher probabilities of their class."""
    table = predictions(luck(np.random.default_rng(10), {"none": 0.5, "classic": 0.5}))
    rng = np.random.default_rng(11)
    rare = rng.uniform(0, 0.3, len(table)) + np.where((table.arm == "classic") & (table.label == "whine"), 0.15, 0)
    probability = {"probability/bark": 0.5, "probability/howl": 0.5 - rare, "probability/whine": rare}
    found = bootstrap.bootstrap(table.assign(predicted="bark", **probability), LABELS, ["whine"], SETTINGS)
    assert found.difference("cnn", "classic", "none", "rare_ap").verdict == "helps"
    assert found.difference("cnn", "classic", "none", "rare_recall").mean == 0
