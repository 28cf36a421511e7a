"""generate: fill a rare class up with variations of training clips, the best of those that were made."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from counterpoise import audio, balance, catalog, checkpoint, codecs, judging, params, runtime, splits, variations
from counterpoise.classifiers.embedder import Embedder
from counterpoise.diffusion import networks, sampling
from counterpoise.latents import Normaliser, Packed
from stages import CLIPS, DIFFUSION, JUDGE, LATENTS, PRETRAINED, SYNTHETIC, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    model, out = DIFFUSION / label, SYNTHETIC / label

    # How many, and from which clips
    clips = catalog.read(CLIPS, catalog.CLIPS)
    training = clips[splits.partition(clips, p.split, p.data) == "train"]
    counts = training.label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug).set_index("label").loc[label]
    wanted = variations.share_out(training, label, int(plan.synthetic), p.generate)
    lineage = variations.lineage(
        training, label, variations.candidates(wanted, p.generate), p.generate, out, model
    )
    print(f"{label}: {plan.real} real clips, {plan.synthetic} variations wanted ({plan.reason}), making {len(lineage)}")

    # The clips that they start from
    parents = training.set_index("clip_id")
    files = {name: LATENTS / f"{name}.safetensors" for name in {label, *parents.label[lineage.root_clip_id]}}
    packed = {name: Packed(file) for name, file in files.items()}
    row_of = {clip_id: row for part in packed.values() for row, clip_id in enumerate(part.clips.clip_id)}

    def latent(clip_id: str) -> torch.Tensor:
        return packed[parents.label[clip_id]][row_of[clip_id]]

    # Sample, decode, write; what an interrupted run has finished is not made again
    network, normaliser = networks.load(model / "unet").to(device), Normaliser.load(model / "normaliser.safetensors")
    codec = codecs.build(p.codec, device)
    key = checkpoint.key(
        stage="generate", latents=[catalog.sha256(file) for _, file in sorted(files.items())],
        lineage=lineage.to_csv(), generate=p.generate, codec=p.codec, audio=p.audio, runtime=p.runtime,
        networks=[catalog.sha256(path) for folder in (model, JUDGE) for path in sorted(folder.rglob("*.safetensors"))],
    )
    with working(out, key) as partial:
        frames = [packed[parents.label[root]].clips.frames.iloc[row_of[root]] for root in lineage.root_clip_id]
        batches = sampling.batches(frames, lineage.strength.tolist(), network.frame_multiple, p.generate.batch_size)
        for batch in tqdm(batches, desc=f"generate {label}", unit="batch"):
            made = lineage.iloc[batch]
            paths = [partial / f"{clip_id}.flac" for clip_id in made.clip_id]
            if all(path.exists() for path in paths):
                continue
            sources = [
                sampling.blend(latent(row.root_clip_id), latent(row.other_clip_id), row.seed) if row.other_clip_id
                else latent(row.root_clip_id)
                for row in made.itertuples()
            ]
            schedule = sampling.load_scheduler(model / "scheduler", p.generate.solver, made.strength.iloc[0])
            latents = sampling.vary(
                network, normaliser, schedule, sources, made.seed.tolist(), p.generate, p.runtime, device
            )
            for path, wave, root in zip(paths, codec.decode(latents).cpu().numpy(), made.root_clip_id):
                samples = round(parents.seconds[root] * codec.sample_rate)
                audio.write_flac(path, audio.fit(wave, samples), codec.sample_rate)

        # Keep the best
        if p.generate.keep == "best":
            looked_at = assess(label, [partial / f"{clip_id}.flac" for clip_id in lineage.clip_id], p, device)
            looked_at = pd.concat([lineage[["clip_id", "root_clip_id"]], looked_at], axis=1)
            looked_at["kept"] = judging.choose(looked_at, wanted)
            print(judging.summary(label, looked_at, sum(wanted.values())))
            judging.check_useful(label, looked_at)
        else:
            looked_at = pd.DataFrame({"kept": np.ones(len(lineage), bool)})
        kept = lineage[looked_at.kept.to_numpy()]
        out.mkdir(parents=True, exist_ok=True)
        for clip_id, path in zip(kept.clip_id, kept.path):
            shutil.move(partial / f"{clip_id}.flac", path)
    catalog.write(kept, out / "lineage.csv")
    if p.generate.keep == "best":
        catalog.write(looked_at[list(catalog.CANDIDATES)], out / "candidates.csv")


def assess(label: str, files: list[Path], p: params.Params, device: torch.device) -> pd.DataFrame:
    """What the judge says of each file, in the form in which a classifier would hear it."""
    judge = judging.Judge.load(JUDGE)
    weights = JUDGE / PRETRAINED.name
    embedder = Embedder.audioset(weights, device) if weights.exists() else Embedder.own(JUDGE / "cnn", device)
    said = [catalog.table([], judging.VERDICT)]
    for file in tqdm(files, desc=f"judge {label}", unit="clip"):
        wave = torch.from_numpy(audio.read(file, p.audio.sample_rate, p.audio.channels))[None]
        said.append(judging.assess(judge, label, wave, embedder.embed(wave, p.audio.sample_rate).numpy()))
    return pd.concat(said, ignore_index=True)


if __name__ == "__main__":
    run(main)
