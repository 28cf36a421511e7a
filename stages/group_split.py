"""group_split: one training table an arm, val and test; every variation stays with its root, and it is proved."""

import json
from pathlib import Path

import pandas as pd

from counterpoise import balance, catalog, collection, duplicates, params, pictures, splits
from counterpoise.arms import ADDING, Arms
from stages import (
    AUGMENTED, CLASSIFIER, CLIPS, DIFFUSION, DUPLICATES, JUDGE, MENDED, METRICS, PLOTS, REJECTED, SPLITS, SYNTHETIC,
    is_empty, prune, run,
)


def main() -> None:
    p = params.load()
    prune(CLASSIFIER, keep=[f"{arm}-{model}" for arm in p.arms for model in p.models])

    # Real clips, clips that were made, and what the models learned from; a folder may say that it holds nothing
    clips = catalog.read(CLIPS, catalog.CLIPS)
    clips["partition"] = splits.partition(clips, p.split, p.data)
    splits.check_folds(clips, p.split)
    splits.check_amounts(clips, clips.partition, list(p.classes), p.data.min_recordings, p.split)
    made = [lineage_of(folder) for folder in (*(SYNTHETIC / label for label in p.classes), AUGMENTED)]
    lineage = pd.concat(made, ignore_index=True)
    models = {label: DIFFUSION / label for label in p.classes if not is_empty(DIFFUSION / label)}
    seen = {label: json.loads((folder / "seen.json").read_text())["clip_ids"] for label, folder in models.items()}
    judge = [] if is_empty(JUDGE) else json.loads((JUDGE / "judge.json").read_text())["clips"]["clip_id"]

    # Tables
    hashes = {path: catalog.sha256(path) for path in [*clips.path, *lineage.path]}
    part = {name: clips[clips.partition == name] for name in ("train", "val", "test")}
    held_out = {name: splits.examples(part[name], None, hashes.get) for name in ("val", "test")}
    counts = part["train"].label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug)
    arms = Arms(part["train"], plan, p.aug.real_through_codec, p.generate.seed)
    train = {arm: arms.table(arm, lineage, hashes.get) for arm in p.arms}

    # Proof
    audit = splits.audit(clips.assign(sha256=clips.path.map(hashes)), lineage, seen, judge)
    splits.audit_tables(train, **held_out)

    # Outputs
    SPLITS.mkdir(parents=True, exist_ok=True)
    for name, table in {**held_out, **{f"train_{arm}": table for arm, table in train.items()}}.items():
        catalog.write(table, SPLITS / f"{name}.csv")
    catalog.write(plan, SPLITS / "balance.csv")
    (SPLITS / "audit.json").write_text(json.dumps(audit, indent=2) + "\n")
    described = collection.describe(
        clips, clips.partition, catalog.read(REJECTED, catalog.REJECTED), catalog.read(MENDED, catalog.MENDED),
        duplicates.Duplicates(catalog.read(DUPLICATES, catalog.DUPLICATES)),
    )
    described["warnings"] += balance.warnings(plan, p.aug.warn_above) if ADDING & set(p.arms) else []
    METRICS.mkdir(exist_ok=True)
    (METRICS / "data.json").write_text(json.dumps(described, indent=1) + "\n")
    names = {slug: info.name for slug, info in p.classes.items()}
    pictures.collection(described, names, PLOTS / "collection.png")
    print(*described["warnings"], sep="\n")
    print(f"no leak: {json.dumps(audit['real'])}, {len(lineage)} added clips beside their roots")


def lineage_of(folder: Path) -> pd.DataFrame:
    if is_empty(folder):
        return catalog.table([], catalog.LINEAGE)
    return catalog.read(folder / "lineage.csv", catalog.LINEAGE)


if __name__ == "__main__":
    run(main)
