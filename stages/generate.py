"""generate: fill a rare class up with variations of training clips, and keep those that are good."""

import shutil

import numpy as np
import pandas as pd

from counterpoise import audio, balance, catalog, checkpoint, codecs, judging, params, runtime, splits, variations
from counterpoise.classifiers.embedder import Embedder
from counterpoise.diffusion.model import Model
from counterpoise.latents import Packed, Shelf
from stages import CLIPS, DIFFUSION, JUDGE, LATENTS, SYNTHETIC, prune, run, working


def main(label: str) -> None:
    p = params.load()
    device = runtime.setup(p.runtime)
    folder, out = DIFFUSION / label, SYNTHETIC / label

    # How many, and from which clips
    clips = catalog.read(CLIPS, catalog.CLIPS)
    training = clips[splits.partition(clips, p.split, p.data) == "train"]
    counts = training.label.value_counts().reindex(list(p.classes), fill_value=0)
    plan = balance.plan(counts.to_dict(), p.aug).set_index("label").loc[label]
    wanted = variations.share_out(training, label, int(plan.synthetic), p.generate)
    lineage = variations.lineage(
        training, label, variations.candidates(wanted, p.generate), p.generate, out, folder
    )
    print(f"{label}: {plan.real} real clips, {plan.synthetic} variations wanted ({plan.reason}), making {len(lineage)}")
    prune(out, keep=[])
    if lineage.empty:
        return catalog.write(lineage, out / "lineage.csv")

    # Sample and decode; what an interrupted run has finished is not made again
    roots = training.set_index("clip_id")
    files = sorted({LATENTS / f"{name}.safetensors" for name in {label, *roots.label[lineage.root_clip_id]}})
    codec = codecs.build(p.codec, device)
    key = checkpoint.key(
        stage="generate", latents=[catalog.sha256(file) for file in files], lineage=lineage.to_csv(),
        generate=p.generate, codec=p.codec, audio=p.audio, runtime=p.runtime,
        networks=[catalog.sha256(path) for place in (folder, JUDGE) for path in sorted(place.rglob("*.safetensors"))],
    )
    with working(out, key) as partial:
        made = {clip_id: partial / f"{clip_id}.flac" for clip_id in lineage.clip_id}
        seconds = lineage.set_index("clip_id").root_clip_id.map(roots.seconds)
        for clip_id, wave in variations.make(
            Model.load(folder, device), lineage, Shelf([Packed(file) for file in files]), codec, p.generate,
            p.runtime, device, lambda clip_ids: all(made[clip_id].exists() for clip_id in clip_ids),
        ):  # fmt: skip
            samples = round(seconds[clip_id] * codec.sample_rate)
            audio.write_flac(made[clip_id], audio.fit(wave, samples), codec.sample_rate)

        # Keep the good ones
        keep = np.ones(len(lineage), bool)
        if p.generate.keep == "best":
            judge, embedder = judging.Judge.load(JUDGE), Embedder.of_judge(JUDGE, device)
            sounds = (audio.read(file, p.audio.sample_rate, p.audio.channels) for file in made.values())
            verdicts, embeddings = judging.hear(judge, label, sounds, lambda w: embedder.embed(w, p.audio.sample_rate))
            verdicts = pd.concat([lineage[["clip_id", "root_clip_id"]], verdicts], axis=1)
            verdicts["kept"] = keep = judging.choose(judge, label, verdicts, embeddings, wanted)
            print(judging.summary(label, verdicts, sum(wanted.values())))
            judging.check_useful(label, verdicts)
        out.mkdir(parents=True, exist_ok=True)
        for clip_id, path in zip(lineage.clip_id[keep], lineage.path[keep]):
            shutil.move(made[clip_id], path)
    catalog.write(lineage[keep], out / "lineage.csv")
    if p.generate.keep == "best":
        catalog.write(verdicts[list(catalog.CANDIDATES)], out / "candidates.csv")


if __name__ == "__main__":
    run(main)
