import pytest
from settings import settings_of

from counterpoise.splits.balance import Aug, BalanceError, per_root, plan, share_out, warnings

COUNTS = {"siren": 120, "bark": 100, "shot": 12}


def test_small_classes_reach_the_largest_or_the_bound_and_say_which():
    table = plan(COUNTS, settings_of(Aug, factor=3)).set_index("label")
    assert table.index.tolist() == ["siren", "bark", "shot"]
    assert (table.target == 120).all()
    assert table.wanted.to_dict() == {"siren": 0, "bark": 20, "shot": 108}
    assert table.synthetic.to_dict() == {"siren": 0, "bark": 20, "shot": 36}
    assert table.reason.to_dict() == {
        "siren": "largest class",
        "bark": "reaches the largest class",
        "shot": "bounded by aug.factor 3 at 36 of 108 missing",
    }


def test_a_class_with_its_own_factor_is_bounded_by_that():
    table = plan(COUNTS, settings_of(Aug, factor=3, per_class={"shot": 0.5})).set_index("label")
    assert table.synthetic["shot"] == 6
    assert table.factor["shot"] == 0.5
    assert table.reason["shot"] == "bounded by aug.per_class.shot 0.5 at 6 of 108 missing"
    assert table.synthetic["bark"] == 20


def test_a_part_of_a_clip_is_not_made_and_decimals_mean_what_they_say():
    assert plan({"a": 1000, "b": 15}, settings_of(Aug, factor=0.1)).synthetic.tolist() == [0, 1]
    assert plan({"a": 1000, "b": 100}, settings_of(Aug, factor=0.29)).synthetic.tolist() == [0, 29]


def test_factor_zero_makes_nothing_and_an_exact_bound_still_reaches():
    assert plan(COUNTS, settings_of(Aug, factor=0)).synthetic.tolist() == [0, 0, 0]
    assert plan({"a": 40, "b": 10}, settings_of(Aug, factor=3)).reason.tolist()[1] == "reaches the largest class"


def test_an_infinite_factor_is_no_bound():
    assert plan(COUNTS, settings_of(Aug, factor=float("inf"))).synthetic.tolist() == [0, 20, 108]


def test_equal_classes_need_nothing():
    assert plan({"a": 5, "b": 5}, settings_of(Aug, factor=3)).reason.tolist() == ["largest class", "largest class"]


def test_variations_are_spread_evenly_in_the_order_given():
    assert per_root(["c", "a", "b"], 5) == [("c", 0), ("a", 0), ("b", 0), ("c", 1), ("a", 1)]


def test_more_variations_only_add():
    assert per_root(["c", "a", "b"], 50)[:7] == per_root(["c", "a", "b"], 7)
    assert len(set(per_root(["c", "a", "b"], 50))) == 50


def test_no_variations_need_no_clips_but_some_do():
    assert per_root([], 0) == []
    with pytest.raises(BalanceError, match="2 variations"):
        per_root([], 2)


def test_shares_give_every_clip_one_before_any_gets_two_and_only_grow():
    clips = [f"c{i}" for i in range(5)]
    few, many = share_out(clips, 7, 0), share_out(reversed(clips), 13, 0)
    assert sorted(few.values()) == [1, 1, 1, 2, 2] and sum(many.values()) == 13
    assert list(few) == list(many) and all(few[clip] <= many[clip] for clip in clips)
    assert len(share_out(clips, 3, 0)) == 3 and share_out(clips, 0, 0) == share_out([], 0, 0) == {}
    assert len({tuple(share_out(clips, 5, seed)) for seed in range(10)}) > 5  # another seed, another order
    with pytest.raises(BalanceError, match="2 variations"):
        share_out([], 2, 0)


def test_too_many_added_clips_for_each_real_one_bring_a_warning_that_names_the_class():
    table = plan(COUNTS, settings_of(Aug, factor=9))
    assert warnings(table, 9) == []
    (line,) = warnings(table, 8.9)
    assert line.startswith("shot: 108 added clips on 12 real ones, 9 for each") and "aug.warn_above (8.9)" in line
    assert warnings(plan({"a": 3, "b": 0}, settings_of(Aug, factor=9)), 0.1) == []
