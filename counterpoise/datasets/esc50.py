"""ESC-50: 2,000 excerpts of 5 s from Freesound, fifty classes of forty, five official folds.

The data set is published as a git repository, https://github.com/karolpiczak/ESC-50. GitHub packs the archive of a
commit anew now and then, and its bytes change with the packing: public loaders give five MD5s for this one. So the
content is checked instead, against the index of soundata 0.1.3 (soundata/datasets/indexes/esc50_index.json): it has
the MD5 of the table, which other loaders carry too, and of every audio file. The addresses are the last commit known,
the one in the data set's README, and PaddleSpeech's copy of an earlier packing.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from counterpoise.datasets import published
from counterpoise.datasets.fetch import Archive
from counterpoise.datasets.settings import Data
from counterpoise.datasets.unpack import ArchiveError

COMMIT = "33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6"
TABLE = "meta/esc50.csv"
TABLE_MD5 = "54a0d0055a10bb7df84ad340a148722e"
# SHA-256 of the MD5s of all audio files; `LC_ALL=C; cd audio && md5sum *.wav | sha256sum` prints it.
AUDIO_SHA256 = "7dac98ebb302b554321c1ceacd9ab75bb0769516f66d19b4f3a6a6874355c2f2"


def check(folder: Path) -> None:
    """Raise ArchiveError unless an unpacked archive holds the published table and audio, byte by byte."""
    try:
        root = published.find(COLLECTION, folder)
    except published.PublishedError:
        raise ArchiveError(f"the archive is not ESC-50: it holds no {TABLE}") from None
    table = hashlib.md5((root / TABLE).read_bytes()).hexdigest()
    if table != TABLE_MD5:
        raise ArchiveError(f"the archive's {TABLE} has the MD5 {table}; published is {TABLE_MD5}")
    paths = sorted((root / "audio").glob("*.wav"))
    lines = "".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths)
    if hashlib.sha256(lines.encode()).hexdigest() != AUDIO_SHA256:
        raise ArchiveError(f"the archive's {len(paths)} audio files are not the 2000 published ones")


COLLECTION = published.Published(
    archive=Archive(
        name="ESC-50",
        file="ESC-50.zip",
        urls=(
            f"https://github.com/karolpiczak/ESC-50/archive/{COMMIT}.zip",
            "https://github.com/karolpiczak/ESC-50/archive/master.zip",
            "https://paddleaudio.bj.bcebos.com/datasets/ESC-50-master.zip",
        ),
        checksum=None,
        max_bytes=2 * 10**9,  # the archive has 0.65 GB, its files 0.9 GB
        licence="CC BY-NC 3.0, free for non-commercial use; the clips of ESC-10: CC BY 3.0 (the collection's LICENSE)",
        citation=(
            "K. J. Piczak, ESC: Dataset for Environmental Sound Classification, "
            "23rd ACM International Conference on Multimedia, Brisbane, 2015, doi 10.1145/2733373.2806390"
        ),
        homepage="https://github.com/karolpiczak/ESC-50",
    ),
    inner=(f"ESC-50-{COMMIT}", "ESC-50-master", "ESC-50"),
    table=TABLE,
    audio="audio/{file}",
    file="filename",
    label="category",
    source="src_file",
    fold="fold",
    folds=5,
    check=check,
)


def listing(data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """The files of the classes asked for; see :func:`published.listing`."""
    return published.listing(COLLECTION, data, classes, raw)
