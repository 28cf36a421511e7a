"""What is said of sounds, as text for people and programs.

A format is two functions and an entry in FORMATS: the lines that come first, and the lines of one file.
"""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from counterpoise.core.naming import printable
from counterpoise.inference.classify import Heard

DIGITS = 6  # of probabilities and seconds
NONE = "none of these"  # in place of a label, for people
RAVEN = ("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)", "High Freq (Hz)")


@dataclass(frozen=True)
class Shown:
    """How answers are written.

    Attributes:
        labels: the K classes' slugs, in the order of the network's outputs.
        names: display name by slug.
        threshold: a smaller confidence gives no label; None: every sound gets one.
        windows: write each window, too.
        top: so many of the most probable classes; None: all.
        highest: Hz, that the network can hear.
    """

    labels: Sequence[str]
    names: dict[str, str]
    threshold: float | None
    windows: bool
    top: int | None
    highest: float

    def label(self, probabilities: np.ndarray) -> str | None:
        """The slug of the most probable class, or None where its probability is below the threshold."""
        best = int(probabilities.argmax())
        too_low = self.threshold is not None and probabilities[best] < self.threshold
        return None if too_low else self.labels[best]

    def ranked(self, probabilities: np.ndarray) -> dict[str, float]:
        """The `top` probabilities by slug, the largest first; equal ones in the order of the labels."""
        order = np.argsort(-probabilities, kind="stable")[: self.top]
        return {self.labels[i]: _round(probabilities[i]) for i in order}


@dataclass(frozen=True)
class Format:
    """A way of writing answers.

    Attributes:
        head: lines that come before all files.
        lines: those of one file.
        of_windows: it is about windows, whether they were asked for or not.
        ending: of a file that holds one sound's answer in this format, where each sound has its own; else None.
    """

    head: Callable[[Shown], list[str]]
    lines: Callable[[Heard, Shown], list[str]]
    of_windows: bool = False
    ending: str | None = None


def _round(number: float) -> float:
    return round(float(number), DIGITS)


# For people


def _table_head(shown: Shown) -> list[str]:
    return [f"{'label':{_width(shown)}}  conf.  file"]


def _table(heard: Heard, shown: Shown) -> list[str]:
    where = f"{printable(heard.name)} ({heard.seconds:.2f} s)"
    lines = [_table_line(heard.probabilities, where, shown)]
    for start, end, said in zip(heard.starts, heard.ends, heard.windows):
        lines.append("  " + _table_line(said, f"{start:.2f} to {end:.2f} s", shown))
    return lines


def _table_line(probabilities: np.ndarray, where: str, shown: Shown) -> str:
    label = shown.label(probabilities)
    name = NONE if label is None else shown.names[label]
    ranked = list(shown.ranked(probabilities).items())
    others = ", ".join(f"{shown.names[slug]} {value:.3f}" for slug, value in (ranked if label is None else ranked[1:]))
    return f"{name:{_width(shown)}}  {probabilities.max():.3f}  {where}" + (f"  [{others}]" if others else "")


def _width(shown: Shown) -> int:
    return max(len(name) for name in (*shown.names.values(), NONE))


# For programs


def _jsonl(heard: Heard, shown: Shown) -> list[str]:
    answer = {
        "file": heard.name,
        "seconds": _round(heard.seconds),
        **_answer(heard.probabilities, shown),
    }
    if shown.windows:
        answer["windows"] = [
            {"start": _round(start), "end": _round(end), **_answer(said, shown)}
            for start, end, said in zip(heard.starts, heard.ends, heard.windows)
        ]
    return [json.dumps(answer)]


def _answer(probabilities: np.ndarray, shown: Shown) -> dict:
    return {
        "label": shown.label(probabilities),
        "confidence": _round(probabilities.max()),
        "probabilities": shown.ranked(probabilities),
    }


def _csv_head(shown: Shown) -> list[str]:
    return [_csv_line(["file", "start", "end", "label", "confidence", *(f"probability/{s}" for s in shown.labels)])]


def _csv(heard: Heard, shown: Shown) -> list[str]:
    rows = [(0.0, heard.seconds, heard.probabilities)]
    if shown.windows:
        rows = list(zip(heard.starts, heard.ends, heard.windows))
    lines = []
    for start, end, said in rows:
        ranked = shown.ranked(said)
        values = [f"{ranked[slug]:.{DIGITS}f}" if slug in ranked else "" for slug in shown.labels]
        times = (f"{start:.{DIGITS}f}", f"{end:.{DIGITS}f}")
        lines.append(_csv_line([heard.name, *times, shown.label(said) or "", f"{said.max():.{DIGITS}f}", *values]))
    return lines


def _csv_line(cells: list[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


# For programs that show sounds


def _audacity(heard: Heard, shown: Shown) -> list[str]:
    return [f"{start:.6f}\t{end:.6f}\t{_cell(shown.names[label])}" for start, end, label, _ in _labelled(heard, shown)]


def _raven_head(shown: Shown) -> list[str]:
    return ["\t".join((*RAVEN, "Begin File", "Class", "Confidence"))]


def _raven(heard: Heard, shown: Shown) -> list[str]:
    high = min(shown.highest, heard.sample_rate / 2)
    name = _cell(heard.name.rpartition("/")[2])
    return [
        f"{number}\tSpectrogram 1\t1\t{start:.6f}\t{end:.6f}\t0.0\t{high:.1f}\t{name}\t{_cell(shown.names[label])}"
        f"\t{confidence:.{DIGITS}f}"
        for number, (start, end, label, confidence) in enumerate(_labelled(heard, shown), start=1)
    ]


def _labelled(heard: Heard, shown: Shown) -> list[tuple[float, float, str, float]]:
    """Start, end, slug and confidence of the windows that have a label."""
    found = []
    for start, end, said in zip(heard.starts, heard.ends, heard.windows):
        if label := shown.label(said):
            found.append((start, end, label, float(said.max())))
    return found


def _cell(text: str) -> str:
    return " ".join(printable(text).split())


def _nothing(shown: Shown) -> list[str]:
    return []


FORMATS = {
    "table": Format(_table_head, _table),
    "jsonl": Format(_nothing, _jsonl),
    "csv": Format(_csv_head, _csv),
    "audacity": Format(_nothing, _audacity, of_windows=True, ending=".labels.txt"),
    "raven": Format(_raven_head, _raven, of_windows=True, ending=".selections.txt"),
}
