"""UrbanSound8K: 8,732 excerpts of up to 4 s from Freesound, ten classes, ten official folds.

The archive's address and MD5 are those of its Zenodo record, https://zenodo.org/records/1203745 (version 1.0);
soundata, PaddleSpeech and others carry the same MD5. Only the first address answers range requests
(https://github.com/zenodo/zenodo/issues/2593), so only that one resumes.
"""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from counterpoise.datasets import published
from counterpoise.datasets.fetch import Archive
from counterpoise.datasets.settings import Data

COLLECTION = published.Published(
    archive=Archive(
        name="UrbanSound8K",
        file="UrbanSound8K.tar.gz",
        urls=(
            "https://zenodo.org/records/1203745/files/UrbanSound8K.tar.gz?download=1",
            "https://zenodo.org/api/records/1203745/files/UrbanSound8K.tar.gz/content",
        ),
        checksum="md5:9aa69802bbf37fb986f71ec1483a196e",
        max_bytes=10 * 10**9,  # the archive has 6 GB, its files 7 GB
        licence="CC BY-NC 3.0, free for non-commercial use",
        citation=(
            "J. Salamon, C. Jacoby and J. P. Bello, A Dataset and Taxonomy for Urban Sound Research, "
            "22nd ACM International Conference on Multimedia, Orlando, 2014"
        ),
        homepage="https://urbansounddataset.weebly.com/urbansound8k.html",
    ),
    inner=("UrbanSound8K",),
    table="metadata/UrbanSound8K.csv",
    audio="audio/fold{fold}/{file}",
    file="slice_file_name",
    label="class",
    source="fsID",
    fold="fold",
    folds=10,
)


def listing(data: Data, classes: Mapping[str, str], raw: Path) -> pd.DataFrame:
    """The files of the classes asked for; see :func:`published.listing`."""
    return published.listing(COLLECTION, data, classes, raw)
