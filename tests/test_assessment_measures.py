"""Measures of generated sets: right where the answer is known, and nothing rather than a crash where sets are small."""

import json

import numpy as np
import pandas as pd
import pytest
from settings import settings_of

from counterpoise.assessment import measures
from counterpoise.assessment.measures import CLASSIC, HELD_OUT, NEAREST, OTHERS, ROUND_TRIP, TRAINING, VARIATIONS
from counterpoise.assessment.sounds import Sounds
from counterpoise.core import tables
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.metrics import kad
from counterpoise.metrics.intervals import Evaluation

LABELS = ["bark", "howl", "sneeze"]
SETTINGS = settings_of(Evaluation, resamples=100)


def sounds(name, label, recordings, seed, each=3, shift=0.0, trace=0.0, roots=None, strengths=(1.0,)):
    """Sounds around their class's place; a trace shows in the statistics alone."""
    n = recordings * each
    rng = np.random.default_rng(seed)
    ids = [f"{name}_{label}_{i}" for i in range(n)]
    table = pd.DataFrame(
        {
            "clip_id": ids,
            "label": label,
            "source_id": [f"{roots or name}_{label}_{i // each}" for i in range(n)],
            "root_clip_id": [f"{roots or name}_{label}_{i}" for i in range(n)],
            "strength": [strengths[i % len(strengths)] for i in range(n)],
        }
    )
    embeddings = rng.normal(size=(n, 8)) + 5 * np.eye(8)[LABELS.index(label)] + shift * np.eye(8)[7]
    return Sounds(table, embeddings, rng.normal(size=(n, 6)) + trace, np.zeros(n, bool), np.zeros(n, bool))


def everything(recordings=8, **variations):
    sets = {
        HELD_OUT: sounds("test", "bark", recordings, 0),
        TRAINING: sounds("train", "bark", recordings, 1),
        ROUND_TRIP: sounds("trip", "bark", recordings, 2, trace=1.0, roots="train"),
        CLASSIC: sounds("classic", "bark", recordings, 3, roots="train"),
        VARIATIONS: sounds("varied", "bark", recordings, 4, roots="train", **variations),
    }
    others = {"howl": sounds("test", "howl", recordings, 5), "sneeze": sounds("test", "sneeze", recordings, 6)}
    return sets, others, fitted(sets[TRAINING])


def fitted(barks):
    """A filter that has learned from these barks, and from as many howls and sneezes."""
    recordings = barks.clips.source_id.nunique()
    train = [barks, *(sounds("train", label, recordings, 7 + i) for i, label in enumerate(LABELS[1:]))]
    return ClassFilter.fit(
        np.concatenate([s.embeddings for s in train]), pd.concat([s.clips for s in train]), LABELS, "own"
    )


def measured(**variations):
    sets, others, judge = everything(**variations)
    table = measures.measure("bark", sets, others, judge, SETTINGS)
    return table[table.strength.isna()].set_index("set"), table


def test_anchors_stand_in_the_order_of_what_they_are():
    whole, table = measured(shift=3.0)
    assert list(table.columns) == list(measures.TABLE) and set(table.label) == {"bark"}
    assert list(whole.index) == [HELD_OUT, TRAINING, ROUND_TRIP, CLASSIC, VARIATIONS, NEAREST, OTHERS]
    assert whole.kad[HELD_OUT] < 3 and whole.kad[TRAINING] < 3
    assert 10 < whole.kad[VARIATIONS] < whole.kad[NEAREST] <= whole.kad[OTHERS]
    assert (whole.kad_low < whole.kad)[:-1].all() and (whole.kad < whole.kad_high)[:-1].all()
    assert whole.fad[VARIATIONS] == pytest.approx(9, abs=4) and np.isnan(whole.fad[HELD_OUT])
    assert whole.recognised[VARIATIONS] > 0.9 and np.isnan(whole.recognised[TRAINING])


def test_all_sets_of_a_class_share_one_bandwidth_and_wrong_classes_are_unheard_clips():
    sets, others, judge = everything()
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    real = sets[HELD_OUT].embeddings
    unit = float(np.median([np.linalg.norm(real[i] - real[j]) for i in range(24) for j in range(i)]))
    each = {name: kad.kad(s.embeddings, real, unit) for name, s in others.items()}
    assert table.kad[NEAREST] == pytest.approx(min(each.values()))
    assert table.other[NEAREST] == min(each, key=each.get) and set(table.other.drop(NEAREST)) == {""}
    assert table.kad[OTHERS] == pytest.approx(np.mean(list(each.values())))
    nearest = [min(np.linalg.norm(x - y) for y in sets[TRAINING].embeddings) for x in sets[VARIATIONS].embeddings]
    assert table.nearest[VARIATIONS] == pytest.approx(np.median(nearest) / unit)
    assert (table.second > table.nearest)[[HELD_OUT, ROUND_TRIP, CLASSIC, VARIATIONS]].all()


def test_c2st_sees_the_trace_of_round_trips_and_nothing_in_what_has_none():
    whole, _ = measured()
    assert whole.c2st[ROUND_TRIP] > 0.9 > 0.7 > whole.c2st[CLASSIC]
    assert whole.c2st_low[CLASSIC] < 0.5 < whole.c2st_low[ROUND_TRIP] and np.isnan(whole.c2st[TRAINING])


def test_each_strength_is_measured_alone_beside_all_of_them():
    _, table = measured(strengths=(0.5, 1.0, 2.0))
    rows = table[table.strength.notna()]
    assert rows.strength.tolist() == [0.5, 1.0, 2.0] and rows.clips.tolist() == [8, 8, 8]
    assert rows.kad.nunique() == 3 and set(rows.set) == {VARIATIONS}
    assert measured()[1].strength.isna().all()  # one strength is all of them


def test_vendi_is_taken_of_equally_many():
    sets, others, judge = everything()
    sets[VARIATIONS] = sounds("varied", "bark", 8, 4, each=12, roots="train")
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    assert (table.vendi_of[:5] == 24).all()
    assert table.vendi[VARIATIONS] < 1.2 * table.vendi[TRAINING]
    alone = kad.vendi(sets[VARIATIONS].embeddings)
    assert alone > table.vendi[VARIATIONS]


def test_copies_are_named_with_what_they_copy():
    sets, others, judge = everything()
    made, reference = sets[VARIATIONS], sets[TRAINING]
    made.embeddings[5] = reference.embeddings[11]
    assert measures.near_copies(made, "bark", judge) == [{"clip_id": "varied_bark_5", "copies": "train_bark_11"}]
    assert measures.measure("bark", sets, others, judge, SETTINGS).set_index("set").near_copies[VARIATIONS] == 1


def test_a_second_clip_of_the_recording_does_not_hide_a_copy():
    sets, _, _ = everything()
    made, reference = sets[VARIATIONS], sets[TRAINING].embeddings
    reference[10] = reference[9] + 0.01  # clips 9 to 11 are of one recording
    made.embeddings[5] = reference[9] - 0.01
    copies = measures.near_copies(made, "bark", fitted(sets[TRAINING]))
    assert copies == [{"clip_id": "varied_bark_5", "copies": "train_bark_9"}]


def test_a_variation_of_another_classs_clip_is_compared_with_its_root():
    sets, others, judge = everything()
    made = sets[VARIATIONS]
    howls, clips = judge.reference("howl")
    made.clips["root_clip_id"] = [*clips.clip_id][::-1]
    made.embeddings[3] = howls[::-1][3]
    expected = {"clip_id": "varied_bark_3", "copies": made.clips.root_clip_id[3]}
    assert measures.near_copies(made, "bark", judge) == [expected]
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    assert table.root_cosine[VARIATIONS] < 0.9 and table.near_copies[VARIATIONS] == 1
    made.embeddings[:] = howls[::-1]
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    assert table.root_cosine[VARIATIONS] == pytest.approx(1, abs=1e-6)


def test_silence_and_clipping_are_counted():
    sets, others, judge = everything()
    sets[VARIATIONS].silent[:2], sets[VARIATIONS].clipped[:3] = True, True
    row = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set").loc[VARIATIONS]
    assert (row.silent, row.clipped, row.clips, row.recordings) == (2, 3, 24, 8)


@pytest.mark.parametrize("recordings", [1, 2, 3])
def test_small_classes_have_no_intervals_and_do_not_crash(recordings):
    sets, others, judge = everything(recordings)
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    assert table[["kad_low", "kad_high", "c2st"]].isna().all(axis=None)
    assert np.isfinite(table.kad[VARIATIONS]) and np.isnan(table.kad[HELD_OUT])
    json.dumps(measures.view(table.reset_index()), allow_nan=False)


@pytest.mark.parametrize("name", [HELD_OUT, TRAINING, VARIATIONS])
def test_a_single_clip_has_no_distance_and_does_not_crash(name):
    sets, others, judge = everything()
    sets[name] = sets[name].of(np.arange(24) == 0)
    table = measures.measure("bark", sets, others, judge, SETTINGS).set_index("set")
    assert np.isnan(table.diversity[name]) and table.vendi.isna().all() and np.isnan(table.kad[name])
    assert np.isnan(table.kad[ROUND_TRIP]) == (name == HELD_OUT)
    json.dumps(measures.view(table.reset_index()), allow_nan=False)


def test_real_clips_that_are_all_alike_have_no_distance():
    sets, others, judge = everything()
    sets[HELD_OUT].embeddings[:] = 1.0
    table = measures.measure("bark", sets, others, judge, SETTINGS)
    assert table.kad.isna().all() and NEAREST not in set(table.set)


def test_the_view_is_json_with_null_for_what_is_not_known():
    _, table = measured(strengths=(0.5, 2.0))
    shown = json.loads(json.dumps(measures.view(table), allow_nan=False))
    assert list(shown["by_strength"]) == ["0.5", "2"] and set(shown["sets"]) == set(table.set)
    assert shown["sets"][TRAINING]["c2st"] is None and shown["sets"][VARIATIONS]["clips"] == 24
    assert shown["sets"][VARIATIONS]["kad"] == round(table.kad[table.set == VARIATIONS].iloc[0], 4)
    assert shown["sets"][NEAREST]["other"] in LABELS and None not in shown["sets"][NEAREST].values()
    assert set(shown["sets"][OTHERS]) == {"clips", "recordings", "kad", "fad"}


def test_the_same_sets_give_the_same_table():
    pd.testing.assert_frame_equal(measured()[1], measured()[1])


def test_rejections_are_counted_by_reason():
    reasons = ["", "near copy", "near copy", "other class", "other class", "silent"]
    table = tables.table(
        [
            {
                "reason": r,
                "clip_id": str(i),
                "probability": 0.5,
                "kept": r == "",
                "root_clip_id": "a",
                "recognised": "howl",
                "nearest": "a",
            }
            for i, r in enumerate(reasons)
        ],
        tables.CANDIDATES,
    )
    assert measures.rejections(table) == {"near copy": 2, "silent": 1, "taken for howl": 2}
    assert measures.rejections(table.head(1)) == {}
