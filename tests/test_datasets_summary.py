"""The collection: folds that keep recordings together and classes apart evenly, its numbers, and its picture."""

import json

import numpy as np
import pandas as pd
import pytest

from counterpoise.core import tables
from counterpoise.datasets import folds, plots, summary
from counterpoise.datasets.duplicates import Duplicates


def catalogue(recordings: dict[str, int], clips_each: int = 2, fold: int = tables.NO_FOLD) -> pd.DataFrame:
    """So many recordings of each label with so many clips each."""
    rows = [
        {"clip_id": f"{label}_{r}_{c}", "path": f"{label}/{r}_{c}.wav", "label": label, "source_id": f"{label}_{r}"}
        | {"fold": fold, "seconds": 1.5, "sample_rate": 16000, "channels": 1}
        for label, n in recordings.items()
        for r in range(n)
        for c in range(clips_each)
    ]
    return tables.table(rows, tables.CLIPS)


def described(clips: pd.DataFrame, partition: list[str], rejected=(), mended=(), pairs=(), unlabelled=()) -> dict:
    return summary.describe(
        clips,
        pd.Series(partition, index=clips.index),
        tables.table(list(rejected), tables.REJECTED),
        tables.table(list(mended), tables.MENDED),
        Duplicates(tables.table(list(pairs), tables.DUPLICATES)),
        tables.table(list(unlabelled), tables.SPLIT),
    )


def test_folds_hold_whole_recordings_and_something_of_every_class():
    clips = folds.assign_folds(catalogue({"bark": 40, "howl": 10, "sneeze": 5}), folds=5, seed=0)
    assert sorted(clips.fold.unique()) == [1, 2, 3, 4, 5]
    assert (clips.groupby("source_id").fold.nunique() == 1).all()
    assert pd.crosstab(clips.label, clips.fold).to_numpy().tolist() == [[16] * 5, [4] * 5, [2] * 5]


def test_folds_depend_on_the_seed_and_not_on_the_order_of_the_clips():
    clips = catalogue({"bark": 12, "howl": 7})
    dealt = folds.assign_folds(clips, 4, seed=1).set_index("clip_id").fold
    shuffled = folds.assign_folds(clips.sample(frac=1, random_state=0), 4, seed=1).set_index("clip_id").fold
    assert shuffled[dealt.index].equals(dealt)
    assert not folds.assign_folds(clips, 4, seed=2).set_index("clip_id").fold.equals(dealt)


def test_official_folds_stay_and_draw_the_rest_of_their_recordings_to_them():
    clips = catalogue({"bark": 8})
    clips.loc[clips.source_id == "bark_0", "fold"] = [7, tables.NO_FOLD]
    assigned = folds.assign_folds(clips, 3, seed=0)
    assert assigned.fold[assigned.source_id == "bark_0"].tolist() == [7, 7]
    assert set(assigned.fold[assigned.source_id != "bark_0"]) == {1, 2, 3}
    official = catalogue({"bark": 2}, fold=9)
    pd.testing.assert_frame_equal(folds.assign_folds(official, 5, seed=0), official)


@pytest.mark.filterwarnings("error")
def test_a_class_with_fewer_recordings_than_folds_is_dealt_out_all_the_same():
    clips = folds.assign_folds(catalogue({"bark": 10, "sneeze": 2}, clips_each=1), folds=5, seed=0)
    assert sorted(clips.fold[clips.label == "sneeze"]) == [1, 2]
    assert clips.fold[clips.label == "bark"].value_counts().tolist() == [2] * 5


def test_classes_with_fewer_recordings_than_folds_share_the_first_of_them():
    clips = folds.assign_folds(catalogue({"bark": 4, "howl": 2, "yap": 1}), folds=9, seed=0)
    taken = {label: sorted(own.fold.unique()) for label, own in clips.groupby("label")}
    assert taken == {"bark": [1, 2, 3, 4], "howl": [1, 2], "yap": [1]}
    assert (clips.groupby("source_id").fold.nunique() == 1).all()


def test_a_recording_of_two_rare_classes_is_in_one_fold():
    clips = catalogue({"bark": 3, "howl": 3}, clips_each=1)
    clips["source_id"] = ["r0", "r1", "r2", "r2", "r1", "r3"]
    dealt = folds.assign_folds(clips, 5, seed=0)
    assert (dealt.groupby("source_id").fold.nunique() == 1).all()
    assert dealt.groupby("label").fold.nunique().tolist() == [3, 3]


def test_fold_0_is_a_fold_like_others():
    official = catalogue({"bark": 2}, fold=0)
    pd.testing.assert_frame_equal(folds.assign_folds(official, 5, seed=0), official)


def test_one_recording_alone_cannot_be_split():
    with pytest.raises(folds.CollectionError, match=r"All 3 clips come from one recording \(bark_0\)"):
        folds.assign_folds(catalogue({"bark": 1}, clips_each=3), folds=5, seed=0)


def test_everything_is_counted_in_all_by_partition_and_by_class():
    clips = catalogue({"bark": 3, "howl": 2})
    data = described(clips, ["train"] * 4 + ["test"] * 2 + ["train"] * 2 + ["test", "unused"])
    assert (data["clips"], data["recordings"], data["seconds"]) == (10, 5, 15.0)
    assert data["partitions"]["train"] == {"clips": 6, "recordings": 3, "seconds": 9.0}
    assert data["classes"]["howl"]["clips"] == 4
    assert data["classes"]["howl"]["partitions"]["unused"] == {"clips": 1, "recordings": 1, "seconds": 1.5}
    assert data["classes"]["bark"]["partitions"]["val"] == {"clips": 0, "recordings": 0, "seconds": 0.0}
    assert (data["sample_rates"], data["channels"]) == ({"16000": 10}, {"1": 10})
    assert data["imbalance_ratio"] == 2.0
    assert json.loads(json.dumps(data)) == data


def test_rejections_and_mendings_are_counted_by_kind():
    rejected = [
        {"path": "a", "label": "bark", "kind": "too short", "reason": "too short: 0.01 s"},
        {"path": "b", "label": "bark", "kind": "too short", "reason": "too short: 0.02 s"},
        {"path": "c", "label": "bark", "kind": "two labels", "reason": "two labels: same sound as d labelled howl"},
    ]
    notes = [("e", "cut into clips", 3), ("e", "clips left out", 2), ("f", "cut into clips", 14)]
    mended = [{"path": path, "kind": kind, "note": f"{kind} ({n})"} for path, kind, n in notes]
    pairs = [{"clip_id": "c", "twin": "d", "kind": "exact", "similarity": 1, "seconds": 1}]
    data = described(catalogue({"bark": 2}), ["train", "train", "test", "test"], rejected, mended, pairs)
    assert data["rejected"] == {"too short": 2, "two labels": 1}
    assert data["mended"] == {"clips left out": 1, "cut into clips": 2}
    assert data["duplicates"] == {"exact": 2, "near": 0, "left_out": 1}


def test_unlabelled_clips_are_counted_apart():
    form = {"path": "u.wav", "label": "unlabelled", "fold": -1, "seconds": 4.0, "sample_rate": 16000, "channels": 1}
    unlabelled = [
        form | {"clip_id": f"u{i}", "source_id": f"unlabelled/{i // 2}", "partition": "unused" if i == 4 else "train"}
        for i in range(5)
    ]
    rejected = [
        {"path": "a", "label": "bark", "kind": "silent", "reason": "silent"},
        {"path": "b", "label": "unlabelled", "kind": "too short", "reason": "too short: 0.01 s"},
    ]
    pairs = [
        {"clip_id": "bark_0_0", "twin": twin, "kind": kind, "similarity": 1, "seconds": 1}
        for twin, kind in (("bark_1_0", "near"), ("u4", "exact"))
    ]
    clips, partition = catalogue({"bark": 2}), ["train", "train", "test", "test"]
    data = described(clips, partition, rejected, (), pairs, unlabelled)
    assert data["unlabelled"] == {
        "train": {"clips": 4, "recordings": 2, "seconds": 16.0},
        "left_out": {"clips": 1, "recordings": 1, "seconds": 4.0},
        "rejected": {"too short": 1},
    }
    assert data["rejected"] == {"silent": 1}
    without = described(clips, partition, rejected[:1], (), pairs[:1])
    assert data | {"unlabelled": None} == without | {"unlabelled": None}


def test_a_sound_collection_has_no_warnings():
    clips = folds.assign_folds(catalogue({"bark": 10, "howl": 5}), folds=5, seed=0)
    assert described(clips, ["test" if fold == 1 else "train" for fold in clips.fold])["warnings"] == []


def test_warnings_name_the_classes_that_cannot_be_judged():
    clips = folds.assign_folds(catalogue({"bark": 10, "howl": 1, "sneeze": 3}), folds=5, seed=0)
    data = described(clips, ["test" if label == "bark" else "train" for label in clips.label])
    assert data["imbalance_ratio"] is None
    assert data["warnings"] == [
        "bark: no train clip",
        "howl: all 2 clips come from one recording, so it cannot be trained and tested",
        "howl: no test clip",
        "sneeze: 3 recordings for 5 folds, so some folds hold nothing of it",
        "sneeze: no test clip",
    ]


def test_a_recording_that_fills_most_of_a_class_is_named():
    clips = pd.concat([catalogue({"bark": 3, "howl": 3}, 1, fold=1), catalogue({"bark": 1}, 9, fold=1)])
    clips = clips.assign(clip_id=[str(i) for i in range(len(clips))], fold=1).reset_index(drop=True)
    partition = np.where(clips.source_id.isin(["bark_2", "howl_2"]), "test", "train").tolist()
    assert described(clips, partition)["warnings"] == ["bark: 10 of 11 training clips come from one recording (bark_0)"]


def test_a_class_that_its_sample_rate_gives_away_is_named():
    clips = catalogue({"bark": 2, "howl": 2}, fold=1)
    clips["sample_rate"] = np.where(clips.label == "howl", 8000, 44100)
    lines = described(clips, ["train", "train", "test", "test"] * 2)["warnings"]
    assert lines[1] == "howl: its clips have 8000 Hz and others have not, which may give the class away"
    clips["sample_rate"] = [8000, 44100] * 4
    assert described(clips, ["train", "train", "test", "test"] * 2)["warnings"] == []


def test_the_picture_has_the_same_bytes_when_drawn_again_and_grows_with_the_classes(tmp_path):
    few, many = catalogue({"bark": 3, "howl": 2}), catalogue({f"class_{i}": i + 1 for i in range(9)})
    for name, clips in (("first", few), ("again", few), ("many", many)):
        data = described(clips, ["train", "test"] * (len(clips) // 2))
        plots.collection(data, {"bark": "Bark"}, tmp_path / f"{name}.png")
    first = (tmp_path / "first.png").read_bytes()
    assert first.startswith(b"\x89PNG") and first == (tmp_path / "again.png").read_bytes()
    heights = [int.from_bytes((tmp_path / f"{name}.png").read_bytes()[20:24], "big") for name in ("first", "many")]
    assert heights[1] > 2 * heights[0]
