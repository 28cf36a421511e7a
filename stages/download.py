"""download: turn the chosen source of sounds into a catalogue of usable clips."""

from counterpoise import catalog, datasets, params
from stages import CLIPS, DIFFUSION, DUPLICATES, MENDED, RAW, REJECTED, SYNTHETIC, prune, run


def main() -> None:
    p = params.load()
    for folder in (DIFFUSION, SYNTHETIC):
        prune(folder, keep=p.classes)

    RAW.mkdir(parents=True, exist_ok=True)
    found = datasets.collect(p.data, {slug: info.name for slug, info in p.classes.items()}, RAW)
    catalog.check_clips(found.clips)

    catalog.write(found.clips, CLIPS)
    catalog.write(found.rejected, REJECTED)
    catalog.write(found.mended, MENDED)
    catalog.write(found.duplicates, DUPLICATES)
    print(f"{len(found.clips)} clips of {found.clips.source_id.nunique()} recordings")
    print(f"{len(found.rejected)} rejected ({REJECTED}), {len(found.mended)} mended or doubtful ({MENDED})")
    print(f"{len(found.duplicates)} pairs of the same sound ({DUPLICATES})")


if __name__ == "__main__":
    run(main)
