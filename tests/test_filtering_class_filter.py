"""The class filter: what it learns, what it rejects, what it keeps."""

import numpy as np
import pandas as pd
import pytest
import torch

from counterpoise.core import seen
from counterpoise.filtering import class_filter, herding
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.metrics import kad

LABELS = ["bark", "howl", "sneeze"]


def cloud(label, count, seed):
    """Embeddings around the class's own place, `[count, 12]`."""
    centre = np.eye(12)[LABELS.index(label)] * 6
    return (centre + np.random.default_rng(seed).normal(size=(count, 12))).astype(np.float32)


def table(clip_ids, labels):
    """Clips of recordings of their own."""
    return pd.DataFrame({"clip_id": clip_ids, "label": labels, "source_id": [f"from {c}" for c in clip_ids]})


@pytest.fixture
def learned():
    embeddings = np.concatenate([cloud(label, 20, i) for i, label in enumerate(LABELS)])
    clips = table([f"c{i}" for i in range(60)], np.repeat(LABELS, 20))
    return ClassFilter.fit(embeddings, clips, LABELS, "own cnn")


def noise(count, level=0.1):
    return level * torch.randn(count, 1, 800, generator=torch.Generator().manual_seed(0))


def test_it_recognises_what_it_has_not_seen(learned):
    for number, label in enumerate(LABELS):
        probabilities = learned.probabilities(cloud(label, 50, 99))
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
        assert (probabilities.argmax(axis=1) == number).mean() > 0.9


def test_two_classes_have_two_probabilities():
    embeddings = np.concatenate([cloud("bark", 9, 0), cloud("howl", 9, 1)])
    clips = table([str(i) for i in range(18)], ["bark"] * 9 + ["howl"] * 9)
    learned = ClassFilter.fit(embeddings, clips, ["bark", "howl"], "own cnn")
    probabilities = learned.probabilities(embeddings)
    assert probabilities.shape == (18, 2) and (probabilities[:9, 0] > 0.5).all() and (probabilities[9:, 1] > 0.5).all()


def test_a_dimension_that_never_moves_is_no_reason_for_nan():
    embeddings = np.concatenate([cloud("bark", 9, 0), cloud("howl", 9, 1)])
    embeddings[:, 5] = 3.0
    clips = table([str(i) for i in range(18)], ["bark"] * 9 + ["howl"] * 9)
    assert np.isfinite(ClassFilter.fit(embeddings, clips, ["bark", "howl"], "x").probabilities(embeddings)).all()


def test_it_comes_back_from_its_folder_and_the_bytes_repeat(learned, tmp_path):
    learned.save(tmp_path / "a")
    loaded = ClassFilter.load(tmp_path / "a")
    loaded.save(tmp_path / "b")
    x = cloud("howl", 5, 3)
    assert np.array_equal(loaded.probabilities(x), learned.probabilities(x)) and loaded.embedding == "own cnn"
    assert loaded.reference("sneeze")[1].clip_id.tolist() == [f"c{i}" for i in range(40, 60)]
    assert seen.read(tmp_path / "a")["clip_ids"] == [f"c{i}" for i in range(60)]
    for name in ("class_filter.json", "class_filter.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_missing_filter_is_told(tmp_path):
    with pytest.raises(class_filter.ClassFilterError, match="dvc repro train_class_filter"):
        ClassFilter.load(tmp_path)


def test_each_fault_is_named(learned):
    reference, clips = learned.reference("bark")
    clip_ids = clips.clip_id.tolist()
    embeddings = np.concatenate([cloud("bark", 3, 50), cloud("howl", 1, 51), reference[4:5] + 1e-3])
    waves = noise(5)
    waves[1] = 0
    waves[2] = waves[2].sign()
    said = class_filter.examine(learned, "bark", waves, embeddings)
    assert said.reason.tolist() == ["", "silent", "clipped", "other class", "near copy"]
    assert said.nearest[4] == clip_ids[4] and said.recognised[3] == "howl"
    assert said.probability[0] > said.probability[3]


def test_a_copy_of_a_recording_is_one_although_another_clip_of_it_is_near():
    embeddings = np.concatenate([cloud("bark", 20, 0), cloud("howl", 20, 1)])
    embeddings[1] = embeddings[0] + 0.1
    clips = table([f"c{i}" for i in range(40)], ["bark"] * 20 + ["howl"] * 20)
    clips.loc[1, "source_id"] = clips.source_id[0]
    learned = ClassFilter.fit(embeddings, clips, ["bark", "howl"], "own cnn")
    assert class_filter.examine(learned, "bark", noise(1), embeddings[:1] + 0.04).iloc[0][
        ["reason", "nearest"]
    ].tolist() == ["near copy", "c0"]


def candidates(rows):
    return pd.DataFrame(rows, columns=["root_clip_id", "probability", "reason"])


def choose(rows, embeddings, wanted):
    """Choose among candidates for a class whose training clips lie in one cloud."""
    training = np.concatenate([cloud("bark", 20, 0), cloud("howl", 20, 1)])
    clips = table([f"c{i}" for i in range(40)], ["bark"] * 20 + ["howl"] * 20)
    learned = ClassFilter.fit(training, clips, ["bark", "howl"], "own cnn")
    return herding.choose(learned, "bark", candidates(rows), np.asarray(embeddings), wanted).tolist()


def test_each_root_keeps_the_one_that_is_most_like_the_class():
    near, far = cloud("bark", 2, 5), cloud("howl", 2, 6)
    rows = [("a", 0.9, ""), ("b", 0.9, ""), ("a", 0.5, ""), ("b", 0.5, ""), ("a", 0.99, "silent")]
    kept = choose(rows, [far[0], near[0], near[1], far[1], near[1]], {"a": 1, "b": 1})
    assert kept == [False, True, True, False, False]


def test_of_equal_candidates_one_is_kept_and_then_a_different_one():
    first, second = cloud("bark", 2, 7)
    rows = [("a", 0.9, "")] * 3
    assert sum(choose(rows, [first, first, second], {"a": 2})[:2]) == 1


def test_where_a_root_has_too_few_good_ones_others_step_in():
    near = cloud("bark", 5, 8)
    rows = [("a", 0.5, "silent"), ("b", 0.9, ""), ("b", 0.6, ""), ("b", 0.7, ""), ("a", 0.9, "clipped")]
    kept = choose(rows, near, {"a": 1, "b": 1})
    assert sum(kept) == 2 and not kept[0] and not kept[4]


def test_what_is_kept_lies_nearer_to_real_sounds_than_what_was_made():
    made = np.concatenate([cloud("bark", 30, 9), cloud("bark", 30, 9)[:1].repeat(30, axis=0)])
    kept = choose([(f"r{i}", 0.9, "") for i in range(60)], made, {f"r{i}": 1 for i in range(0, 60, 2)})
    real = cloud("bark", 40, 10)
    assert sum(kept) == 30
    assert kad.kad(made[kept], real) < kad.kad(made, real)


def test_rejected_ones_are_never_kept_and_the_summary_says_so():
    reasons = ("silent", "near copy", "other class", "")
    rows = [(root, 0.5, reason) for root, reason in zip("aaab", reasons)]
    table = candidates(rows).assign(kept=choose(rows, cloud("bark", 4, 11), {"a": 2, "b": 2}))
    assert table.kept.tolist() == [False, False, False, True]
    line = class_filter.summary("bark", table, 4)
    for part in ("kept 1 of 4", "1 near copies", "1 silent", "1 taken for another class", "4 were wanted"):
        assert part in line
    assert "wanted" not in class_filter.summary("bark", table, 1)


def test_sounds_are_examined_one_by_one():
    training = np.concatenate([cloud("bark", 20, 0), cloud("howl", 20, 1)])
    clips = table([f"c{i}" for i in range(40)], ["bark"] * 20 + ["howl"] * 20)
    learned = ClassFilter.fit(training, clips, ["bark", "howl"], "own cnn")
    made = np.concatenate([cloud("bark", 1, 2), cloud("howl", 1, 3)]).astype(np.float32)
    sounds = [noise(1)[0].numpy(), noise(1)[0].numpy()]
    turns = iter(made)
    verdicts, embeddings = class_filter.examine_all(
        learned, "bark", sounds, lambda wave: torch.from_numpy(next(turns)[None])
    )
    assert verdicts.reason.tolist() == ["", "other class"] and np.array_equal(embeddings, made)
    nothing, none = class_filter.examine_all(learned, "bark", [], lambda wave: wave)
    assert nothing.empty and len(none) == 0


def test_a_model_that_makes_hardly_anything_of_its_class_stops_the_run():
    table = candidates([("a", 0.5, "other class")] * 19 + [("a", 0.9, "")])
    with pytest.raises(class_filter.UselessModel, match="bark: kept 1 of 20 candidates, 19 taken.*generate.keep: all"):
        class_filter.check_useful("bark", table)
    class_filter.check_useful("bark", table.tail(10))
    class_filter.check_useful("bark", table.head(0))
