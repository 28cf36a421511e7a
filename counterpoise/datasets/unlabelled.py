"""Sounds without labels: every sound file below `data.unlabelled`, whatever the data set."""

import os
from pathlib import Path

import pandas as pd

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.naming import UNLABELLED, printable
from counterpoise.datasets import own
from counterpoise.datasets.settings import Data


class UnlabelledError(CounterpoiseError):
    """The folder of unlabelled sounds cannot be used; the message says why."""


def listing(data: Data) -> pd.DataFrame:
    """List the sound files below `data.unlabelled`; no file is opened. Folders, links and names are as in `own`.

    Returns:
        Columns `tables.FILES`, sorted by path, perhaps without rows. The label is :data:`naming.UNLABELLED`. Each file
        is its own recording, and has no fold.

    Raises:
        UnlabelledError: there is no such folder, or it is one with `data.path`: see :func:`check_apart`.
        own.OwnError: a folder cannot be listed.
    """
    root = Path(data.unlabelled)
    if not root.is_dir():
        raise UnlabelledError(
            f"No folder at data.unlabelled {data.unlabelled}: set it to the one that holds your sounds without labels. "
            "An empty one will do where there are none."
        )
    check_apart(data)
    files, links = own.files_below(root, follow=False)
    found = {file.as_posix(): file.relative_to(root).as_posix() for file in [*filter(own.is_sound, files), *links]}
    rows = [
        {"path": path, "label": UNLABELLED, "source_id": f"{UNLABELLED}/{printable(below)}", "fold": 0}
        for path, below in sorted(found.items())
    ]
    return tables.table(rows, tables.FILES)


def check_apart(data: Data) -> None:
    """Stop where one of the folders of labelled and of unlabelled sounds lies in the other, or is the other.

    Raises:
        UnlabelledError: the message names both.
    """
    path, apart = (Path(os.path.realpath(folder)) for folder in (data.path, data.unlabelled))
    if path.is_relative_to(apart) or apart.is_relative_to(path):
        raise UnlabelledError(
            f"data.path is {data.path}, and data.unlabelled {data.unlabelled}: one lies in the other, and the same "
            "sounds would be taken with labels and without. Move one of them, and set its key in params.yaml."
        )
