"""group_split: one training table an arm, val and test; every variation stays with its root, and it is proved."""

import json

import pandas as pd

from counterpoise import balance, catalog, collection, duplicates, params, pictures, splits
from stages import (
    CLASSIFIER, CLIPS, DIFFUSION, DUPLICATES, MENDED, METRICS, PLOTS, REJECTED, SPLITS, SYNTHETIC, prune, run,
)

WITH_SYNTHETIC = {"diffusion"}  # arms whose training table holds variations


def main() -> None:
    p = params.load()
    prune(CLASSIFIER, keep=[f"{arm}-{model}" for arm in p.arms for model in p.models])

    # Real clips, variations, and what the diffusion models saw
    clips = catalog.read(CLIPS, catalog.CLIPS)
    clips["partition"] = splits.partition(clips, p.split, p.data)
    splits.check_folds(clips, p.split)
    splits.check_amounts(clips, clips.partition, list(p.classes), p.data.min_recordings, p.split)
    lineage = pd.concat([catalog.read(SYNTHETIC / label / "lineage.csv", catalog.LINEAGE) for label in p.classes])
    seen = {label: json.loads((DIFFUSION / label / "seen.json").read_text())["clip_ids"] for label in p.classes}

    # Tables
    hashes = {path: catalog.sha256(path) for path in [*clips.path, *lineage.path]}
    part = {name: clips[clips.partition == name] for name in ("train", "val", "test")}
    held_out = {name: splits.examples(part[name], None, hashes.get) for name in ("val", "test")}
    train = {
        arm: splits.examples(part["train"], lineage if arm in WITH_SYNTHETIC else None, hashes.get) for arm in p.arms
    }

    # Proof
    audit = splits.audit(clips.assign(sha256=clips.path.map(hashes)), lineage, seen)
    splits.audit_tables(train, **held_out)

    # Outputs
    SPLITS.mkdir(parents=True, exist_ok=True)
    for name, table in {**held_out, **{f"train_{arm}": table for arm, table in train.items()}}.items():
        catalog.write(table, SPLITS / f"{name}.csv")
    counts = part["train"].label.value_counts().reindex(list(p.classes), fill_value=0)
    catalog.write(balance.plan(counts.to_dict(), p.aug), SPLITS / "balance.csv")
    (SPLITS / "audit.json").write_text(json.dumps(audit, indent=2) + "\n")
    described = collection.describe(
        clips, clips.partition, catalog.read(REJECTED, catalog.REJECTED), catalog.read(MENDED, catalog.MENDED),
        duplicates.Duplicates(catalog.read(DUPLICATES, catalog.DUPLICATES)),
    )
    METRICS.mkdir(exist_ok=True)
    (METRICS / "data.json").write_text(json.dumps(described, indent=1) + "\n")
    names = {slug: info.name for slug, info in p.classes.items()}
    pictures.collection(described, names, PLOTS / "collection.png")
    print(*described["warnings"], sep="\n")
    print(f"no leak: {json.dumps(audit['real'])}, {len(lineage)} variations beside their roots")


if __name__ == "__main__":
    run(main)
