"""What the arms need made, and the table that each of them trains on."""

from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise.arms.arm import Arm, ArmError, Kind
from counterpoise.core import tables
from counterpoise.core.runtime import seed_for
from counterpoise.splits import balance, split

BACKGROUND_SNR = (0.0, 10.0)  # dB, of a clip over a sound of another class


class Material:
    """The training clips, and the places that added clips fill: what every arm draws from.

    Args:
        training: the catalogue's training clips.
        plan: how many clips each class needs, from `balance.plan`.
        share: of each class's real clips that go through the codec where decoded clips are added
            (`aug.real_through_codec`). A larger share adds to what a smaller one chose.
        seed: `generate.seed`, so that all added clips start from the same clips, each as often.

    Attributes:
        slots: the places to fill, one row an added clip, in the order in which variations are made: label; root, the
            clip that it starts from; number, of its root's, from 0; place, of its root among the class's roots;
            classic, roundtrip and background, the ids of the clips that fill it.
        through_codec: the ids of the real clips that go through the codec.
    """

    def __init__(self, training: pd.DataFrame, plan: pd.DataFrame, share: float, seed: int) -> None:
        self.training, self.seed = training, seed
        self.slots = self._slots(plan)
        self.through_codec: list[str] = []
        for _, own in training.groupby("label"):
            order = sorted(own.clip_id, key=lambda clip_id: seed_for("through the codec", seed, clip_id))
            self.through_codec += order[: round(share * len(order))]

    def share_out(self, clip_ids: Iterable[str], amount: int) -> dict[str, int]:
        """:func:`balance.share_out` with this material's seed."""
        return balance.share_out(clip_ids, amount, self.seed)

    def turns(self, clips: pd.DataFrame) -> np.ndarray:
        """:func:`split.clip_turns` with this material's seed."""
        return split.clip_turns(clips, self.seed)

    def lineage(self, arms: Collection[Arm], folder: Path, codec: str) -> pd.DataFrame:
        """Every clip that these arms need made without a diffusion model, and no others.

        Args:
            arms: those that will be trained.
            folder: where the clips will lie.
            codec: its name, as the model of round trips.

        Returns:
            Rows of `tables.LINEAGE`: classical variations in the order of `slots`, then round trips, then clips over
            backgrounds in the order of `slots`.
        """
        parents = {clip.clip_id: clip for clip in self.training.itertuples()}

        def row(
            start: Kind, clip_id: str, root: str, seed: int, model: str = "", other: str = "", strength: float = 0.0
        ) -> dict:
            parent = parents[root]
            return {
                "clip_id": clip_id,
                "path": (folder / start / parent.label / f"{clip_id}.flac").as_posix(),
                "label": parent.label,
                "start": start,
                "root_clip_id": root,
                "other_clip_id": other,
                "source_id": parent.source_id,
                "fold": parent.fold,
                "seed": seed,
                "strength": strength,
                "model": model,
            }

        kinds: tuple[Kind, ...] = ("classic", "roundtrip", "background")
        wanted = {kind: np.zeros(len(self.slots), bool) for kind in kinds}
        for arm in arms:
            for kind in kinds:
                if kind in arm.fills:
                    wanted[kind] |= self._filled(arm, kind)
        decoded = set(self.slots.root[wanted["roundtrip"]])
        if any(arm.decoded for arm in arms):
            decoded |= set(self.through_codec)
        rows = [
            row("classic", slot.classic, slot.root, seed_for("classic", self.seed, slot.root, slot.number))
            for slot in self.slots[wanted["classic"]].itertuples()
        ]
        rows += [row("roundtrip", round_trip(root), root, 0, codec) for root in parents if root in decoded]
        over = self.slots[wanted["background"]]
        others = {label: sorted(self.training.clip_id[self.training.label != label]) for label in set(over.label)}
        for slot in over.itertuples():
            seed = seed_for("background", self.seed, slot.root, slot.number)
            other = others[slot.label][seed_for("other", seed) % len(others[slot.label])]
            ratio = BACKGROUND_SNR[0] + (BACKGROUND_SNR[1] - BACKGROUND_SNR[0]) * seed_for("ratio", seed) / 2**63
            rows.append(row("background", slot.background, slot.root, seed, other=other, strength=ratio))
        return tables.table(rows, tables.LINEAGE)

    def table(self, arm: Arm, made: pd.DataFrame, sha256: Callable[[str], str]) -> pd.DataFrame:
        """What one arm trains on.

        Args:
            made: the lineage of all clips that were made: of diffusion, in the order of making, and of :meth:`lineage`.
            sha256: from a path to the hex digest of the file.

        Returns:
            The columns `tables.EXAMPLES`, sorted by clip; clips that an arm repeats stand there more than once.

        Raises:
            ArmError: a clip that the arm needs, other than by diffusion, was not made.
        """
        real = self.training if arm.real is None else arm.real(self)
        if arm.decoded:  # a real clip keeps its name and its place, and sounds as the codec gives it back
            trips = _pick(made, map(round_trip, self.through_codec))
            paths = dict(zip(real.clip_id, real.path, strict=True))
            paths |= dict(zip(trips.root_clip_id, trips.path, strict=True))
            real = real.assign(path=real.clip_id.map(paths))
        added = [
            self._varied(arm, made) if kind == "diffusion" else _pick(made, self.slots[kind][self._filled(arm, kind)])
            for kind in arm.fills
        ]
        return split.examples(real, pd.concat(added) if added else None, sha256)

    def _varied(self, arm: Arm, made: pd.DataFrame) -> pd.DataFrame:
        """The variations by diffusion that an arm takes.

        A class's first variation stands in its first slot, its second one in the second, whichever roots they have.
        """
        varied = made[~made.start.isin(tables.CHEAP)]
        filled = pd.Series(
            self._filled(arm, "diffusion"), index=[self.slots.label, self.slots.groupby("label").cumcount()]
        )
        at = pd.MultiIndex.from_arrays([varied.label, varied.groupby("label").cumcount()])
        return varied[filled.reindex(at).eq(True).to_numpy()] if len(arm.fills) > 1 else varied

    def _filled(self, arm: Arm, kind: Kind) -> np.ndarray:
        """Whether a clip of this kind fills each slot, bool `[slots]`: the kinds take turns."""
        turn = (self.slots.place + self.slots.number).to_numpy() % len(arm.fills)
        return turn == list(arm.fills).index(kind)

    def _slots(self, plan: pd.DataFrame) -> pd.DataFrame:
        rows = []
        for label, amount in zip(plan.label, plan.synthetic, strict=True):
            shares = self.share_out(self.training.clip_id[self.training.label == label], amount)
            place = {root: i for i, root in enumerate(shares)}
            rows += [(label, root, number, place[root]) for root, number in balance.per_root(list(shares), amount)]
        columns = {"label": "str", "root": "str", "number": int, "place": int}
        slots = pd.DataFrame(rows, columns=list(columns)).astype(columns)
        return slots.assign(
            classic=slots.root + "-classic" + slots.number.astype("str"),
            roundtrip=slots.root.map(round_trip),
            background=slots.root + "-background" + slots.number.astype("str"),
        )


def round_trip(clip_id: str) -> str:
    """The id of a clip's round trip."""
    return f"{clip_id}-roundtrip"


def _pick(made: pd.DataFrame, clip_ids: Iterable[str]) -> pd.DataFrame:
    """The rows of these clips, in this order and as often as they are named."""
    clip_ids = list(clip_ids)
    missing = sorted(set(clip_ids) - set(made.clip_id))
    if missing:
        raise ArmError(f"{len(missing)} clips were not made, for example {missing[:3]}: run `dvc repro augment`")
    return made.set_index("clip_id").loc[clip_ids].reset_index()
