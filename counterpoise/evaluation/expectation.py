"""How frequent a network takes the classes to be, by its training."""

from collections.abc import Sequence

import pandas as pd

from counterpoise.arms.arm import Arm


def expected_frequencies(arm: Arm, examples: pd.DataFrame, labels: Sequence[str], real_last: float) -> dict[str, float]:
    """The class frequencies that an arm's training lets its networks expect, by label, in the order of `labels`.

    Args:
        examples: the arm's training table, `tables.EXAMPLES`.
        real_last: share of the steps that see real clips alone; above 0, only these count, since they come last.
    """
    amounts = (examples[~examples.synthetic] if real_last else examples).label.value_counts()
    return arm.prior({label: int(amounts[label]) for label in labels})
