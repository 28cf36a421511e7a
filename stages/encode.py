"""encode: audio to codec latents, one packed file a class and one of unlabelled clips; how sound comes back."""

import json
import shutil

from counterpoise import codecs
from counterpoise.codecs import round_trip as trip
from counterpoise.codecs.encode import encode
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import runtime, tables
from counterpoise.core.audio import Audio
from counterpoise.core.naming import UNLABELLED
from counterpoise.core.progress import counted
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from stages.base import paths
from stages.base.work import run, tell, working


class Params(File):
    audio: Audio
    classes: Classes
    codec: CodecSettings
    runtime: Runtime


def main() -> None:
    p = Params.read()
    codec = codecs.build(p.codec, runtime.setup(p.runtime))
    clips, unlabelled = (tables.read(path, tables.CLIPS) for path in (paths.CLIPS, paths.UNLABELLED))
    parts = {label: clips[clips.label == label] for label in p.classes}
    parts |= {UNLABELLED: unlabelled} if len(unlabelled) else {}
    report = {}
    with working() as folder:
        for label, rows in parts.items():
            encoded = folder / f"{label}.safetensors"
            if not encoded.exists():
                encode(codec, rows, encoded, p.codec.batch_size)
            if label != UNLABELLED:
                tried = rows.head(p.codec.check_clips)
                report[label] = trip.round_trip(codec, tried, p.audio.sample_rate, p.audio.channels)
        trip.check(codec, report)
        doubts = trip.warnings(codec, report, clips, p.audio.sample_rate, p.audio.channels)
        view = {p.codec.name: report, "warnings": doubts}
        paths.ROUND_TRIPS.parent.mkdir(parents=True, exist_ok=True)
        paths.ROUND_TRIPS.write_text(json.dumps(view, indent=2, ensure_ascii=False) + "\n")
        paths.LATENTS.mkdir(parents=True, exist_ok=True)
        for label in parts:
            shutil.move(folder / f"{label}.safetensors", paths.LATENTS)
    print(*(f"warning: {doubt}" for doubt in doubts), sep="\n", end="\n" if doubts else "")
    without = f", and {len(unlabelled):,} of clips without labels" if len(unlabelled) else ""
    tell(paths.LATENTS, f"{counted(len(clips), 'latent')} of {counted(len(p.classes), 'class')}{without}")


if __name__ == "__main__":
    run(main)
