"""Who trains, who is held out, and the proof that nothing crosses over.

The unit of the split is the recording (`source_id`), never the clip: on UrbanSound8K a split by clip
scores some 20 points too high, because clips cut from one recording lie on both sides. A variation
belongs to the clip that it started from, so it may only ever join training.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd
from tqdm import tqdm

from counterpoise import CounterpoiseError, catalog
from counterpoise.params import Data, Split
from counterpoise.runtime import seed_for

APART = ("train", "val", "test")  # no recording in two of these; "unused" clips reach no model at all


class SplitError(CounterpoiseError):
    """A split that cannot be trained or tested on; the message says which numbers are short and what to do."""


class LeakError(SplitError):
    """Held-out audio reached training; the message names the clips."""


def partition(clips: pd.DataFrame, split: Split, data: Data) -> pd.Series:
    """Assign every clip to train, val, test or unused.

    The answer for a clip depends on its own row and on the rows of its own class, and on nothing else, so
    that a stage which holds a single class comes to the same answer as one which holds them all.

    Args:
        clips: the columns clip_id, label, source_id and fold; any order, one class or many.
        split: the held-out folds; without `val_fold`, the share `val_fraction` of the other folds'
            recordings is held out, whatever classes they hold.
        data: `limit` cuts a class's training recordings or clips. A higher limit keeps what a lower one kept.

    Returns:
        "train" | "val" | "test" | "unused", on the index of `clips`.

    Raises:
        SplitError: one fold is asked to be both val and test.
    """
    if split.val_fold == split.test_fold:
        raise SplitError(
            f"split.val_fold and split.test_fold are both {split.test_fold}: a fold can be one of them. "
            "Choose another fold, or set split.val_fold to null."
        )
    if split.val_fold is None:
        shares = [seed_for("val", split.seed, source) / 2**63 for source in clips.source_id]  # uniform in 0..1
        validation = np.array(shares) < split.val_fraction
    else:
        validation = (clips.fold == split.val_fold).to_numpy()
    test = (clips.fold == split.test_fold).to_numpy()
    partitions = np.select([test, validation], ["test", "val"], default="train").astype(object)
    turns_of = _recording_turns if data.limit_unit == "recordings" else clip_turns
    for label, allowed in data.limits().items():
        training = (clips.label == label).to_numpy() & (partitions == "train")
        turns = turns_of(clips[training], split.seed)
        partitions[training] = np.where(turns < allowed, "train", "unused")
    return pd.Series(partitions, index=clips.index, name="partition", dtype="str")


def _recording_turns(clips: pd.DataFrame, seed: int) -> np.ndarray:
    """The place of each clip's recording, from 0, when recordings are drawn one after another: int `[clips]`."""
    order = sorted(set(clips.source_id), key=lambda source: (seed_for("limit", seed, source), source))
    place = {source: turn for turn, source in enumerate(order)}
    return np.array([place[source] for source in clips.source_id], dtype=int)


def clip_turns(clips: pd.DataFrame, seed: int) -> np.ndarray:
    """The place of each clip, from 0, when every recording gives one clip a round: int `[clips]`.

    Whoever takes the clips of the first n places spreads them over as many recordings as there are.
    """
    recording = _recording_turns(clips, seed)
    hashes = pd.Series([seed_for("limit", seed, clip_id) for clip_id in clips.clip_id], dtype="int64")
    rounds = hashes.groupby(recording).rank(method="first")
    turns = np.zeros(len(clips), dtype=int)
    turns[np.lexsort((recording, rounds))] = np.arange(len(clips))
    return turns


def check_folds(clips: pd.DataFrame, split: Split) -> None:
    """Stop where a held-out fold does not occur in the whole catalogue.

    Raises:
        SplitError: the message names the folds that there are.
    """
    folds = sorted(int(fold) for fold in clips.fold.unique())
    for key, fold in (("test_fold", split.test_fold), ("val_fold", split.val_fold)):
        if fold is not None and fold not in folds:
            raise SplitError(
                f"split.{key} is {fold}, but no clip lies in that fold; the catalogue has the folds "
                f"{', '.join(map(str, folds)) or '(none: it is empty)'}. Set split.{key} to one of these."
            )


def check_amounts(
    clips: pd.DataFrame, partitions: pd.Series, labels: Iterable[str], min_recordings: int, split: Split
) -> None:
    """Stop before training where a class has too little to train or nothing to be tested on.

    Args:
        clips: the catalogue, or one class's rows of it.
        partitions: what :func:`partition` said of it.
        labels: the slugs of the classes that must be there.
        min_recordings: the fewest training recordings that a class may have.
        split: names the test fold in the message.

    Raises:
        SplitError: one message for all classes that fall short.
    """
    short = []
    for label in labels:
        own = clips.label == label
        recordings = clips.source_id[own & (partitions == "train")].nunique()
        if recordings < min_recordings:
            line = f"{label}: {recordings} training recording(s), at least {min_recordings} are needed"
            unused = int((own & (partitions == "unused")).sum())
            short.append(line + (f" (data.limit or data.scarce leaves {unused} clip(s) unused)" if unused else ""))
        if not (own & (partitions == "test")).any():
            short.append(f"{label}: no test clip in fold {split.test_fold}")
    if short:
        raise SplitError(
            "Some classes cannot be trained and tested:\n  " + "\n  ".join(short) + "\n"
            "Add recordings, choose another split.test_fold, lower data.min_recordings, raise data.limit or "
            "data.scarce.limit, or remove the class from `classes`; then run `dvc repro`."
        )


def audit(
    real: pd.DataFrame, synthetic: pd.DataFrame, seen: Mapping[str, Iterable[str]], judge: Iterable[str] = ()
) -> dict:
    """Prove the leak rule on what was really made, or fail.

    Args:
        real: the catalogue with its `partition`; where it also has `sha256`, equal audio is looked for.
        synthetic: the lineage of every clip that was made, by whatever means (columns `catalog.LINEAGE`).
        seen: for each label, the clips that its diffusion model was trained on.
        judge: the clips that the judge learned from; none where every variation was kept.

    Returns:
        What was checked, ready for JSON: clips and recordings of each partition, synthetic clips of each start and
        of each label, and how many clips each model and the judge learned from.

    Raises:
        LeakError: every way in which the rule is broken, each with its clips.
    """
    roots = real.drop_duplicates("clip_id").set_index("clip_id")
    seen, judge = {label: list(clip_ids) for label, clip_ids in seen.items()}, list(judge)
    problems = _straddling(real, "source_id", "clips of a recording that lies in two partitions")
    if "sha256" in real:
        problems += _straddling(real, "sha256", "clips of the same audio in two partitions (remove all but one)")
    ids = pd.concat([real.clip_id, synthetic.clip_id])
    problems += _named("clip ids that occur more than once", sorted(set(ids[ids.duplicated()])))
    problems += _strays(roots, synthetic)
    for label, clip_ids in seen.items():
        problems += _trespassers(roots, clip_ids, f"the diffusion model of {label}")
    problems += _trespassers(roots, judge, "the judge")
    unproven = synthetic.clip_id[~synthetic.start.isin(catalog.CHEAP) & ~synthetic.label.isin(list(seen))]
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
        "seen": {label: len(clip_ids) for label, clip_ids in sorted(seen.items())},
        "judge": len(judge),
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


def audit_tables(train: Mapping[str, pd.DataFrame], val: pd.DataFrame, test: pd.DataFrame) -> None:
    """Prove the leak rule once more on the very tables that classifiers read (columns `catalog.EXAMPLES`).

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


def examples(real: pd.DataFrame, synthetic: pd.DataFrame | None, sha256: Callable[[str], str]) -> pd.DataFrame:
    """The table that a classifier reads: these clips, sorted by id, each with the hash of its file.

    Args:
        real: rows of the catalogue (columns `catalog.CLIPS`).
        synthetic: rows of lineage (columns `catalog.LINEAGE`), or None.
        sha256: from a path to the hex digest of the file.

    Returns:
        The columns `catalog.EXAMPLES`; a real clip is its own root.
    """
    table = real.assign(root_clip_id=real.clip_id, synthetic=False)
    if synthetic is not None:
        table = pd.concat([table, synthetic.assign(synthetic=True)])
    table = table.sort_values("clip_id", ignore_index=True, kind="stable")
    table["sha256"] = [sha256(path) for path in tqdm(table.path, desc="hash audio", unit="clip")]
    return table[list(catalog.EXAMPLES)].astype(catalog.EXAMPLES)
