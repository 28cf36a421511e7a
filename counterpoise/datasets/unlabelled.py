"""Sounds without labels: every sound file below `data.unlabelled`, whatever the data set."""

import os
from pathlib import Path

import pandas as pd

from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.naming import UNLABELLED, printable
from counterpoise.datasets import tree
from counterpoise.datasets.listing import Listing
from counterpoise.datasets.settings import Data

README = "README.md"  # what the repository itself puts into an empty folder


class UnlabelledError(CounterpoiseError):
    """The folder of unlabelled sounds cannot be used; the message says why."""


def listed(data: Data) -> Listing:
    """List the sound files below `data.unlabelled`. Folders, links and names are as in `own`.

    Returns:
        The files sorted by path, perhaps none, and what is passed over. The label is :data:`naming.UNLABELLED`. Each
        file is its own recording, and has no fold.

    Raises:
        UnlabelledError: there is no such folder, or it is one with `data.path`: see :func:`check_apart`.
        OwnError: a folder cannot be listed.
    """
    root = Path(data.unlabelled)
    if not root.is_dir():
        raise UnlabelledError(
            f"No folder at data.unlabelled {data.unlabelled}: set it to the one that holds your sounds without labels. "
            "An empty one will do where there are none."
        )
    check_apart(data)
    there = tree.walk(root, follow=False)
    sounds = {file for file in there.files if tree.is_sound(file)}
    found = {file.as_posix(): file.relative_to(root).as_posix() for file in [*sounds, *there.loops]}
    rows = [
        {"path": path, "label": UNLABELLED, "source_id": f"{UNLABELLED}/{printable(below)}", "fold": tables.NO_FOLD}
        for path, below in sorted(found.items())
    ]
    beside = [file for file in there.files if file not in sounds and file != root / README]
    passed_over = tree.passed_over(root, beside, there.hidden, UNLABELLED)
    return Listing(tables.table(rows, tables.FILES), passed_over, tables.table([], tables.MENDED))


def listing(data: Data) -> pd.DataFrame:
    """The files alone, columns `tables.FILES`; see :func:`listed`."""
    return listed(data).files


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
