"""The plots' tables and pictures: classes in order, sums over seeds, the same bytes from the same results."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dvc_render.vega import VegaRenderer

from counterpoise.arms import arm
from counterpoise.evaluation import plots
from counterpoise.plotting import style

TEMPLATES = Path(__file__).parents[1] / ".dvc" / "plots"


@pytest.fixture
def seeds() -> dict:
    """Two arms and two seeds of one model, as in seeds.json; the small class stands first among the labels."""
    runs = [
        {
            "model": "cnn",
            "arm": arm,
            "seed": seed,
            "per_class": {
                "howl": {"recall": 0.5, "precision": 0.25, "f1": 1 / 3},
                "bark": {"recall": 0.7 + 0.1 * seed, "precision": 0.8, "f1": 0.75},
            },
            "confusion": [[1, 1], [3 - seed, 7 + seed]],
        }
        for arm in ("none", "diffusion")
        for seed in (0, 1)
    ]
    return {"labels": ["howl", "bark"], "train_clips": {"howl": 4, "bark": 20}, "rare": ["howl"], "runs": runs}


def test_the_confusion_table_sums_the_seeds_with_the_largest_class_first(seeds):
    table = plots.confusion_table(seeds)
    none = table[table.arm == "none"]
    assert none.actual.tolist() == ["bark", "bark", "howl", "howl"]
    assert none.predicted.tolist() == ["bark", "howl", "bark", "howl"]
    assert none.clips.tolist() == [15, 5, 2, 2]
    assert none.share.tolist() == [0.75, 0.25, 0.5, 0.5]


def test_a_class_without_test_clips_has_shares_of_zero(seeds):
    for run in seeds["runs"]:
        run["confusion"] = [[0, 0], [1, 9]]
    table = plots.confusion_table(seeds)
    assert table[table.actual == "howl"].share.tolist() == [0, 0, 0, 0]


def test_the_class_table_has_a_row_for_each_run_and_class(seeds):
    table = plots.per_class_table(seeds)
    assert len(table) == 8
    assert table.label.tolist()[:2] == ["bark", "howl"]
    assert table[(table.label == "bark") & (table.arm == "none")].recall.tolist() == pytest.approx([0.7, 0.8])
    assert table[table.label == "howl"].train_clips.unique().tolist() == [4]


def test_a_curve_is_what_dvclive_wrote(tmp_path):
    (tmp_path / "loss.tsv").write_text("step\tloss\n2\t1.5\n6\t0.5\n")
    (tmp_path / "val_macro_f1.tsv").write_text("step\tval_macro_f1\n2\t0.3\n6\t0.6\n")
    table = plots.curve_table(tmp_path, "cnn", "none", 1)
    assert list(table.columns) == list(plots.CURVES)
    assert table.step.tolist() == [2, 6]
    assert table.loss.tolist() == [1.5, 0.5]
    assert table.val_macro_f1.tolist() == [0.3, 0.6]


def test_a_curve_without_validation_leaves_its_score_empty(tmp_path):
    (tmp_path / "loss.tsv").write_text("step\tloss\n2\t1.5\n")
    assert plots.curve_table(tmp_path, "cnn", "none", 1).val_macro_f1.isna().all()


def test_pictures_have_the_same_bytes_when_drawn_again_and_others_from_other_numbers(seeds, tmp_path):
    names = {"bark": "Bark"}
    for take in ("first", "second"):
        plots.confusion(
            plots.confusion_table(seeds), "cnn", seeds["train_clips"], names, tmp_path / take / "confusion.png"
        )
        plots.recall_by_arm(plots.per_class_table(seeds), names, tmp_path / take / "recall.png")
    for name in ("confusion.png", "recall.png"):
        first = (tmp_path / "first" / name).read_bytes()
        assert first == (tmp_path / "second" / name).read_bytes()
        assert first.startswith(b"\x89PNG") and b"Software" not in first
    seeds["runs"][0]["per_class"]["bark"]["recall"] = 0.1
    plots.recall_by_arm(plots.per_class_table(seeds), names, tmp_path / "other.png")
    assert (tmp_path / "other.png").read_bytes() != (tmp_path / "first" / "recall.png").read_bytes()


def test_more_arms_than_a_row_holds_are_drawn_in_several_rows(seeds, tmp_path):
    table = plots.confusion_table(seeds)
    many = pd.concat([table[table.arm == "none"].assign(arm=f"arm_{i}") for i in range(5)])
    plots.confusion(table, "cnn", seeds["train_clips"], {}, tmp_path / "two.png")
    plots.confusion(many, "cnn", seeds["train_clips"], {}, tmp_path / "five.png")
    heights = [int(np.frombuffer((tmp_path / name).read_bytes()[20:24], ">u4")[0]) for name in ("two.png", "five.png")]
    assert heights[1] > 1.5 * heights[0]


def answer(arms: list[str]) -> dict:
    """An answer in which every arm but the last helps."""
    rows = [
        {
            "model": "cnn",
            "metric": metric,
            "arm": arm,
            "against": against,
            "comparisons": 9,
            "mean": 0.1,
            "low": 0.05,
            "high": 0.15,
            "corrected_low": 0.02,
            "corrected_high": 0.18,
            "p": 0.01,
            "verdict": "cannot tell" if arm == arms[-1] else "helps",
            "sentence": "",
        }
        for metric in ("rare_recall", "macro_f1", "recall/bark")
        for arm, against in [*((arm, "none") for arm in arms[1:]), (arms[-1], arms[1])]
    ]
    return {"level": 0.95, "scores": {"cnn": {arm: {} for arm in arms}}, "differences": rows}


def test_differences_are_drawn_the_same_each_time_and_grow_with_their_number(tmp_path):
    few, many = answer(["none", "classic", "diffusion"]), answer(["none", *"abcdefg", "diffusion"])
    for name, what in (("first", few), ("second", few), ("many", many)):
        plots.differences(what, tmp_path / name / "differences.png")
    first, second, more = ((tmp_path / name / "differences.png").read_bytes() for name in ("first", "second", "many"))
    assert first == second and first.startswith(b"\x89PNG") and b"Software" not in first
    assert int.from_bytes(more[20:24]) > 1.4 * int.from_bytes(first[20:24])
    few["differences"][0]["verdict"] = "hurts"
    plots.differences(few, tmp_path / "hurts.png")
    assert (tmp_path / "hurts.png").read_bytes() != first


def test_a_single_arm_has_a_picture_without_differences(tmp_path):
    plots.differences({"level": 0.95, "scores": {"cnn": {"none": {}}}, "differences": []}, tmp_path / "none.png")
    assert (tmp_path / "none.png").read_bytes().startswith(b"\x89PNG")


def test_every_arm_and_verdict_has_a_look_of_its_own():
    looks = {tuple(style.look(i).values()) for i in range(len(arm.names()))}
    assert len(looks) == len(arm.names())
    assert len(set(plots.VERDICT_STYLES.values())) == len(plots.VERDICT_STYLES) == 3


@pytest.mark.parametrize(
    ("template", "x", "y"),
    [
        ("confusion_by_arm", "predicted", "actual"),
        ("scores_by_arm", "recall", "label"),
        ("curves_by_arm", "step", "loss"),
    ],
)
def test_dvc_fills_every_anchor_of_the_templates(template, x, y):
    point = {"rev": "workspace", "model": "cnn", "arm": "none", "seed": "0", x: "1", y: "2"}
    renderer = VegaRenderer([point], "plot", template=template, template_dir=str(TEMPLATES), x=x, y=y, title="t")
    filled = renderer.get_filled_template()
    assert filled["data"]["values"] == [point]
    assert "<DVC_METRIC_" not in json.dumps(filled)
