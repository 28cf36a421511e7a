"""What names share: recordings that should be set, and names that say nothing."""

import re

import numpy as np
import pytest

from counterpoise.datasets import grouping

RNG = np.random.default_rng(0)


def devices(number: int) -> list[str]:
    parts = RNG.integers(0, 16, (number, 32))
    ids = ["".join(f"{digit:X}" for digit in row) for row in parts]
    return [f"{one[:8]}-{one[8:12]}-{one[12:16]}-{one[16:20]}-{one[20:]}" for one in ids]


def cries() -> tuple[list[str], list[str]]:
    """225 cries of 138 devices, as a public collection names them: device, time, version, sex, age, class."""
    names, labels = [], []
    ids = devices(138)
    for number in range(225):
        label = ("hungry", "tired", "pain")[number % 3]
        names.append(f"{label}/{ids[number % 138]}-{1430742197 + 977 * number}-1.0-m-04-{label[:2]}.wav")
        labels.append(label)
    return names, labels


def recordings(pattern: str, names: list[str]) -> int:
    return len({match["source"] if (match := re.search(pattern, name)) else name for name in names})


def test_devices_at_the_beginning_of_names_are_found():
    names, labels = cries()
    best = grouping.propose(names, labels)[0]
    assert best.recordings == 138 == recordings(best.pattern, names)


@pytest.mark.parametrize(
    "name, many",
    [
        ("{label}_{rec:03d}_{take}.wav", 60),
        ("{label}/{rec:03d}-{take}.wav", 30),
        ("{label}/{label}{rec}_seg{take}.wav", 60),
        ("{label}/rec {rec} part {take}.wav", 30),
        ("{label}/{rec}{letter}.wav", 30),
        ("{label}/session{rec}/{take}.wav", 60),
    ],
)
def test_parts_of_recordings_are_found(name, many):
    labels = [label for label in ("dog", "cat") for _ in range(120)]
    numbers = [(number // 4 % 30, number % 4) for number in range(240)]
    names = [
        name.format(label=label, rec=rec, take=take, letter="abcd"[take])
        for label, (rec, take) in zip(labels, numbers, strict=True)
    ]
    found = grouping.propose(names, labels)
    assert many in [one.recordings for one in found]
    assert all(recordings(one.pattern, names) == one.recordings for one in found)


@pytest.mark.parametrize(
    "name",
    ["{label}/{n}.wav", "{label}/{label}_{n}.wav", "{label}_{n}.wav", "{label}/{label} ({n}).wav", "{n}_{label}.wav"],
)
def test_plain_numbers_are_no_recordings(name):
    labels = [label for label in ("dog", "cat", "cow") for _ in range(40)]
    names = [name.format(label=label, n=number) for number, label in enumerate(labels)]
    assert grouping.propose(names, labels) == []
    names = [name.format(label=label, n=number % 40) for number, label in enumerate(labels)]
    assert grouping.propose(names, labels) == []


def test_nothing_is_found_in_nothing():
    assert grouping.propose([], []) == []
