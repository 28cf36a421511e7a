"""What a source lists: its files, what it passes over, and what it took to be so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from counterpoise.core import CounterpoiseError, tables
from counterpoise.datasets.settings import Data


class OwnError(CounterpoiseError):
    """The folder, the pattern or the table does not say which sounds there are; the message names what was found."""


@dataclass(frozen=True)
class Remark:
    """Something that a listing took to be so, or did not take, and how to set it otherwise.

    Attributes:
        about: a word that programs can rely on.
        what: what is so, with the value.
        why: what follows from it.
        do: what to set, and when.
        details: what it is about, a line each.
        settings: values of params.yaml that would change it, by dotted key.
    """

    about: str
    what: str
    why: str
    do: str
    details: tuple[str, ...] = ()
    settings: dict[str, object] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it in one line."""
        return " ".join([self.what, self.why, self.do])


@dataclass(frozen=True)
class Listing:
    """The files of a source.

    Attributes:
        files: columns `tables.FILES`.
        passed_over: what lies in its folder and is not listed, columns `tables.REJECTED`.
        noted: what is said of single files, columns `tables.MENDED`.
        remarks: what the whole listing took to be so.
        others: classes that are left out, as people wrote them.
    """

    files: pd.DataFrame
    passed_over: pd.DataFrame
    noted: pd.DataFrame
    remarks: tuple[Remark, ...] = ()
    others: tuple[str, ...] = ()


Lister = Callable[[Data, Mapping[str, str], Path], Listing]


def plain(listing: Callable[[Data, Mapping[str, str], Path], pd.DataFrame]) -> Lister:
    """A source of files alone, columns `tables.FILES`."""

    def listed(data: Data, classes: Mapping[str, str], raw: Path) -> Listing:
        nothing = tables.table([], tables.REJECTED), tables.table([], tables.MENDED)
        return Listing(listing(data, classes, raw), *nothing)

    return listed
