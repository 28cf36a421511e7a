"""Which variations are made, and of which clips."""

from pathlib import Path

import pandas as pd
import pytest

from counterpoise import catalog, variations
from counterpoise.params import Generate


@pytest.fixture
def training():
    """Three barks of two recordings, four howls."""
    rows = [(f"b{i}", "bark", f"r{i // 2}", 1) for i in range(3)] + [(f"h{i}", "howl", f"s{i}", 2) for i in range(4)]
    return pd.DataFrame(rows, columns=["clip_id", "label", "source_id", "fold"])


def lineage(training, amount, label="bark", **change):
    generate = Generate(**{"keep": "all"} | change)
    shares = variations.share_out(training, label, amount, generate)
    amounts = variations.candidates(shares, generate)
    return variations.lineage(training, label, amounts, generate, Path("out"), Path("models/bark"))


def test_every_clip_once_before_any_clip_twice(training):
    made = lineage(training, 5)
    assert sorted(made.root_clip_id.head(3)) == ["b0", "b1", "b2"] and len(made) == 5
    assert made.root_clip_id.value_counts().max() == 2
    assert made.clip_id.is_unique and made.seed.is_unique
    assert list(made.columns) == list(catalog.LINEAGE)
    assert (made.label == "bark").all() and (made.other_clip_id == "").all()
    sources = training.set_index("clip_id").source_id
    assert made.source_id.tolist() == sources[made.root_clip_id].tolist()


def test_more_variations_change_nothing_of_the_first_ones(training):
    few, many = lineage(training, 4), lineage(training, 9)
    both = few.merge(many, on=list(catalog.LINEAGE))
    assert len(both) == 4


def test_a_choice_is_made_of_every_root(training):
    generate = Generate(keep="best", candidates=1.5)
    assert variations.candidates({"b0": 2, "b1": 1}, generate) == {"b0": 3, "b1": 2}
    assert len(lineage(training, 3, keep="best", candidates=3)) == 9


def test_a_blend_names_another_clip_of_the_class(training):
    made = lineage(training, 30, start="blend")
    assert set(made.other_clip_id) == {"b0", "b1", "b2"} and (made.other_clip_id != made.root_clip_id).all()


def test_the_only_clip_of_a_class_is_blended_with_nothing(training):
    made = lineage(training[training.clip_id.isin(["b0", "h0"])], 2, start="blend")
    assert made.other_clip_id.tolist() == ["", ""]


def test_a_cross_starts_from_other_classes_and_names_them(training):
    made = lineage(training, 6, start="cross")
    assert set(made.root_clip_id) == {"h0", "h1", "h2", "h3"}
    assert (made.label == "bark").all() and (made.fold == 2).all()
    assert set(lineage(training, 3, label="howl", start="cross").clip_id).isdisjoint(made.clip_id)


def test_strengths_of_a_range_differ_from_clip_to_clip(training):
    made = lineage(training, 20, strength=[0.5, 2.0])
    assert made.strength.nunique() > 3 and made.strength.between(0.5, 2.0).all()


def test_nothing_is_wanted_nothing_is_made(training):
    assert lineage(training, 0).empty
