"""split: who trains and who is held out, one table for all, one a class and one of unlabelled clips."""

from counterpoise.core import tables
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.splits import split
from counterpoise.splits.split import Split
from stages.base import paths
from stages.base.work import clips_of_recordings, prune, run, tell


class Params(File):
    classes: Classes
    data: Data
    split: Split


def main() -> None:
    p = Params.read()
    prune(paths.SPLIT, keep=[])
    clips = tables.read(paths.CLIPS, tables.CLIPS)
    split.check_folds(clips.fold, p.split)
    clips["partition"] = split.partition(clips, p.split, p.data)
    split.check_amounts(clips, clips.partition, list(p.classes), p.data.min_recordings, p.split)

    tables.write(clips, paths.ALL)
    for label in p.classes:
        tables.write(clips[clips.label == label], paths.SPLIT / f"{label}.csv")
    for name, own in clips.groupby("partition"):
        tell(paths.ALL, f"{name}, {clips_of_recordings(own)}")

    # What the shared base may learn beside them
    unlabelled, related = tables.read(paths.UNLABELLED, tables.CLIPS), tables.read(paths.RELATED, tables.RELATED)
    unlabelled["partition"] = split.partition_unlabelled(unlabelled, related, clips)
    tables.write(unlabelled, paths.UNLABELLED_SPLIT)
    for name, own in unlabelled.groupby("partition"):
        why = {"train": "the shared base may learn them", "unused": "they share sound with recordings of val or test"}
        tell(paths.UNLABELLED_SPLIT, f"{name}, {clips_of_recordings(own)}; {why[name]}")


if __name__ == "__main__":
    run(main)
