"""encode: audio to codec latents, one packed file a class, and how well the codec gives the sound back."""

import json
import shutil

from counterpoise import codecs
from counterpoise.codecs.encode import encode
from counterpoise.codecs.round_trip import round_trip
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import runtime, tables
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from stages.base import paths
from stages.base.work import run, working


class Params(File):
    classes: Classes
    codec: CodecSettings
    runtime: Runtime


def main() -> None:
    p = Params.read()
    codec = codecs.build(p.codec, runtime.setup(p.runtime))
    clips = tables.read(paths.CLIPS, tables.CLIPS)
    report = {}
    with working(paths.LATENTS) as folder:
        for label in p.classes:
            rows, encoded = clips[clips.label == label], folder / f"{label}.safetensors"
            if not encoded.exists():
                encode(codec, rows, encoded, p.codec.batch_size)
            report[label] = round_trip(codec, rows.head(p.codec.check_clips))
        paths.LATENTS.mkdir(parents=True, exist_ok=True)
        for label in p.classes:
            shutil.move(folder / f"{label}.safetensors", paths.LATENTS)
    paths.METRICS.mkdir(exist_ok=True)
    (paths.METRICS / "codec.json").write_text(json.dumps({p.codec.name: report}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
