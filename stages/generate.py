"""generate: fill a rare class up with variations of training clips, and keep those that are good."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from counterpoise import codecs
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import audio, runtime, tables, unfinished
from counterpoise.core.audio import Audio
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.diffusion.model import Model
from counterpoise.filtering import class_filter, herding
from counterpoise.filtering.class_filter import ClassFilter
from counterpoise.generation import sdedit
from counterpoise.generation.settings import Generate
from stages.base import paths
from stages.base.work import prune, run, tell, working


class Params(File):
    audio: Audio
    classes: Classes
    codec: CodecSettings
    generate: Generate
    runtime: Runtime


def main(label: str) -> None:
    p = Params.read()
    device, out = runtime.setup(p.runtime), paths.SYNTHETIC / label
    aside = out / paths.REJECTED_BELOW
    planned = tables.read(paths.BALANCE / f"{label}.csv", tables.PLANNED)
    lineage = planned[list(tables.LINEAGE)]
    prune(out, keep=[])
    if lineage.empty:
        tables.write(lineage, out / "lineage.csv")
        return tell(out, "no variations; none are planned")

    # Sample and decode; what an interrupted run has finished is not made again
    shelf = Shelf([Packed(paths.LATENTS / f"{name}.safetensors") for name in p.classes])
    codec = codecs.build(p.codec, device)
    with working() as partial:
        made = {clip_id: partial / f"{clip_id}.flac" for clip_id in lineage.clip_id}
        roots = dict(zip(lineage.clip_id, lineage.root_clip_id, strict=True))
        for clip_id, wave in sdedit.make(
            Model.load(paths.DIFFUSION / label, device),
            lineage,
            shelf,
            codec,
            p.generate,
            p.runtime,
            device,
            lambda clip_ids: all(made[clip_id].exists() for clip_id in clip_ids),
        ):
            samples = round(shelf.seconds(roots[clip_id]) * codec.sample_rate)
            with unfinished.keeping(made[clip_id]) as file:
                audio.write_flac(file, audio.fit(wave, samples), codec.sample_rate)

        # Keep the good ones
        keep, verdicts = np.ones(len(lineage), bool), None
        if p.generate.keep == "best":
            wanted = planned.root_clip_id[~planned.spare].value_counts().to_dict()
            learned, embedder = ClassFilter.load(paths.CLASS_FILTER), ClassFilter.embedder(paths.CLASS_FILTER, device)
            sounds = (audio.read(file, p.audio.sample_rate, p.audio.channels) for file in made.values())
            verdicts, embeddings = class_filter.examine_all(
                learned, label, sounds, lambda wave: embedder.embed(wave, p.audio.sample_rate)
            )
            verdicts = pd.concat([lineage[["clip_id", "root_clip_id"]], verdicts], axis=1)
            verdicts["kept"] = keep = herding.choose(learned, label, verdicts, embeddings, wanted)
            print(class_filter.summary(label, verdicts, sum(wanted.values())))
            class_filter.check_useful(label, verdicts)
        rejected = lineage[~keep]
        rejected = rejected.assign(path=[(aside / f"{clip_id}.flac").as_posix() for clip_id in rejected.clip_id])
        for row in (*lineage[keep].itertuples(), *rejected.itertuples()):
            Path(row.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made[row.clip_id], row.path)
        tables.write(lineage[keep], out / "lineage.csv")
        if verdicts is not None:
            tables.write(verdicts[list(tables.CANDIDATES)], out / "candidates.csv")
            tables.write(rejected, aside / "lineage.csv")
    tell(out, f"{keep.sum():,} of {len(lineage):,} variations kept")


if __name__ == "__main__":
    run(main)
