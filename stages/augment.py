"""augment: the cheap alternatives to diffusion: classical variations, clips over backgrounds, codec round trips."""

import shutil
from pathlib import Path

from counterpoise import codecs
from counterpoise.augment.clips import write_classic, write_over_backgrounds, write_round_trips
from counterpoise.codecs.latents import Packed, Shelf
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from stages.base import paths
from stages.base.work import nothing, prune, run, tell, working


class Params(File):
    audio: Audio
    classes: Classes
    codec: CodecSettings
    runtime: Runtime


def main() -> None:
    p = Params.read()
    lineage, clips = tables.read(paths.CHEAP, tables.LINEAGE), tables.read(paths.ALL, tables.SPLIT)
    if lineage.empty:
        return nothing(paths.AUGMENTED, "no arm needs classical variations or round trips")
    prune(paths.AUGMENTED, keep=[])

    # Make it; what an interrupted run has finished is not made again
    device = runtime.setup(p.runtime)
    parents = clips[clips.clip_id.isin([*lineage.root_clip_id, *lineage.other_clip_id])]
    with working() as partial:
        making = lineage.assign(path=[path.replace(str(paths.AUGMENTED), str(partial), 1) for path in lineage.path])
        write_classic(making[making.start == "classic"], parents, p.audio)
        write_over_backgrounds(making[making.start == "background"], parents, p.audio)
        trips = making[making.start == "roundtrip"]
        if not trips.empty:
            shelf = Shelf([Packed(paths.LATENTS / f"{label}.safetensors") for label in p.classes])
            write_round_trips(trips, parents, shelf, codecs.build(p.codec, device), p.codec.batch_size)
        for made, path in zip(making.path, lineage.path, strict=True):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made, path)
        tables.write(lineage, paths.AUGMENTED / "lineage.csv")
    kinds = ", ".join(f"{start} {amount:,}" for start, amount in lineage.start.value_counts().items())
    tell(paths.AUGMENTED, f"{counted(len(lineage), 'clip')} ({kinds})")


if __name__ == "__main__":
    run(main)
