"""The arms, each a way of treating imbalance: which clips they add, and the table that each trains on.

All arms that add clips add the same number, shared out over a class's training clips in the same way, so that they
differ in nothing but what the added clips are. Where the judge keeps the best, diffusion may have fewer.
"""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise import CounterpoiseError, balance, catalog, splits
from counterpoise.params import Arm
from counterpoise.runtime import seed_for

ADDING = {"classic", "roundtrip", "diffusion", "diffusion_classic"}  # arms that fill classes up with made clips
DECODED = ADDING - {"classic"}  # arms with clips that a codec decoded


class ArmsError(CounterpoiseError):
    """A table that asks for clips which were not made; the message says which and what to run."""


class Arms:
    """What each arm makes of the training clips.

    Args:
        training: the catalogue's training clips.
        plan: how many clips each class needs, from `balance.plan`.
        share: of each class's real clips that go through the codec where decoded clips are added
            (`aug.real_through_codec`). A larger share adds to what a smaller one chose.
        seed: `generate.seed`, so that all added clips start from the same clips, each as often.

    Attributes:
        slots: the places to fill, one row an added clip, in the order in which variations are made: label; root, the
            clip that it starts from; number, of its root's, from 0; turn, 0 where `diffusion_classic` asks diffusion
            and 1 where it asks the classical effects, which alternates over a class and over each root; classic and
            roundtrip, the ids of the clips that fill it.
        through_codec: the ids of the real clips that go through the codec.
    """

    def __init__(self, training: pd.DataFrame, plan: pd.DataFrame, share: float, seed: int) -> None:
        self.training, self.seed = training, seed
        self.slots = _slots(training, plan, seed)
        self.through_codec = []
        for _, own in training.groupby("label"):
            order = sorted(own.clip_id, key=lambda clip_id: seed_for("through the codec", seed, clip_id))
            self.through_codec += order[: round(share * len(order))]

    def lineage(self, arms: Collection[Arm], folder: Path, codec: str) -> pd.DataFrame:
        """Every classical variation and every round trip that these arms need, and no others.

        Args:
            arms: those that will be trained.
            folder: where the clips will lie.
            codec: its name, as the model of round trips.

        Returns:
            Rows of `catalog.LINEAGE`: classical variations in the order of `slots`, then round trips.
        """
        parents = {clip.clip_id: clip for clip in self.training.itertuples()}

        def row(start: str, clip_id: str, root: str, seed: int, model: str) -> dict:
            parent = parents[root]
            path = (folder / start / parent.label / f"{clip_id}.flac").as_posix()
            return {
                "clip_id": clip_id, "path": path, "label": parent.label, "start": start, "root_clip_id": root,
                "other_clip_id": "", "source_id": parent.source_id, "fold": parent.fold, "seed": seed,
                "strength": 0.0, "model": model,
            }  # fmt: skip

        classical = self.slots if "classic" in arms else self.slots[self.slots.turn == 1]
        if not {"classic", "diffusion_classic"} & set(arms):
            classical = classical.head(0)
        decoded = set(self.slots.root) if "roundtrip" in arms else set()
        if DECODED & set(arms):
            decoded |= set(self.through_codec)
        seeds = [seed_for("classic", self.seed, slot.root, slot.number) for slot in classical.itertuples()]
        rows = [row("classic", *made, "") for made in zip(classical.classic, classical.root, seeds)]
        rows += [row("roundtrip", round_trip(root), root, 0, codec) for root in parents if root in decoded]
        return catalog.table(rows, catalog.LINEAGE)

    def table(self, arm: Arm, made: pd.DataFrame, sha256: Callable[[str], str]) -> pd.DataFrame:
        """What one arm trains on. `class_weights` and `mixup` differ from `none` in their training alone.

        Args:
            arm: its name.
            made: the lineage of all clips that were made: of diffusion, in the order of making, and of :meth:`lineage`.
            sha256: from a path to the hex digest of the file.

        Returns:
            The columns `catalog.EXAMPLES`, sorted by clip; `oversample` and `roundtrip` hold clips more than once.

        Raises:
            ArmsError: a classical variation or a round trip that the arm needs was not made.
        """
        real, synthetic = self.training, None
        varied = made[~made.start.isin(catalog.CHEAP)]
        if arm in DECODED:  # a real clip keeps its name and its place, and is heard as the codec gives it back
            trips = _pick(made, map(round_trip, self.through_codec))
            paths = dict(zip(real.clip_id, real.path)) | dict(zip(trips.root_clip_id, trips.path))
            real = real.assign(path=real.clip_id.map(paths))
        match arm:
            case "oversample":
                real = _oversampled(real, self.seed)
            case "undersample":
                real = _undersampled(real, self.seed)
            case "classic" | "roundtrip":
                synthetic = _pick(made, self.slots[arm])
            case "diffusion":
                synthetic = varied
            case "diffusion_classic":
                classical = _pick(made, self.slots.classic[self.slots.turn == 1])
                synthetic = pd.concat([varied[self._turns(varied) == 0], classical])
        return splits.examples(real, synthetic, sha256)

    def _turns(self, varied: pd.DataFrame) -> np.ndarray:
        """The turn of each variation: a class's first one stands in its first slot, its second one in the second."""
        turn = self.slots.set_index([self.slots.label, self.slots.groupby("label").cumcount()]).turn
        return turn.reindex(pd.MultiIndex.from_arrays([varied.label, varied.groupby("label").cumcount()])).to_numpy()


def round_trip(clip_id: str) -> str:
    """The id of a clip's round trip."""
    return f"{clip_id}-roundtrip"


def _slots(training: pd.DataFrame, plan: pd.DataFrame, seed: int) -> pd.DataFrame:
    rows = []
    for label, amount in zip(plan.label, plan.synthetic):
        shares = balance.share_out(training.clip_id[training.label == label], amount, seed)
        place = {root: i for i, root in enumerate(shares)}
        rows += [
            (label, root, number, (place[root] + number) % 2, f"{root}-classic{number}", round_trip(root))
            for root, number in balance.per_root(list(shares), amount)
        ]
    columns = {"label": "str", "root": "str", "number": int, "turn": int, "classic": "str", "roundtrip": "str"}
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def _oversampled(clips: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Every class's clips over again until it has as many as the largest, no clip two times more often than another."""
    most, times = clips.label.value_counts().max(), {}
    for _, own in clips.groupby("label"):
        times |= balance.share_out(own.clip_id, most, seed)
    return clips.iloc[np.repeat(np.arange(len(clips)), clips.clip_id.map(times))]


def _undersampled(clips: pd.DataFrame, seed: int) -> pd.DataFrame:
    """As many clips of every class as the smallest has, from as many recordings as there are."""
    least = clips.label.value_counts().min()
    return pd.concat([own[splits.clip_turns(own, seed) < least] for _, own in clips.groupby("label")])


def _pick(made: pd.DataFrame, clip_ids: Iterable[str]) -> pd.DataFrame:
    """The rows of these clips, in this order and as often as they are named."""
    clip_ids = list(clip_ids)
    missing = sorted(set(clip_ids) - set(made.clip_id))
    if missing:
        raise ArmsError(f"{len(missing)} clips were not made, for example {missing[:3]}: run `dvc repro augment`")
    return made.set_index("clip_id").loc[clip_ids].reset_index()
