"""Collections that are split already: folders, or words in a column, that say train, validation and test."""

from collections.abc import Collection, Iterable

TRAIN, VAL, TEST = 1, 2, 3  # the folds that the parts become
TRAIN_NAMES = frozenset({"train", "training", "trn"})
TEST_NAMES = frozenset({"test", "testing", "tst"})
VAL_NAMES = frozenset({"val", "valid", "validation", "dev", "devel", "development"})
EVAL_NAMES = frozenset({"eval", "evaluation"})  # val beside a test, else the test
ALL_NAMES = TRAIN_NAMES | TEST_NAMES | VAL_NAMES | EVAL_NAMES


def parts(names: Iterable[str]) -> dict[str, int] | None:
    """The fold of each name where all of them are parts of a split, among them one to train on; else None.

    `dev` trains where there is no `train`, and `eval` is the test where there is no `test`.
    """
    plain = {name: name.strip().casefold() for name in names}
    there = set(plain.values())
    if not there or not there <= ALL_NAMES:
        return None
    trains = TRAIN_NAMES if there & TRAIN_NAMES else VAL_NAMES
    tests = TEST_NAMES if there & TEST_NAMES else EVAL_NAMES
    fold_of = {name: TRAIN if one in trains else TEST if one in tests else VAL for name, one in plain.items()}
    return fold_of if TRAIN in fold_of.values() and len(set(fold_of.values())) > 1 else None


def level(folders: Collection[tuple[str, ...]]) -> tuple[int, dict[str, int]] | None:
    """The level of the folders that are a split, from 0, and the fold of each; None where there is none.

    Args:
        folders: those that each file lies in, from the top. A file that lies above that level says nothing.
    """
    for number in range(max(map(len, folders), default=0)):
        names = {one[number] for one in folders if len(one) > number}
        if fold_of := parts(names):
            return number, fold_of
    return None


def settings(folds: Iterable[int]) -> dict[str, object]:
    """What `split` has to be for folds of :func:`parts`, by dotted key: without a test, the validation is the test."""
    there = set(folds)
    test = TEST if TEST in there else VAL
    val = VAL if VAL in there and test != VAL else None
    return {"split.test_fold": test, "split.val_fold": val, "split.val_fraction": 0.1 if val is None else 0.0}
