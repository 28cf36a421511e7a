"""download: turn the chosen source of sounds, and sounds without labels, into catalogues of usable clips."""

import pandas as pd

from counterpoise.core import tables
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.collect import collect
from counterpoise.datasets.settings import Data
from stages.base import paths
from stages.base.work import run


class Params(File):
    classes: Classes
    data: Data


def main() -> None:
    p = Params.read()
    paths.RAW.mkdir(parents=True, exist_ok=True)
    found = collect(p.data, {slug: info.name for slug, info in p.classes.items()}, paths.RAW)
    tables.check_clips(pd.concat([found.clips, found.unlabelled]))

    tables.write(found.clips, paths.CLIPS)
    tables.write(found.rejected, paths.REJECTED)
    tables.write(found.mended, paths.MENDED)
    tables.write(found.duplicates, paths.DUPLICATES)
    tables.write(found.unlabelled, paths.UNLABELLED)
    tables.write(found.related, paths.RELATED)
    print(f"{len(found.clips)} clips of {found.clips.source_id.nunique()} recordings")
    if len(found.unlabelled):
        print(f"{len(found.unlabelled)} clips of {found.unlabelled.source_id.nunique()} recordings without labels")
    print(f"{len(found.rejected)} rejected ({paths.REJECTED})")
    print(f"{len(found.mended)} notes on mended or doubtful files ({paths.MENDED})")
    print(f"{len(found.duplicates)} pairs of the same sound ({paths.DUPLICATES})")


if __name__ == "__main__":
    run(main)
