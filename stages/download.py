"""download: turn the chosen source of sounds into a catalogue of usable clips."""

from counterpoise import catalog, datasets, params
from stages import CLIPS, DIFFUSION, RAW, REJECTED, SYNTHETIC, prune, run


def main() -> None:
    p = params.load()
    for folder in (DIFFUSION, SYNTHETIC):
        prune(folder, keep=p.classes)

    RAW.mkdir(parents=True, exist_ok=True)
    clips, rejected = datasets.collect(p.data, {slug: info.name for slug, info in p.classes.items()}, RAW)
    catalog.check_clips(clips)

    catalog.write(clips, CLIPS)
    catalog.write(rejected, REJECTED)
    print(f"{len(clips)} clips of {clips.source_id.nunique()} recordings; {len(rejected)} rejected ({REJECTED})")


if __name__ == "__main__":
    run(main)
