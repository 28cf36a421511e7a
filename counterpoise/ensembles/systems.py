"""What each system says of the test clips, from what its members say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.ensembles import fusion
from counterpoise.ensembles.settings import READINGS, Ensembles

Run = tuple[str, str, int]  # arm, model and seed of one trained network


@dataclass(frozen=True)
class Heard:
    """What all members make of N clips.

    Attributes:
        networks: log-likelihoods `[N, K]` of every trained network.
        readings: those of the members that are no networks, by their names, where a system needs them.
    """

    networks: Mapping[Run, np.ndarray]
    readings: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What a system says of N test clips, in the table of results of one model, with one seed.

    Attributes:
        probabilities: `[N, K]`.
        weights: of its members, by their names.
    """

    system: str
    model: str
    seed: int
    probabilities: np.ndarray
    weights: dict[str, float]


def answers(
    ensembles: Ensembles,
    places: Sequence[tuple[str, str]],
    seeds: Sequence[int],
    val: Heard,
    truth: np.ndarray,
    test: Heard,
    prior: np.ndarray,
) -> Iterator[Answer]:
    """Put systems together, with every seed.

    Args:
        places: each system with the model in whose table it stands.
        seeds: of every network; a system with several networks of an arm takes the next seeds, too.
        val: what the members make of the validation clips; only `fitted` looks at it.
        truth: the numbers of those clips' classes.
        test: what the members make of the test clips.
        prior: frequencies of the K classes, from :func:`prior`.

    Raises:
        ValueError: a system is to be fitted, and there are no validation clips.
    """
    for system, model in places:
        for at, seed in enumerate(seeds):
            names, weights, members = zip(*_members(ensembles.systems[system], model, seeds, at, test))
            if None in weights:
                held_out = [member for *_, member in _members(ensembles.systems[system], model, seeds, at, val)]
                weights = fusion.fit(held_out, truth)
            yield Answer(system, model, seed, fusion.combine(members, weights, prior), dict(zip(names, weights)))


def _members(
    members: Mapping, model: str, seeds: Sequence[int], at: int, heard: Heard
) -> Iterator[tuple[str, float | None, np.ndarray]]:
    """Each member's name, its weight (None: to be fitted) and its log-likelihoods."""
    for member, given in members.items():
        weights = given if isinstance(given, list) else [None if given == "fitted" else given]
        for i, weight in enumerate(weights):
            if member in READINGS:
                yield member, weight, heard.readings[member]
                continue
            arm, _, named = member.partition("-")
            seed = seeds[(at + i) % len(seeds)]
            yield f"{arm}-{named or model}/seed{seed}", weight, heard.networks[arm, named or model, seed]


def prior(ensembles: Ensembles, labels: Sequence[str], training: Mapping[str, int]) -> np.ndarray:
    """The frequencies that the classes are taken to have, `[K]`, sum 1; `training`: clips of each class."""
    given = ensembles.prior
    if given == "uniform":
        given = dict.fromkeys(labels, 1.0)
    shares = np.array([(training if given == "training" else given)[label] for label in labels], float)
    return shares / shares.sum()


def weights(answers: Sequence[Answer]) -> dict:
    """The weights of all systems, ready for JSON: {model: {system: {seed: {member: weight}}}}."""
    found: dict = {}
    for answer in answers:
        rounded = {member: round(weight, 4) for member, weight in answer.weights.items()}
        found.setdefault(answer.model, {}).setdefault(answer.system, {})[str(answer.seed)] = rounded
    return found
