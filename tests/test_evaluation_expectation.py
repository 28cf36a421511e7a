import pandas as pd

from counterpoise.arms.arm import Arm
from counterpoise.evaluation.expectation import expected_frequencies

PLAIN, WEIGHTED = Arm(about="", cheap=True), Arm(about="", cheap=True, weighted=True)
LABELS = ["howl", "bark"]
EXAMPLES = pd.DataFrame({"label": ["bark"] * 6 + ["howl"] * 4, "synthetic": [False] * 6 + [False] * 2 + [True] * 2})


def test_it_is_the_shares_of_the_training_table_in_the_order_of_the_labels():
    assert list(expected_frequencies(PLAIN, EXAMPLES, LABELS, 0.0).items()) == [("howl", 0.4), ("bark", 0.6)]


def test_a_training_that_ends_on_real_clips_expects_their_shares():
    assert expected_frequencies(PLAIN, EXAMPLES, LABELS, 0.2) == {"howl": 0.25, "bark": 0.75}


def test_a_training_that_balances_expects_all_alike():
    assert expected_frequencies(WEIGHTED, EXAMPLES, LABELS, 0.0) == {"howl": 0.5, "bark": 0.5}
