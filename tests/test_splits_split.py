import itertools
import json

import pandas as pd
import pytest
from settings import settings_of

from counterpoise.core import tables
from counterpoise.datasets.settings import Data
from counterpoise.splits import audit, split
from counterpoise.splits.split import Split

FOLDS = range(1, 6)


def collection(labels=("bark", "siren"), recordings_a_fold=8, clips_a_recording=3):
    """Recordings that each lie in one fold; every second one holds clips of the next class too."""
    rows = []
    for number, label in enumerate(labels):
        for fold in FOLDS:
            for recording in range(recordings_a_fold):
                source = f"{label}{fold}{recording:02d}"
                for clip in range(clips_a_recording):
                    other = labels[(number + 1) % len(labels)] if clip == 2 and recording % 2 else label
                    rows.append((f"{source}-{clip}", f"/audio/{source}-{clip}.wav", other, source, fold, 4.0, 16000, 1))
    return pd.DataFrame(rows, columns=list(tables.CLIPS)).astype(tables.CLIPS)


def data(**values):
    return settings_of(Data, dataset="urbansound8k", path="somewhere", **values)


def held_out(**values):
    return settings_of(Split, **{"val_fold": None, "val_fraction": 0.0} | values)


def kept(clips, partitions, label, column):
    return set(clips.loc[(clips.label == label) & (partitions == "train"), column])


# The split


def test_the_test_fold_is_test_the_val_fold_is_val_and_the_rest_trains():
    clips = collection()
    partitions = split.partition(clips, held_out(test_fold=5, val_fold=2), data())
    by_fold = {fold: set(partitions[clips.fold == fold]) for fold in FOLDS}
    assert by_fold == {1: {"train"}, 2: {"val"}, 3: {"train"}, 4: {"train"}, 5: {"test"}}


def test_val_fraction_holds_out_whole_recordings_of_several_classes_outside_the_test_fold():
    clips = collection(recordings_a_fold=40)
    partitions = split.partition(clips, held_out(test_fold=5, val_fraction=0.25), data())
    sides = partitions.groupby(clips.source_id).agg(set)
    assert (sides.map(len) == 1).all()
    assert set(partitions[clips.fold == 5]) == {"test"}
    share = (partitions[clips.fold != 5] == "val").mean()
    assert 0.17 < share < 0.33


@pytest.mark.parametrize("seed", range(5))
def test_val_fraction_never_empties_a_class_of_few_recordings(seed):
    clips = collection()
    rare = clips[(clips.label == "siren") & (clips.fold <= 3)].groupby("fold").head(1).assign(label="rare")
    clips = pd.concat([clips, rare], ignore_index=True)
    partitions = split.partition(clips, held_out(test_fold=3, val_fraction=0.9, seed=seed), data(min_recordings=2))
    assert partitions[clips.label == "rare"].tolist().count("train") == 2
    assert (partitions.groupby(clips.source_id).nunique() == 1).all()
    assert (partitions[clips.label == "bark"] == "val").any()


def test_what_few_recordings_allow_is_said():
    clips = collection(labels=("bark",))
    rare = clips[clips.fold.isin([1, 2])].groupby("fold").head(1).assign(label="rare")
    clips = pd.concat([clips, rare], ignore_index=True)
    labels = ["bark", "rare"]
    text, settings = split.way_out(clips, labels, 2, held_out(test_fold=3))
    assert settings == {"split.test_fold": 1} and "In fold 1 every class" in text
    assert split.way_out(clips, labels, 2, held_out(test_fold=1))[1] == {"data.min_recordings": 1}
    assert split.way_out(clips, labels, 1, held_out(test_fold=1)) == ("", {})


def test_val_fraction_zero_holds_out_nothing():
    clips = collection()
    assert set(split.partition(clips, held_out(test_fold=5), data())) == {"train", "test"}


def test_another_seed_holds_out_other_recordings():
    clips = collection()
    first, second = (split.partition(clips, held_out(test_fold=5, val_fraction=0.3, seed=s), data()) for s in (0, 1))
    assert not first.equals(second)


@pytest.mark.parametrize("unit", ["recordings", "clips"])
@pytest.mark.parametrize("folds", [held_out(test_fold=5, val_fold=1), held_out(test_fold=5, val_fraction=0.2, seed=3)])
def test_a_class_alone_and_in_any_order_is_split_as_in_the_whole_collection(unit, folds):
    clips = collection(labels=("bark", "siren", "drill"))
    some = data(limit={"bark": 7, "siren": 4}, limit_unit=unit)
    whole = split.partition(clips, folds, some)
    assert set(whole) == {"train", "val", "test", "unused"}
    for label in ("bark", "siren", "drill"):
        alone = clips[clips.label == label].sample(frac=1, random_state=1)
        pd.testing.assert_series_equal(split.partition(alone, folds, some), whole[alone.index])


def test_the_result_stands_on_the_index_of_the_clips():
    clips = collection().set_axis(["same"] * len(collection()))
    partitions = split.partition(clips, held_out(test_fold=5), data(limit={"bark": 1}))
    assert partitions.index.equals(clips.index)
    assert (partitions.to_numpy() == "test").tolist() == (clips.fold == 5).tolist()


def test_a_limit_in_recordings_keeps_all_clips_of_so_many_recordings_and_leaves_the_rest_unused():
    clips = collection()
    folds = held_out(test_fold=5, val_fold=1)
    free, limited = split.partition(clips, folds, data()), split.partition(clips, folds, data(limit={"bark": 6}))
    changed = free != limited
    assert set(clips.label[changed]) == {"bark"}
    assert set(free[changed]) == {"train"} and set(limited[changed]) == {"unused"}
    bark = clips.label == "bark"
    sources = kept(clips, limited, "bark", "source_id")
    assert len(sources) == 6
    assert set(limited[bark & clips.source_id.isin(sources)]) == {"train"}


def test_a_limit_in_clips_goes_round_the_recordings():
    clips = collection(labels=("bark",), recordings_a_fold=2)  # 8 training recordings of 3 clips
    for n, per_recording in ((5, {1}), (8, {1}), (11, {1, 2}), (24, {3})):
        partitions = split.partition(clips, held_out(test_fold=5), data(limit={"bark": n}, limit_unit="clips"))
        counts = clips.source_id[partitions == "train"].value_counts()
        assert counts.sum() == n
        assert set(counts) == per_recording


@pytest.mark.parametrize(("unit", "column"), [("recordings", "source_id"), ("clips", "clip_id")])
def test_a_higher_limit_keeps_what_a_lower_one_kept(unit, column):
    clips = collection()
    folds = held_out(test_fold=5)
    chosen = [
        kept(clips, split.partition(clips, folds, data(limit={"bark": n}, limit_unit=unit)), "bark", column)
        for n in (1, 4, 10, 20, 1000)
    ]
    assert [len(c) for c in chosen[:4]] == [1, 4, 10, 20]
    assert all(fewer < more for fewer, more in itertools.pairwise(chosen))


def test_a_limit_on_a_class_that_is_not_there_changes_nothing():
    clips = collection()
    folds = held_out(test_fold=5)
    partitions = split.partition(clips, folds, data(limit={"whale": 1}, limit_unit="clips"))
    assert partitions.equals(split.partition(clips, folds, data()))


def test_one_fold_cannot_be_both_val_and_test():
    with pytest.raises(split.SplitError, match="both 5"):
        split.partition(collection(), held_out(test_fold=5, val_fold=5), data())


# Amounts


def amounts(clips, folds, labels=("bark", "siren"), min_recordings=2, **values):
    split.check_amounts(clips, split.partition(clips, folds, data(**values)), labels, min_recordings, folds)


def test_enough_of_everything_passes():
    amounts(collection(), held_out(test_fold=5, val_fold=1), min_recordings=24)


def test_a_fold_that_does_not_occur_is_named_beside_those_that_do():
    split.check_folds(collection().fold, held_out(test_fold=5, val_fold=1))
    with pytest.raises(split.SplitError, match=r"test_fold is 10.*1, 2, 3, 4, 5"):
        split.check_folds(collection().fold, held_out(test_fold=10))
    with pytest.raises(split.SplitError, match=r"val_fold is 0.*1, 2, 3, 4, 5"):
        split.check_folds(collection().fold, held_out(test_fold=5, val_fold=0))


def test_all_classes_that_fall_short_are_named_at_once_with_numbers_and_the_way_out():
    clips = collection(labels=("bark", "siren", "drill"))
    clips = clips[(clips.label != "siren") | (clips.fold != 5)]
    with pytest.raises(split.SplitError) as caught:
        amounts(clips, held_out(test_fold=5), labels=("bark", "siren", "drill", "whale"), limit={"bark": 1})
    message = str(caught.value)
    assert "bark: 1 training recording(s), at least 2 are needed (data.limit or data.scarce leaves" in message
    assert "siren: no test clip in fold 5" in message
    assert "whale: 0 training recording(s)" in message and "whale: no test clip" in message
    assert "drill" not in message
    for way_out in ("data.min_recordings", "data.limit", "Add recordings", "`classes`"):
        assert way_out in message


# The audit


def partitioned():
    clips = collection()
    partitions = split.partition(clips, held_out(test_fold=5, val_fold=1), data(limit={"bark": 6}))
    return clips.assign(partition=partitions, sha256=[f"hash of {clip_id}" for clip_id in clips.clip_id])


def seen_by_models(real):
    return {label: real.clip_id[(real.label == label) & (real.partition == "train")] for label in ("bark", "siren")}


def variations(real, n=12):
    """Two variations of each of the first n / 2 training clips."""
    roots = real[real.partition == "train"].head(n // 2)
    rows = [
        (f"{r.clip_id}~{k}", f"/{r.clip_id}~{k}.flac", r.label, "own", r.clip_id, "", r.source_id, r.fold, k, 1.0, "m")
        for r in roots.itertuples()
        for k in range(2)
    ]
    return pd.DataFrame(rows, columns=list(tables.LINEAGE)).astype(tables.LINEAGE)


def any_clip(real, partition, label="siren"):
    return real.index[(real.partition == partition) & (real.label == label)][0]


def leak(real, synthetic, seen, judge=()):
    with pytest.raises(audit.LeakError) as caught:
        audit.audit(real, synthetic, seen, judge)
    return str(caught.value)


def test_an_honest_split_passes_and_is_counted():
    real = partitioned()
    judge = real.clip_id[real.partition == "train"]
    made = variations(real)
    made.loc[:3, "start"] = "classic"
    report = audit.audit(real, made, seen_by_models(real), judge)
    assert json.loads(json.dumps(report)) == report
    assert report["real"]["test"] == {"clips": 48, "recordings": 16}
    assert sum(part["clips"] for part in report["real"].values()) == len(real)
    assert report["synthetic"] == {start: own.label.value_counts().to_dict() for start, own in made.groupby("start")}
    assert sum(sum(labels.values()) for labels in report["synthetic"].values()) == 12
    assert report["class_filter"] == len(judge)
    assert report["seen"]["siren"] == ((real.label == "siren") & (real.partition == "train")).sum()


def test_a_collection_without_synthetic_clips_passes():
    real = partitioned()
    assert audit.audit(real, tables.table([], tables.LINEAGE), {})["synthetic"] == {}


def test_a_recording_on_two_sides_is_a_leak():
    real = partitioned()
    moved = any_clip(real, "test")
    real.loc[moved, "partition"] = "train"
    message = leak(real, variations(real), seen_by_models(real))
    siblings = real[real.source_id == real.source_id[moved]]
    assert set(siblings.partition) == {"train", "test"}
    for row in siblings.itertuples():
        assert f"{row.clip_id} ({row.partition}, {row.source_id})" in message


def test_a_recording_of_which_some_clips_are_unused_is_no_leak():
    real = partitioned()
    real.loc[any_clip(real, "test"), "partition"] = "unused"
    audit.audit(real, variations(real), seen_by_models(real))


@pytest.mark.parametrize("partition", ["val", "test", "unused"])
def test_a_variation_of_a_clip_outside_training_is_a_leak(partition):
    real = partitioned()
    made = variations(real)
    root = real.loc[any_clip(real, partition, "bark")]
    made.loc[3, ["root_clip_id", "source_id", "fold", "label"]] = [root.clip_id, root.source_id, root.fold, root.label]
    message = leak(real, made, seen_by_models(real))
    assert f"{made.clip_id[3]} (root {root.clip_id}: {partition})" in message
    assert made.clip_id[2] not in message


def test_a_variation_of_an_unknown_clip_is_a_leak():
    real = partitioned()
    made = variations(real)
    made.loc[3, "root_clip_id"] = "nobody"
    assert f"{made.clip_id[3]} (root nobody: unknown)" in leak(real, made, seen_by_models(real))


@pytest.mark.parametrize(("column", "value"), [("source_id", "elsewhere"), ("fold", 4), ("label", "bark")])
def test_a_variation_that_does_not_stand_with_its_root_is_a_leak(column, value):
    real = partitioned()
    made = variations(real)
    assert made.loc[5, column] != value
    made.loc[5, column] = value
    message = leak(real, made, seen_by_models(real))
    assert f"1 synthetic clips whose {column} is not their root's: {made.clip_id[5]}" in message


@pytest.mark.parametrize("partition", ["val", "test", "unused"])
def test_a_model_that_saw_a_clip_outside_training_is_a_leak(partition):
    real = partitioned()
    clip_id = real.clip_id[any_clip(real, partition, "bark")]
    seen = seen_by_models(real) | {"bark": [clip_id]}
    assert f"diffusion model of bark saw: {clip_id} ({partition})" in leak(real, variations(real), seen)


def test_a_model_that_saw_an_unknown_clip_is_a_leak():
    real = partitioned()
    message = leak(real, variations(real), seen_by_models(real) | {"siren": ["nobody"]})
    assert "diffusion model of siren saw: nobody (unknown)" in message


def test_a_model_that_saw_a_held_out_recording_through_another_clip_is_a_leak():
    real = partitioned()
    moved = any_clip(real, "test")
    real.loc[moved, "partition"] = "train"
    message = leak(real, variations(real), {"bark": [], "siren": [real.clip_id[moved]]})
    assert f"held-out recordings that the diffusion model of siren saw: {real.clip_id[moved]}" in message


def test_a_model_that_does_not_say_what_it_saw_proves_nothing():
    real = partitioned()
    made = variations(real)
    message = leak(real, made, {"siren": []})
    assert "does not say" in message
    assert {clip_id for clip_id in made.clip_id if clip_id in message} == set(made.clip_id[made.label == "bark"])


@pytest.mark.parametrize("start", ["classic", "roundtrip", "background"])
def test_clips_that_no_diffusion_model_made_need_none_that_says_what_it_saw_but_their_roots_must_train(start):
    real = partitioned()
    other = real.clip_id[any_clip(real, "train")] if start == "background" else ""
    made = variations(real).assign(start=start, other_clip_id=other, clip_id=lambda made: made.clip_id + start)
    audit.audit(real, pd.concat([made, variations(real)]), seen_by_models(real))
    audit.audit(real, made, {})
    root = real.loc[any_clip(real, "test", made.label[3])]
    made.loc[3, ["root_clip_id", "source_id", "fold"]] = [root.clip_id, root.source_id, root.fold]
    assert f"{made.clip_id[3]} (root {root.clip_id}: test)" in leak(real, made, {})


@pytest.mark.parametrize("partition", ["val", "test", "unused"])
@pytest.mark.parametrize("start", ["background", "blend"])
def test_a_clip_outside_training_that_was_mixed_in_is_a_leak(start, partition):
    real = partitioned()
    other, made = real.clip_id[any_clip(real, "train")], variations(real)
    made = made.assign(start=start, other_clip_id=other)
    audit.audit(real, made, seen_by_models(real))
    held = real.clip_id[any_clip(real, partition, "bark")]
    made.loc[3, "other_clip_id"] = held
    message = leak(real, made, seen_by_models(real))
    assert (
        f"1 synthetic clips blended with a clip that is not a training clip: {made.clip_id[3]} (and {held})" in message
    )


def test_a_clip_over_a_background_must_say_which():
    real = partitioned()
    made = variations(real).assign(start="background", other_clip_id=real.clip_id[any_clip(real, "train")])
    made.loc[4, "other_clip_id"] = ""
    message = leak(real, made, {})
    assert f"1 synthetic clips over a background that do not name its clip: {made.clip_id[4]}" in message


@pytest.mark.parametrize("partition", ["val", "test", "unused"])
def test_a_filter_that_learned_from_a_clip_outside_training_is_a_leak(partition):
    real = partitioned()
    clip_id = real.clip_id[any_clip(real, partition, "bark")]
    judge = [*real.clip_id[real.partition == "train"], clip_id]
    message = leak(real, variations(real), seen_by_models(real), judge)
    assert f"1 clips outside training that the class filter saw: {clip_id} ({partition})" in message


def test_a_filter_that_learned_from_a_held_out_recording_through_another_clip_is_a_leak():
    real = partitioned()
    moved = any_clip(real, "test")
    real.loc[moved, "partition"] = "train"
    message = leak(real, variations(real), seen_by_models(real), [real.clip_id[moved], "nobody"])
    assert f"held-out recordings that the class filter saw: {real.clip_id[moved]}" in message
    assert "that the class filter saw: nobody (unknown)" in message


def test_a_synthetic_clip_under_the_id_of_a_real_one_is_a_leak():
    real = partitioned()
    made = variations(real)
    made.loc[0, "clip_id"] = real.clip_id[7]
    assert f"more than once: {real.clip_id[7]}" in leak(real, made, seen_by_models(real))


def test_the_same_audio_in_two_partitions_is_a_leak():
    real = partitioned()
    one, other = any_clip(real, "train"), any_clip(real, "test")
    real.loc[other, "sha256"] = real.sha256[one]
    message = leak(real, variations(real), seen_by_models(real))
    assert real.clip_id[one] in message and real.clip_id[other] in message
    audit.audit(real.drop(columns="sha256"), variations(real), seen_by_models(real))


def test_all_problems_are_told_at_once_and_many_clips_are_counted():
    real = partitioned()
    made = variations(real, n=40).assign(root_clip_id="nobody")
    message = leak(real, made, seen_by_models(real) | {"siren": ["stranger"]})
    assert "stranger" in message
    assert "40 synthetic clips whose root is not a training clip" in message
    assert message.count("(root nobody: unknown)") == 10 and "…" in message


# The tables


def three_tables():
    real = partitioned()
    of = {name: real[real.partition == name] for name in ("train", "val", "test")}
    train = {
        "none": split.examples(of["train"], None, "hash of {}".format),
        "diffusion": split.examples(of["train"], variations(real), "hash of {}".format),
    }
    return train, *(split.examples(of[name], None, "hash of {}".format) for name in ("val", "test"))


def table_leak(train, val, test):
    with pytest.raises(audit.LeakError) as caught:
        audit.audit_tables(train, val, test)
    return str(caught.value)


def test_examples_are_the_clips_and_their_variations_in_the_order_of_ids():
    real = partitioned()
    made = variations(real)
    table = split.examples(real.sample(frac=1, random_state=0), made, "hash of {}".format)
    assert dict(table.dtypes.astype(str)) == tables.EXAMPLES
    assert table.clip_id.tolist() == sorted([*real.clip_id, *made.clip_id])
    assert (table.sha256 == "hash of " + table.path).all()
    originals = table[~table.synthetic]
    assert (originals.root_clip_id == originals.clip_id).all() and len(originals) == len(real)
    copies = table[table.synthetic].set_index("clip_id")
    assert copies.root_clip_id.to_dict() == made.set_index("clip_id").root_clip_id.to_dict()


def test_honest_tables_pass_also_without_validation():
    train, val, test = three_tables()
    audit.audit_tables(train, val, test)
    audit.audit_tables(train, val.head(0), test)


@pytest.mark.parametrize("name", ["val", "test"])
def test_a_synthetic_clip_among_held_out_ones_is_a_leak(name):
    train, val, test = three_tables()
    held = {"val": val, "test": test}
    held[name].loc[4, "synthetic"] = True
    assert f"synthetic clips in {name}: {held[name].clip_id[4]}" in table_leak(train, **held)


@pytest.mark.parametrize("column", ["clip_id", "source_id", "sha256"])
@pytest.mark.parametrize("name", ["val", "test"])
def test_a_training_table_that_shares_with_held_out_clips_is_a_leak(name, column):
    train, val, test = three_tables()
    table, held = train["diffusion"], {"val": val, "test": test}
    real = table.index[~table.synthetic & ~table.clip_id.isin(table.root_clip_id[table.synthetic])][0]
    table.loc[real, column] = held[name][column][0]
    message = table_leak(train, **held)
    assert f"clips of the training table of diffusion that share their {column} with {name}" in message
    assert table.clip_id[real] in message and "of none" not in message


def test_val_and_test_may_not_share_either():
    train, val, test = three_tables()
    val.loc[2, "source_id"] = test.source_id[0]
    assert f"clips of val that share their source_id with test: {val.clip_id[2]}" in table_leak(train, val, test)


def test_a_variation_without_its_root_in_the_table_is_a_leak():
    train, val, test = three_tables()
    table = train["diffusion"]
    root = table.root_clip_id[table.synthetic].iloc[0]
    train["diffusion"] = table[table.clip_id != root]
    message = table_leak(train, val, test)
    assert all(clip_id in message for clip_id in table.clip_id[table.synthetic & (table.root_clip_id == root)])


# Unlabelled clips


def unlabelled_clips(n=6):
    """Two clips of each of n / 2 recordings."""
    rows = [
        (f"u{i}", f"/u{i}.wav", "unlabelled", f"unlabelled/{i // 2}", 0, 4.0, 16000, 1, f"hash of u{i}")
        for i in range(n)
    ]
    return pd.DataFrame(rows, columns=[*tables.CLIPS, "sha256"])


def related_to(*pairs):
    return pd.DataFrame(pairs, columns=list(tables.RELATED)).astype(tables.RELATED)


def twins(*pairs):
    columns = tables.DUPLICATES
    return pd.DataFrame([(*pair, "near", 0.9, 3.0) for pair in pairs], columns=list(columns)).astype(columns)


def beside(unlabelled, related=(), pairs=()):
    return audit.Unlabelled(unlabelled, related_to(*related), twins(*pairs))


def honest(real, related=()):
    """Unlabelled clips with the partition that they get, and what models saw that learned all that they may."""
    clips = unlabelled_clips()
    clips["partition"] = split.partition_unlabelled(clips, related_to(*related), real)
    learned = clips.clip_id[clips.partition == "train"]
    return clips, {label: [*clip_ids, *learned] for label, clip_ids in seen_by_models(real).items()}


@pytest.mark.parametrize(("partition", "expected"), [("train", 6), ("unused", 6), ("val", 4), ("test", 4)])
def test_unlabelled_clips_of_recordings_that_share_sound_with_held_out_ones_are_left_out(partition, expected):
    real = partitioned()
    source_id = real.source_id[any_clip(real, partition, "bark")]
    unlabelled = unlabelled_clips().sample(frac=1, random_state=0)
    found = split.partition_unlabelled(unlabelled, related_to(("unlabelled/1", source_id)), real)
    assert found.index.equals(unlabelled.index) and set(found) <= {"train", "unused"}
    assert (found == "train").sum() == expected
    assert set(unlabelled.source_id[found == "unused"]) == ({"unlabelled/1"} if expected == 4 else set())


def test_one_held_out_relative_among_several_is_enough():
    real = partitioned()
    relatives = [("unlabelled/2", real.source_id[any_clip(real, partition)]) for partition in ("train", "test")]
    found = split.partition_unlabelled(unlabelled_clips(), related_to(*relatives), real)
    assert found.tolist() == ["train"] * 4 + ["unused"] * 2


def test_an_unlabelled_recording_of_the_name_of_a_held_out_one_counts_as_that():
    real, unlabelled = partitioned(), unlabelled_clips()
    unlabelled["source_id"] = real.source_id[any_clip(real, "val")]
    assert set(split.partition_unlabelled(unlabelled, related_to(), real)) == {"unused"}


def test_honest_unlabelled_clips_pass_and_are_counted():
    real = partitioned()
    held_out, training = (real.loc[any_clip(real, partition)] for partition in ("test", "train"))
    related = [("unlabelled/0", held_out.source_id), ("unlabelled/2", training.source_id)]
    unlabelled, seen = honest(real, related)
    pairs = [("u1", held_out.clip_id), (training.clip_id, "u4")]
    report = audit.audit(real, variations(real), seen, (), beside(unlabelled, related, pairs))
    assert report["unlabelled"] == {"clips": 4, "recordings": 2}
    assert json.loads(json.dumps(report)) == report
    none = audit.audit(real, variations(real), seen_by_models(real), (), beside(unlabelled.head(0)))
    assert none == report | {"unlabelled": {"clips": 0, "recordings": 0}, "seen": none["seen"]}


def leak_beside(real, seen, unlabelled, related=(), pairs=(), class_filter=()):
    with pytest.raises(audit.LeakError) as caught:
        audit.audit(real, variations(real), seen, class_filter, beside(unlabelled, related, pairs))
    return str(caught.value)


def test_an_unlabelled_clip_that_was_left_out_and_learned_is_a_leak():
    real = partitioned()
    related = [("unlabelled/0", real.source_id[any_clip(real, "test")])]
    unlabelled, seen = honest(real, related)
    seen["bark"].append("u1")
    assert "the diffusion model of bark saw: u1 (unused)" in leak_beside(real, seen, unlabelled, related)


@pytest.mark.parametrize("partition", ["val", "test"])
def test_an_unlabelled_clip_that_shares_sound_with_a_held_out_recording_is_a_leak(partition):
    real = partitioned()
    unlabelled, seen = honest(real)
    related = [("unlabelled/1", real.source_id[any_clip(real, partition)])]
    message = leak_beside(real, seen, unlabelled, related)
    assert "2 unlabelled clips that a diffusion model saw, of recordings that share sound" in message
    assert "u2, u3" in message and "u1" not in message


def test_an_unlabelled_clip_of_a_held_out_recording_is_a_leak():
    real = partitioned()
    unlabelled, seen = honest(real)
    unlabelled.loc[4, "source_id"] = real.source_id[any_clip(real, "test")]
    assert "held-out recordings that the diffusion model of siren saw: u4" in leak_beside(real, seen, unlabelled)


def test_an_unlabelled_file_with_the_bytes_of_a_held_out_one_is_a_leak():
    real = partitioned()
    unlabelled, seen = honest(real)
    unlabelled.loc[5, "sha256"] = real.sha256[any_clip(real, "test")]
    assert "1 unlabelled clips that a diffusion model saw, with the same audio as held-out clips: u5" in leak_beside(
        real, seen, unlabelled
    )


@pytest.mark.parametrize("turned", [False, True])
def test_an_unlabelled_near_duplicate_of_a_held_out_clip_is_a_leak_also_by_another_clip_of_its_recording(turned):
    real = partitioned()
    unlabelled, seen = honest(real)
    twin, training = (real.clip_id[any_clip(real, partition)] for partition in ("val", "train"))
    for label in seen:
        seen[label].remove("u3")  # u2 of the same recording was learned
    pairs = [tuple(reversed(pair)) if turned else pair for pair in (("u3", twin), ("u0", training))]
    message = leak_beside(real, seen, unlabelled, (), pairs)
    assert f"that are duplicates of held-out clips: u3 (like {twin})" in message and "u0" not in message


def test_a_filter_that_learned_an_unlabelled_clip_is_a_leak():
    real = partitioned()
    unlabelled, seen = honest(real)
    assert "the class filter saw: u0 (unknown)" in leak_beside(real, seen, unlabelled, class_filter=["u0"])


def test_an_unlabelled_clip_under_the_id_of_another_is_a_leak():
    real = partitioned()
    unlabelled, _ = honest(real)
    unlabelled.loc[0, "clip_id"] = real.clip_id[0]
    message = leak_beside(real, seen_by_models(real), unlabelled)
    assert f"1 clip ids that unlabelled clips share with others: {real.clip_id[0]}" in message
