"""The answer in words: it says what the verdicts say, and no more."""

import pytest
from fabricated import metrics_of

from counterpoise.report import answers

CLEAR = {"none": [10, 11, 10], "classic": [10, 10, 11], "diffusion": [18, 18, 17]}
WORSE = {"none": [18, 18, 17], "classic": [18, 17, 18], "diffusion": [10, 11, 10]}
NOISE = {"none": [10, 14, 12], "classic": [12, 11, 13], "diffusion": [13, 11, 13]}


def sentences(hits: dict[str, list[int]]) -> list[str]:
    return answers.sentences(metrics_of(hits)["answer"], "cnn")


@pytest.mark.parametrize(
    ("hits", "told"), [(CLEAR, answers.VERDICTS["helps"]), (WORSE, answers.VERDICTS["hurts"]), (NOISE, None)]
)
def test_the_first_sentence_is_the_verdict(hits, told):
    assert sentences(hits)[0] == (told or answers.VERDICTS["cannot tell"])


def test_the_best_row_with_diffusion_stands_against_the_best_without():
    answer = metrics_of(CLEAR)["answer"]
    _, by_f1, by_ap = answers.sentences(answer, "cnn")
    score = f"{answer['scores']['cnn']['diffusion']['macro_f1'][0]:.3f}".removeprefix("0")
    best = max(("classic",), key=lambda arm: answer["scores"]["cnn"][arm]["macro_f1"][0])
    assert f"By macro-F1 the best row with diffusion is diffusion with {score}; against {best} with" in by_f1
    assert by_ap.startswith("By rare AP ")
    assert ", and helps." in by_f1


def test_headlines_that_disagree_are_both_told():
    answer = metrics_of(CLEAR)["answer"]
    for one in answer["differences"]:
        if one["metric"] == "rare_ap":
            one["verdict"] = "cannot tell"
    first = answers.sentences(answer, "cnn")[0]
    assert first == "Headlines disagree about diffusion (macro-F1: helps, rare AP: cannot tell)."


def test_a_run_without_diffusion_says_nothing_of_it():
    assert sentences({"none": [10, 11, 10], "classic": [10, 10, 11]}) == [answers.NO_DIFFUSION]


def test_a_run_of_diffusion_alone_says_so():
    answer = metrics_of(CLEAR)["answer"]
    answer["scores"]["cnn"] = {"diffusion": answer["scores"]["cnn"]["diffusion"]}
    answer["differences"] = []
    assert answers.sentences(answer, "cnn") == [answers.NOTHING_CHEAP]


def test_the_comparison_is_that_of_the_table():
    answer = metrics_of(NOISE)["answer"]
    one = next(
        row
        for row in answer["differences"]
        if (row["arm"], row["against"], row["metric"]) == ("diffusion", "classic", "macro_f1")
    )
    assert (
        f"{one['mean']:+.3f} [{one['corrected_low']:+.3f}, {one['corrected_high']:+.3f}], which may be chance"
        in (sentences(NOISE)[1])
    )
