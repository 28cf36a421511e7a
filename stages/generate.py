"""generate: fill a rare class up with variations of its own training clips."""

import shutil

from tqdm import tqdm

from counterpoise import audio, balance, catalog, checkpoint, codecs, params, runtime, splits
from counterpoise.diffusion import networks, sampling
from counterpoise.latents import Normaliser, Packed
from stages import CLIPS, DIFFUSION, LATENTS, SYNTHETIC, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    source, model, out = LATENTS / f"{label}.safetensors", DIFFUSION / label, SYNTHETIC / label

    # How many, and from which clips
    clips = catalog.read(CLIPS, catalog.CLIPS)
    training = clips[splits.partition(clips, p.split, p.data) == "train"]
    counts = training.label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug).set_index("label").loc[label]
    print(f"{label}: {plan.real} real clips, {plan.synthetic} variations to make ({plan.reason})")
    roots = training[training.label == label].set_index("clip_id")
    order = sorted(roots.index, key=lambda clip_id: runtime.seed_for(p.generate.seed, clip_id))
    rows = []
    for root, number in balance.per_root(order, plan.synthetic):
        rows.append({
            "clip_id": f"{root}_v{number}",
            "path": (out / f"{root}_v{number}.flac").as_posix(),
            "label": label,
            "root_clip_id": root,
            "source_id": roots.source_id[root],
            "fold": roots.fold[root],
            "seed": runtime.seed_for(p.generate.seed, root, number),
            "strength": sampling.start_sigma(p.generate),
            "model": model.as_posix(),
        })
    lineage = catalog.table(rows, catalog.LINEAGE)

    # Sample, decode, write; a batch that an interrupted run has finished is not made again
    packed = Packed(source)
    position = {clip_id: row for row, clip_id in enumerate(packed.clips.clip_id)}
    network, normaliser = networks.load(model / "unet").to(device), Normaliser.load(model / "normaliser.safetensors")
    schedule = sampling.load_scheduler(model / "scheduler", p.generate)
    codec = codecs.build(p.codec, device)
    key = checkpoint.key(
        stage="generate", latents=catalog.sha256(source), lineage=lineage.to_csv(), generate=p.generate,
        codec=p.codec, runtime=p.runtime, model=[catalog.sha256(path) for path in sorted(model.rglob("*.safetensors"))],
    )
    with working(out, key) as partial:
        frames = [packed.clips.frames.iloc[position[root]] for root in lineage.root_clip_id]
        batches = sampling.batches(frames, network.frame_multiple, p.generate.batch_size)
        for batch in tqdm(batches, desc=f"generate {label}", unit="batch"):
            made = lineage.iloc[batch]
            files = [partial / f"{clip_id}.flac" for clip_id in made.clip_id]
            if all(file.exists() for file in files):
                continue
            sources = [packed[position[root]] for root in made.root_clip_id]
            latents = sampling.vary(
                network, normaliser, schedule, sources, made.seed.tolist(), p.generate, p.runtime, device
            )
            for file, wave, root in zip(files, codec.decode(latents).cpu().numpy(), made.root_clip_id):
                samples = round(roots.seconds[root] * codec.sample_rate)
                audio.write_flac(file, audio.fit(wave, samples), codec.sample_rate)
        out.mkdir(parents=True, exist_ok=True)
        for clip_id, path in zip(lineage.clip_id, lineage.path):
            shutil.move(partial / f"{clip_id}.flac", path)
    catalog.write(lineage, out / "lineage.csv")


if __name__ == "__main__":
    run(main)
