"""encode: audio to codec latents, one packed file a class, and how well the codec gives the sound back."""

import json
import shutil

from counterpoise import catalog, checkpoint, codecs, encoding, params, runtime
from stages import CLIPS, LATENTS, METRICS, run, working


def main() -> None:
    p = params.load()
    codec = codecs.build(p.codec, runtime.setup(p.runtime))
    clips = catalog.read(CLIPS, catalog.CLIPS)
    contents = [catalog.sha256(path) for path in clips.path]
    key = checkpoint.key(
        stage="encode", codec=p.codec, runtime=p.runtime, classes=list(p.classes),
        clips=clips.to_csv(), contents=contents,
    )
    report = {}
    with working(LATENTS, key) as folder:
        for label in p.classes:
            rows, encoded = clips[clips.label == label], folder / f"{label}.safetensors"
            if not encoded.exists():
                encoding.encode(codec, rows, encoded, p.codec.batch_size)
            report[label] = encoding.round_trip(codec, rows.head(p.codec.check_clips))
        LATENTS.mkdir(parents=True, exist_ok=True)
        for label in p.classes:
            shutil.move(folder / f"{label}.safetensors", LATENTS)
    METRICS.mkdir(exist_ok=True)
    (METRICS / "codec.json").write_text(json.dumps({p.codec.name: report}, indent=2) + "\n")


if __name__ == "__main__":
    run(main)
