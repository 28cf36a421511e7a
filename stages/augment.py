"""augment: the cheap alternatives to diffusion, classical variations and round trips through the codec."""

import shutil

from counterpoise import augmentation, balance, catalog, checkpoint, codecs, params, runtime, splits
from counterpoise.arms import Arms
from counterpoise.latents import Packed, Shelf
from stages import AUGMENTED, CLIPS, LATENTS, nothing, prune, run, working


def main() -> None:
    p = params.load()

    # What the arms need
    clips = catalog.read(CLIPS, catalog.CLIPS)
    training = clips[splits.partition(clips, p.split, p.data) == "train"]
    counts = training.label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug)
    arms = Arms(training, plan, p.aug.real_through_codec, p.generate.seed)
    lineage = arms.lineage(p.arms, AUGMENTED, p.codec.name)
    if lineage.empty:
        return nothing(AUGMENTED, "no arm needs classical variations or round trips")
    prune(AUGMENTED, keep=[])
    print("to make:", lineage.start.value_counts().to_dict())

    # Make it; what an interrupted run has finished is not made again
    device = runtime.setup(p.runtime)
    roots = training[training.clip_id.isin(lineage.root_clip_id)]
    files = [LATENTS / f"{label}.safetensors" for label in sorted(set(roots.label))]
    key = checkpoint.key(
        stage="augment", lineage=lineage.to_csv(), clips=[catalog.sha256(path) for path in roots.path],
        latents=[catalog.sha256(file) for file in files], audio=p.audio, codec=p.codec, runtime=p.runtime,
    )
    with working(AUGMENTED, key) as partial:
        unfinished = arms.lineage(p.arms, partial, p.codec.name)
        augmentation.write_classic(unfinished[unfinished.start == "classic"], roots, p.audio)
        trips = unfinished[unfinished.start == "roundtrip"]
        if not trips.empty:
            shelf, codec = Shelf([Packed(file) for file in files]), codecs.build(p.codec, device)
            augmentation.write_round_trips(trips, roots, shelf, codec, p.codec.batch_size)
        AUGMENTED.mkdir(parents=True, exist_ok=True)
        for start in lineage.start.unique():
            shutil.move(partial / start, AUGMENTED)
    catalog.write(lineage, AUGMENTED / "lineage.csv")


if __name__ == "__main__":
    run(main)
