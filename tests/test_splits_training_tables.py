"""What every arm trains on."""

import itertools
from pathlib import Path

import pandas as pd
import pytest
from settings import settings_of

from counterpoise.arms import arm as arms_room
from counterpoise.arms.arm import ArmError, load
from counterpoise.core import tables
from counterpoise.splits import balance
from counterpoise.splits.balance import Aug
from counterpoise.splits.training_tables import Material, round_trip

CLASSES = {"bark": 20, "howl": 9, "pant": 4}  # training clips
EVERY = arms_room.names()
ADDING = ["classic", "roundtrip", "background_mix", "diffusion", "diffusion_classic"]


@pytest.fixture
def training() -> pd.DataFrame:
    """Clips of which three come from one recording, then one from each."""
    rows = []
    for label, count in CLASSES.items():
        for i in range(count):
            clip_id = f"{label}{i:02d}"
            rows.append((clip_id, f"/{clip_id}.wav", label, f"{label}-r{max(0, i - 2)}", 1 + i % 3, 1.0, 16000, 1))
    clips = pd.DataFrame(rows, columns=list(tables.CLIPS)).astype(tables.CLIPS)
    return clips.sample(frac=1, random_state=0)


def plan(factor: float = 3) -> pd.DataFrame:
    return balance.plan(CLASSES, settings_of(Aug, factor=factor))


def arms_of(training: pd.DataFrame, factor: float = 3, share: float = 0.0, seed: int = 0) -> Material:
    return Material(training, plan(factor), share, seed)


def variations(training: pd.DataFrame, factor: float = 3, seed: int = 0) -> pd.DataFrame:
    """As generation with `start: own` and `keep: all` makes them: every root's first, then every root's second."""
    rows = []
    for label, amount in zip(plan(factor).label, plan(factor).synthetic):
        clips = training[training.label == label].set_index("clip_id")
        shares = balance.share_out(clips.index, amount, seed)
        for root, n in balance.per_root(list(shares), amount):
            source, fold = clips.source_id[root], clips.fold[root]
            row = (f"{root}_v{n}", f"/{root}_v{n}.flac", label, "own", root, "", source, fold, n, 1.0, "m")
            rows.append(row)
    return pd.DataFrame(rows, columns=list(tables.LINEAGE)).astype(tables.LINEAGE)


def table_of(arm: str, training: pd.DataFrame, share: float = 0.0, factor: float = 3, seed: int = 0) -> pd.DataFrame:
    """The arm's table where it is the only one that is asked for."""
    arms = arms_of(training, factor, share, seed)
    made = pd.concat([variations(training, factor, seed), arms.lineage([load(arm)], Path("made"), "mel")])
    return arms.table(load(arm), made, "hash of {}".format)


def counts(table: pd.DataFrame) -> dict[str, int]:
    return table.label.value_counts().to_dict()


def roots(table: pd.DataFrame) -> dict[str, int]:
    """How many added clips start from each clip."""
    return table[table.synthetic].root_clip_id.value_counts().to_dict()


@pytest.mark.parametrize("arm", EVERY)
def test_a_table_depends_on_its_arguments_and_not_on_the_order_of_clips(training, arm):
    table = table_of(arm, training, share=0.3)
    assert dict(table.dtypes.astype(str)) == tables.EXAMPLES and table.clip_id.is_monotonic_increasing
    assert (table.sha256 == "hash of " + table.path).all()
    pd.testing.assert_frame_equal(table_of(arm, training.sample(frac=1, random_state=1), share=0.3), table)


@pytest.mark.parametrize("arm", ["none", "class_weights", "mixup", "balanced_softmax", "focal", "crt"])
def test_arms_that_differ_in_their_training_alone_have_the_real_clips(training, arm):
    table = table_of(arm, training, share=1.0)
    assert table.clip_id.tolist() == sorted(training.clip_id) and not table.synthetic.any()
    assert table.path.tolist() == sorted(training.path)


def test_oversampling_repeats_clips_evenly_until_all_classes_are_as_large(training):
    table = table_of("oversample", training)
    assert counts(table) == dict.fromkeys(CLASSES, 20) and not table.synthetic.any()
    times = table.groupby("label").clip_id.value_counts()
    assert set(times["bark"]) == {1} and set(times["pant"]) == {5}
    assert times["howl"].value_counts().to_dict() == {2: 7, 3: 2}
    others = [table_of("oversample", training, seed=seed) for seed in range(1, 4)]
    assert any(not other.equals(table) for other in others)


def test_undersampling_cuts_to_the_smallest_class_and_takes_as_many_recordings_as_it_can(training):
    table = table_of("undersample", training)
    assert counts(table) == dict.fromkeys(CLASSES, 4) and table.clip_id.is_unique and not table.synthetic.any()
    recordings = table.groupby("label").source_id.nunique().to_dict()
    assert recordings == {"bark": 4, "howl": 4, "pant": 2}  # the smallest keeps all it has
    assert any(not table_of("undersample", training, seed=seed).equals(table) for seed in range(1, 4))


@pytest.mark.parametrize("arm", ADDING)
@pytest.mark.parametrize("factor", [0.7, 1.5, 3])
def test_all_arms_that_add_clips_add_as_many_to_the_same_roots(training, arm, factor):
    table = table_of(arm, training, factor=factor)
    wanted = plan(factor).set_index("label").synthetic
    assert counts(table[table.synthetic]) == wanted[wanted > 0].to_dict()
    assert counts(table[~table.synthetic]) == CLASSES
    assert roots(table) == roots(table_of("diffusion", training, factor=factor))


def test_what_is_added_is_what_the_arm_says(training):
    kinds = {arm: table_of(arm, training)[lambda table: table.synthetic].path for arm in ADDING}
    assert kinds["classic"].str.fullmatch(r"made/classic/(\w+)/\1\d\d-classic\d.flac").all()
    assert kinds["roundtrip"].str.fullmatch(r"made/roundtrip/(\w+)/\1\d\d-roundtrip.flac").all()
    assert kinds["background_mix"].str.fullmatch(r"made/background/(\w+)/\1\d\d-background\d.flac").all()
    assert kinds["diffusion"].str.fullmatch(r"/\w+_v\d.flac").all()
    assert kinds["classic"].is_unique and kinds["background_mix"].is_unique and kinds["diffusion"].is_unique
    assert kinds["roundtrip"].nunique() == CLASSES["howl"] + CLASSES["pant"]


@pytest.mark.parametrize("factor", [0.7, 1.5, 3])
def test_diffusion_and_classical_variations_alternate_over_a_class_and_over_each_root(training, factor):
    table = table_of("diffusion_classic", training, factor=factor)
    added = table[table.synthetic].assign(classical=lambda table: table.path.str.startswith("made/classic/"))
    by_class = added.groupby("label").classical.agg(["sum", "size"])
    assert ((2 * by_class["sum"] - by_class["size"]).abs() <= 1).all()
    by_root = added.groupby("root_clip_id").classical.agg(["sum", "size"])
    assert ((2 * by_root["sum"] - by_root["size"]).abs() <= 1).all()
    numbers = added.clip_id.str[-1].groupby(added.root_clip_id).agg(sorted)
    assert all(found == [str(n) for n in range(len(found))] for found in numbers)  # together they fill every place


def test_where_the_filter_kept_fewer_there_are_fewer(training):
    arms, made = arms_of(training), variations(training)
    kept = made[made.index % 5 != 0]
    made = pd.concat([kept, arms.lineage([load(name) for name in ADDING], Path("made"), "mel")])
    tables = {arm: arms.table(load(arm), made, str) for arm in ADDING}
    assert tables["diffusion"].synthetic.sum() == len(kept) < tables["classic"].synthetic.sum()
    both = tables["diffusion_classic"].synthetic.sum()
    assert len(kept) < both <= tables["classic"].synthetic.sum()


def test_a_balanced_collection_needs_nothing(training):
    few = training[training.label.isin(["pant"])]
    arms = Material(few, balance.plan({"pant": 4}, settings_of(Aug, factor=3)), 0.0, 0)
    made = arms.lineage([load(name) for name in EVERY], Path("made"), "mel")
    assert made.empty and list(made.columns) == list(tables.LINEAGE)
    for arm in EVERY:
        assert arms.table(load(arm), made, str).clip_id.tolist() == sorted(few.clip_id)


# What is made


@pytest.mark.parametrize(
    ("asked", "classical", "decoded", "mixed"),
    [
        (["none", "class_weights", "oversample", "undersample", "mixup", "diffusion"], 0, 0, 0),
        (["balanced_softmax", "focal", "crt"], 0, 0, 0),
        (["classic"], 23, 0, 0),
        (["roundtrip"], 0, 13, 0),
        (["background_mix"], 0, 0, 23),
        (["diffusion_classic"], 11, 0, 0),
        (["diffusion_classic", "classic", "roundtrip", "background_mix"], 23, 13, 23),
    ],
)
def test_only_what_is_asked_for_is_made(training, asked, classical, decoded, mixed):
    made = arms_of(training).lineage([load(name) for name in asked], Path("made"), "mel")
    assert plan().synthetic.tolist() == [0, 11, 12]
    assert made.start.value_counts().to_dict() == {
        start: n for start, n in (("classic", classical), ("roundtrip", decoded), ("background", mixed)) if n
    }


def test_few_added_clips_need_few_round_trips(training):
    made = arms_of(training, factor=0.5).lineage([load("roundtrip")], Path("made"), "mel")
    assert counts(made) == {"howl": 4, "pant": 2}


def test_a_lineage_names_its_root_its_seed_and_its_file(training):
    made = arms_of(training).lineage([load(name) for name in EVERY], Path("made"), "mel")
    assert made.clip_id.is_unique and made.path.is_unique
    assert not set(made.clip_id) & {*training.clip_id, *variations(training).clip_id}
    clips = training.set_index("clip_id").loc[made.root_clip_id]
    for column in ("label", "source_id", "fold"):
        assert made[column].tolist() == clips[column].tolist()
    classical = made[made.start == "classic"]
    assert classical.seed.is_unique and set(classical.model) == {""}
    assert set(made.model[made.start == "roundtrip"]) == {"mel"}
    more = arms_of(training, factor=4).lineage([load(name) for name in EVERY], Path("made"), "mel")
    assert len(made.merge(more, on=list(tables.LINEAGE))) == len(made) < len(more)  # more only add
    other = arms_of(training, seed=1).lineage([load(name) for name in EVERY], Path("made"), "mel")
    assert not set(classical.seed) & set(other.seed[other.start == "classic"])


def test_a_clip_over_a_background_names_a_training_clip_of_another_class_and_a_ratio(training):
    made = arms_of(training, factor=4).lineage([load("background_mix")], Path("made"), "mel")
    labels = training.set_index("clip_id").label
    assert (labels[made.other_clip_id].to_numpy() != made.label).all()
    for label, own in made.groupby("label"):
        assert set(labels[own.other_clip_id]) == set(CLASSES) - {label}
    assert made.seed.is_unique and made.other_clip_id.nunique() > 10 and set(made.model) == {""}
    assert made.strength.between(0, 10).all() and made.strength.min() < 2 and made.strength.max() > 8
    assert made.strength.mean() == pytest.approx(5, abs=1.5)


def test_clips_over_backgrounds_change_no_other_clip(training):
    others = [load(name) for name in ADDING if name != "background_mix"]
    without = arms_of(training, share=0.5).lineage(others, Path("made"), "mel")
    made = arms_of(training, share=0.5).lineage([load("background_mix"), *others], Path("made"), "mel")
    assert len(made) > len(without) and made[made.start != "background"].equals(without)
    assert set(without.other_clip_id) == {""} and set(without.strength) == {0.0}


def test_what_was_not_made_is_named(training):
    with pytest.raises(ArmError, match=r"23 clips were not made.*-classic0.*dvc repro augment"):
        arms_of(training).table(load("classic"), variations(training), str)


# Real clips through the codec


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("arm", ["roundtrip", "diffusion", "diffusion_classic"])
def test_a_share_of_the_real_clips_of_every_class_is_heard_through_the_codec(training, arm, share):
    table = table_of(arm, training, share=share)
    real = table[~table.synthetic]
    assert real.clip_id.tolist() == sorted(training.clip_id)
    decoded = real[real.path.str.startswith("made/")]
    assert counts(decoded) == {label: round(share * n) for label, n in CLASSES.items()}
    assert [Path(path).stem for path in decoded.path] == [round_trip(clip_id) for clip_id in decoded.clip_id]
    assert (decoded.sha256 == "hash of " + decoded.path).all() and (decoded.root_clip_id == decoded.clip_id).all()
    plain = table_of(arm, training)
    assert table[table.synthetic].path.tolist() == plain[plain.synthetic].path.tolist()
    same = ["clip_id", "label", "source_id", "root_clip_id"]
    assert real[same].equals(plain[~plain.synthetic][same])


@pytest.mark.parametrize("arm", ["none", "oversample", "undersample", "mixup", "classic"])
def test_arms_without_decoded_clips_have_none(training, arm):
    assert table_of(arm, training, share=1.0).equals(table_of(arm, training))
    assert not (arms_of(training, share=1.0).lineage([load(arm)], Path("made"), "mel").start == "roundtrip").any()


def test_a_larger_share_adds_to_a_smaller_one(training):
    chosen = [set(arms_of(training, share=share).through_codec) for share in (0, 0.2, 0.5, 0.9, 1)]
    assert [len(found) for found in chosen] == [0, 4 + 2 + 1, 10 + 4 + 2, 18 + 8 + 4, 33]
    assert all(fewer < more for fewer, more in itertools.pairwise(chosen))
    assert set(arms_of(training, share=0.5, seed=1).through_codec) != chosen[2]
    made = arms_of(training, share=1.0).lineage([load("diffusion")], Path("made"), "mel")
    assert counts(made) == CLASSES and set(made.start) == {"roundtrip"}


def test_an_arm_is_a_file_of_its_own(tmp_path, monkeypatch, training):
    """One more file beside the others is one more arm: here one that trains on the first clip of each class."""
    source = """
from counterpoise.arms.arm import Arm

def loss(log_probabilities, targets, smoothing, counts):
    return -log_probabilities.mean()

ARM = Arm(about="a few", cheap=True, real=lambda material: material.training.groupby("label").head(1), loss=loss)
"""
    (tmp_path / "few.py").write_text(source)
    monkeypatch.setattr(arms_room.importlib.import_module("counterpoise.arms"), "__path__", [str(tmp_path)])
    monkeypatch.setattr(arms_room, "__file__", str(tmp_path / "arm.py"))
    assert arms_room.names() == ["few"] and arms_room.is_cheap("few")
    table = arms_of(training).table(load("few"), variations(training), "hash of {}".format)
    assert counts(table) == dict.fromkeys(CLASSES, 1)
    with pytest.raises(ArmError, match="no arm is called 'none'.*few"):
        load("none")
