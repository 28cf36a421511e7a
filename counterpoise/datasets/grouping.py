"""Files that may have been cut from one recording: what their names share, as a pattern to set."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 8  # of a name; those after them are not looked at
SHARED = 0.2  # share of files that must have a sibling, so that names count as groups
LARGEST = 0.5  # share of files in one group: more is a prefix of all, and no recording
PER_CLASS = 2  # groups that most classes must have: fewer are the class itself
SHOWN = 3
GAP = r"(?:_|[^\w/])+"  # what separates the words of a name
WORD = r"[^\W_]+"


@dataclass(frozen=True)
class Proposal:
    """A pattern that would make fewer recordings of some files.

    Attributes:
        pattern: for `data.source_pattern`.
        recordings: how many there would be.
        example: a recording, and how many files it would have.
    """

    pattern: str
    recordings: int
    example: tuple[str, int]


def propose(paths: Sequence[str], labels: Sequence[str]) -> list[Proposal]:
    """What names of files that count as their own recordings share, if they share something; the coarsest first.

    Looked at are the folder, where that is not the class, and beginnings of names up to a separator. What says the
    class, and what nearly all files or nearly none share, is no recording.

    Args:
        paths: below the collection's folder, with `/`.
        labels: of each.
    """
    found: list[Proposal] = []
    seen: set[tuple] = set()
    for pattern in _patterns(paths):
        compiled = re.compile(pattern)
        keys = [match["source"] if (match := compiled.search(path)) else None for path in paths]
        one = _judge(pattern, keys, labels)
        partition = frozenset(Counter(keys).values()), len(set(keys))
        if one and partition not in seen:
            seen.add(partition)
            found.append(one)
    found.sort(key=lambda one: (one.recordings, one.pattern))
    likely = [one for one in found if one.recordings**2 >= len(paths)]  # groups are not larger than there are groups
    return (likely or found)[:SHOWN]


def _patterns(paths: Sequence[str]) -> list[str]:
    depth = max((path.count("/") for path in paths), default=0)
    patterns = [r"^(?P<source>.+)/"] if depth > 1 else []
    most = max((len(re.findall(GAP, path.rpartition("/")[2])) for path in paths), default=0)
    for words in range(1, min(most, MOST_WORDS) + 1):
        more = rf"(?:{GAP}{WORD}){{{words - 1}}}" if words > 1 else ""
        patterns.append(rf"(?:^|/)(?P<source>{WORD}{more}){GAP}[^/]*\.[^/]*$")  # something follows but the ending
    patterns.append(r"(?:^|/)(?P<source>[^/]*[0-9])[A-Za-z]\.[^./]*$")  # 017b.wav
    return patterns


def _judge(pattern: str, keys: Sequence[str | None], labels: Sequence[str]) -> Proposal | None:
    counts = Counter(key for key in keys if key is not None)
    total = len(keys)
    alone = total - sum(counts.values())
    within = Counter((key, label) for key, label in zip(keys, labels, strict=True) if key is not None)
    siblings = sum(n for n in within.values() if n > 1)
    if not counts or siblings < SHARED * total or max(counts.values()) > LARGEST * total:
        return None
    of_class: dict[str, set] = {}
    for number, (key, label) in enumerate(zip(keys, labels, strict=True)):
        of_class.setdefault(label, set()).add(number if key is None else key)
    if sorted(map(len, of_class.values()))[len(of_class) // 2] < PER_CLASS:
        return None
    return Proposal(pattern, len(counts) + alone, max(counts.items(), key=lambda item: (item[1], item[0])))
