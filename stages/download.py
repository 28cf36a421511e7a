"""download: turn the chosen source of sounds, and sounds without labels, into catalogues of usable clips."""

import pandas as pd

from counterpoise.core import tables
from counterpoise.core.progress import counted
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.collect import collect
from counterpoise.datasets.settings import Data
from stages.base import paths
from stages.base.work import clips_of_recordings, run, tell


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
    for remark in found.remarks:
        print(f"Look: {remark.text}")
    beside = int(found.rejected.kind.isin([tables.NO_SOUND, tables.LEFT_OUT]).sum())
    also = f", and {counted(beside, 'row')} on what else lies there" if beside else ""
    tell(paths.REJECTED, counted(len(found.rejected) - beside, "rejected file") + also)
    tell(paths.MENDED, f"{counted(len(found.mended), 'note')} on mended or doubtful files")
    tell(paths.DUPLICATES, f"{counted(len(found.duplicates), 'pair')} of the same sound")
    if len(found.unlabelled):
        tell(paths.UNLABELLED, f"{clips_of_recordings(found.unlabelled)}, without labels")
    tell(paths.CLIPS, f"{clips_of_recordings(found.clips)}, in {counted(found.clips.label.nunique(), 'class')}")


if __name__ == "__main__":
    run(main)
