"""The proof that nothing crosses over: no recording in two partitions, no held-out clip seen by a model."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from counterpoise.core import tables
from counterpoise.splits.split import SplitError, shared

APART = ("train", "val", "test")  # no recording in two of these; "unused" clips reach no model at all


class LeakError(SplitError):
    """Held-out audio reached training; the message names the clips."""


@dataclass(frozen=True)
class Unlabelled:
    """Clips without labels, which denoisers alone may learn, and what they share with labelled ones."""

    clips: pd.DataFrame  # columns tables.SPLIT; where they also have `sha256`, equal audio is looked for
    related: pd.DataFrame  # columns tables.RELATED
    duplicates: pd.DataFrame  # columns tables.DUPLICATES, those among labelled clips included


def audit(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    seen: Mapping[str, Iterable[str]],
    class_filter: Iterable[str] = (),
    unlabelled: Unlabelled | None = None,
) -> dict:
    """Prove the leak rule on what was really made, or fail.

    Args:
        real: the catalogue with its `partition`; where it also has `sha256`, equal audio is looked for.
        synthetic: the lineage of every clip that was made, by whatever means (columns `tables.LINEAGE`).
        seen: for each label, the clips that its diffusion model was trained on.
        class_filter: the clips that the class filter learned from; none where every variation was kept.
        unlabelled: what diffusion models may have learned beside the clips of `real`.

    Returns:
        What was checked, ready for JSON: clips and recordings of each partition, synthetic clips of each start and
        of each label, how many clips each model and the class filter learned from, and how many unlabelled clips and
        recordings any model did.

    Raises:
        LeakError: every way in which the rule is broken, each with its clips.
    """
    roots = real.drop_duplicates("clip_id").set_index("clip_id")
    learned = {label: list(clip_ids) for label, clip_ids in seen.items()}
    filtered = list(class_filter)
    problems = _straddling(real, "source_id", "clips of a recording that lies in two partitions")
    if "sha256" in real:
        problems += _straddling(real, "sha256", "clips of the same audio in two partitions (remove all but one)")
    ids = pd.concat([real.clip_id, synthetic.clip_id])
    problems += _named("clip ids that occur more than once", sorted(set(ids[ids.duplicated()])))
    problems += _strays(roots, synthetic)
    known, apart = roots, roots.head(0)
    if unlabelled is not None:
        own = unlabelled.clips.set_index("clip_id")
        problems += _named("clip ids that unlabelled clips share with others", own.index[own.index.isin(ids)])
        known = pd.concat([roots, own[~own.index.isin(ids)]])
        apart = own[own.index.isin([clip_id for clip_ids in learned.values() for clip_id in clip_ids])]
        problems += _in_disguise(real, apart, unlabelled)
    for label, clip_ids in learned.items():
        problems += _trespassers(known, clip_ids, f"the diffusion model of {label}")
    problems += _trespassers(roots, filtered, "the class filter")
    unproven = synthetic.clip_id[~synthetic.start.isin(tables.CHEAP) & ~synthetic.label.isin(list(learned))]
    problems += _named("synthetic clips of a model that does not say which clips it saw", unproven)
    _raise_leaks(problems)
    return {
        "real": {
            name: {"clips": len(group), "recordings": int(group.source_id.nunique())}
            for name, group in real.groupby("partition")
        },
        "synthetic": {
            start: {label: int(n) for label, n in made.label.value_counts().sort_index().items()}
            for start, made in synthetic.groupby("start")
        },
        "seen": {label: len(clip_ids) for label, clip_ids in sorted(learned.items())},
        "class_filter": len(filtered),
        "unlabelled": {"clips": len(apart), "recordings": int(apart.source_id.nunique())},
    }


def _straddling(real: pd.DataFrame, key: str, problem: str) -> list[str]:
    used = real[real.partition.isin(APART)]
    twice = used[used.groupby(key).partition.transform("nunique") > 1].sort_values([key, "partition", "clip_id"])
    return _named(problem, [f"{row.clip_id} ({row.partition}, {row.source_id})" for row in twice.itertuples()])


def _strays(roots: pd.DataFrame, synthetic: pd.DataFrame) -> list[str]:
    """Synthetic clips of which a parent is not training data, or which do not stand where their root stands."""
    root = roots.reindex(synthetic.root_clip_id)  # row for row beside `synthetic`
    where = root.partition.fillna("unknown").to_numpy()
    astray = synthetic[where != "train"]
    problems = _named(
        "synthetic clips whose root is not a training clip",
        [f"{c} (root {r}: {w})" for c, r, w in zip(astray.clip_id, astray.root_clip_id, where[where != "train"])],
    )
    other = roots.partition.reindex(synthetic.other_clip_id).fillna("unknown").to_numpy()
    astray = (synthetic.other_clip_id != "").to_numpy() & (other != "train")
    problems += _named(
        "synthetic clips blended with a clip that is not a training clip",
        [f"{c} (and {o})" for c, o in zip(synthetic.clip_id[astray], synthetic.other_clip_id[astray])],
    )
    unnamed = synthetic.clip_id[(synthetic.start == "background") & (synthetic.other_clip_id == "")]
    problems += _named("synthetic clips over a background that do not name its clip", unnamed)
    crossed = (synthetic.start == "cross").to_numpy()  # these start from another class on purpose
    for column, exempt in (("source_id", False), ("fold", False), ("label", crossed)):
        differs = (where != "unknown") & (synthetic[column].to_numpy() != root[column].to_numpy()) & ~np.array(exempt)
        problems += _named(f"synthetic clips whose {column} is not their root's", synthetic.clip_id[differs])
    return problems


def _trespassers(roots: pd.DataFrame, clip_ids: list[str], learner: str) -> list[str]:
    """Clips that a model was trained on although they, or their recordings, are held out."""
    held_out = set(roots.source_id[roots.partition.isin(["val", "test"])])
    learned = roots.reindex(clip_ids)
    where = learned.partition.fillna("unknown")
    wrong = [f"{clip_id} ({name})" for clip_id, name in where.items() if name != "train"]
    near = learned.index[(where == "train") & learned.source_id.isin(held_out)]
    return [
        *_named(f"clips outside training that {learner} saw", wrong),
        *_named(f"clips of held-out recordings that {learner} saw", near),
    ]


def _in_disguise(real: pd.DataFrame, learned: pd.DataFrame, unlabelled: Unlabelled) -> list[str]:
    """Unlabelled clips, by their id, that a diffusion model learned although they share sound with held-out clips."""
    held_out = real[real.partition.isin(["val", "test"])]
    who = "unlabelled clips that a diffusion model saw"
    kin = learned.index[shared(learned.source_id, unlabelled.related, real)]
    problems = _named(f"{who}, of recordings that share sound with held-out ones", kin)
    if "sha256" in real and "sha256" in learned:
        same = learned.index[learned.sha256.isin(held_out.sha256)]
        problems += _named(f"{who}, with the same audio as held-out clips", same)
    siblings = unlabelled.clips.clip_id[unlabelled.clips.source_id.isin(learned.source_id)]
    for one, other in (("clip_id", "twin"), ("twin", "clip_id")):
        pairs = unlabelled.duplicates
        pairs = pairs[pairs[one].isin(siblings) & pairs[other].isin(held_out.clip_id)]
        twins = [f"{clip_id} (like {twin})" for clip_id, twin in zip(pairs[one], pairs[other])]
        problems += _named(f"{who}, or of whose recordings it did, that are duplicates of held-out clips", twins)
    return problems


def audit_tables(train: Mapping[str, pd.DataFrame], val: pd.DataFrame, test: pd.DataFrame) -> None:
    """Prove the leak rule once more on the very tables that classifiers read (columns `tables.EXAMPLES`).

    Args:
        train: a table for each arm.
        val: may be empty.
        test: what the classifiers are scored on.

    Raises:
        LeakError: a synthetic clip in val or test; a clip, a recording or a file's bytes in two tables;
            a synthetic clip whose root is not a real clip of the same training table.
    """
    held_out = {"val": val, "test": test}
    problems = []
    for name, table in held_out.items():
        problems += _named(f"synthetic clips in {name}", table.clip_id[table.synthetic])
    for arm, table in train.items():
        orphans = table[table.synthetic & ~table.root_clip_id.isin(table.clip_id[~table.synthetic])]
        problems += _named(f"synthetic clips whose root is not in the training table of {arm}", orphans.clip_id)
        for name, held in held_out.items():
            problems += _shared(f"the training table of {arm}", table, name, held)
    _raise_leaks(problems + _shared("val", val, "test", test))


def _shared(name: str, table: pd.DataFrame, other_name: str, other: pd.DataFrame) -> list[str]:
    problems = []
    for column in ("clip_id", "source_id", "sha256"):
        both = table.clip_id[table[column].isin(other[column])]
        problems += _named(f"clips of {name} that share their {column} with {other_name}", both)
    return problems


def _named(problem: str, clips: Iterable[str]) -> list[str]:
    """One line that counts the clips and names the first ten, or no line where there are none."""
    clips = list(clips)
    names = ", ".join(clips[:10]) + (", …" if len(clips) > 10 else "")
    return [f"{len(clips)} {problem}: {names}"] if clips else []


def _raise_leaks(problems: list[str]) -> None:
    if problems:
        raise LeakError(
            "The leak rule is broken:\n  " + "\n  ".join(problems) + "\n"
            "Correct the catalogue where it is at fault, then run `dvc repro`; "
            "`dvc repro --force` also makes models and synthetic clips anew."
        )
