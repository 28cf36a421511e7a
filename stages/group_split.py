"""group_split: one training table an arm, val and test; every variation stays with its root, and it is proved."""

import json
from pathlib import Path

import pandas as pd

from counterpoise.arms import arm
from counterpoise.core import seen, tables
from counterpoise.core.progress import counted
from counterpoise.core.settings import Classes, File
from counterpoise.datasets import duplicates, plots, summary
from counterpoise.generation.settings import Generate
from counterpoise.splits import audit, balance, split
from counterpoise.splits.balance import Aug
from counterpoise.splits.training_tables import Material
from stages.base import paths
from stages.base.work import clips_of_recordings, is_empty, run, tell


class Params(File):
    arms: list[str]
    aug: Aug
    classes: Classes
    generate: Generate


def main() -> None:
    p = Params.read()

    # Real clips, clips that were made, and what the models learned from; a folder may say that it holds nothing
    clips = tables.read(paths.ALL, tables.SPLIT)
    made = [lineage_of(folder) for folder in (*(paths.SYNTHETIC / label for label in p.classes), paths.AUGMENTED)]
    lineage = pd.concat(made, ignore_index=True)
    unlabelled = tables.read(paths.UNLABELLED_SPLIT, tables.SPLIT)
    found = duplicates.Duplicates(tables.read(paths.DUPLICATES, tables.DUPLICATES))
    learned = {label: seen.read(paths.DIFFUSION / label)["clip_ids"] for label in p.classes}
    filtered = [] if is_empty(paths.CLASS_FILTER) else seen.read(paths.CLASS_FILTER)["clip_ids"]

    # Tables
    hashes: dict[str, str] = {path: tables.sha256(path) for path in [*clips.path, *lineage.path, *unlabelled.path]}
    part = {name: clips[clips.partition == name] for name in ("train", "val", "test")}
    held_out = {name: split.examples(part[name], None, hashes.__getitem__) for name in ("val", "test")}
    plan = tables.read(paths.PLAN, tables.BALANCE)
    material = Material(part["train"], plan, p.aug.real_through_codec, p.generate.seed)
    train = {name: material.table(arm.load(name), lineage, hashes.__getitem__) for name in p.arms}

    # Proof
    clips, unlabelled = (table.assign(sha256=table.path.map(hashes)) for table in (clips, unlabelled))
    apart = audit.Unlabelled(unlabelled, tables.read(paths.RELATED, tables.RELATED), found.pairs)
    proof = audit.audit(clips, lineage, learned, filtered, apart)
    audit.audit_tables(train, **held_out)

    # Outputs
    paths.SPLITS.mkdir(parents=True, exist_ok=True)
    for name, table in {**held_out, **{f"train_{name}": table for name, table in train.items()}}.items():
        tables.write(table, paths.SPLITS / f"{name}.csv")
    (paths.SPLITS / "audit.json").write_text(json.dumps(proof, indent=2) + "\n")
    described = summary.describe(
        clips,
        clips.partition,
        tables.read(paths.REJECTED, tables.REJECTED),
        tables.read(paths.MENDED, tables.MENDED),
        found,
        unlabelled,
    )
    adding = any(arm.load(name).fills for name in p.arms)
    described["warnings"] += balance.warnings(plan, p.aug.warn_above) if adding else []
    described["warnings"] += json.loads(paths.ROUND_TRIPS.read_text())["warnings"]
    paths.METRICS.mkdir(exist_ok=True)
    (paths.METRICS / "data.json").write_text(json.dumps(described, indent=1) + "\n")
    names = {slug: info.name for slug, info in p.classes.items()}
    plots.collection(described, names, paths.PLOTS / "collection.png")
    print(*described["warnings"], sep="\n")
    real, added = clips_of_recordings(clips), counted(len(lineage), "added clip")
    tell(
        paths.SPLITS,
        f"{counted(len(train), 'training table')}, val and test; no leak: {real}, {added} beside their roots",
    )


def lineage_of(folder: Path) -> pd.DataFrame:
    if is_empty(folder):
        return tables.table([], tables.LINEAGE)
    return tables.read(folder / "lineage.csv", tables.LINEAGE)


if __name__ == "__main__":
    run(main)
