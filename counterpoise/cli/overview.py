"""A collection and what to look at in it, on one screen or as one JSON object: what `counterpoise check` prints."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from counterpoise.cli import advice, preflight
from counterpoise.cli.advice import Advice
from counterpoise.cli.params import Params
from counterpoise.core import tables
from counterpoise.core.naming import printable
from counterpoise.datasets import survey
from counterpoise.datasets.survey import Survey

WIDEST = 100  # characters; longer lines are hard to read
CLASSES = 16  # rows that the table of classes has at most; of more classes the smallest and the largest are shown
DETAILS = 5  # lines below an advice
PARTITIONS = ("train", "val", "test")


@dataclass(frozen=True)
class Overview:
    """All that is known before a run.

    Attributes:
        clips: as headers tell, columns `tables.SPLIT`; `partition` is "" where it is not known.
        things: what to look at, those first for which a stage will stop.
    """

    p: Params
    found: Survey
    clips: pd.DataFrame
    rare: list[str]
    things: list[Advice]

    @property
    def known(self) -> bool:
        """Whether it is known who will train and who is held out."""
        return bool(len(self.clips) and (self.clips.partition != "").all())


def look(file: Path, raw: Path) -> Overview:
    """Read params.yaml and the headers of the collection's files.

    Args:
        file: params.yaml.
        raw: where a collection that was downloaded before lies.

    Raises:
        SettingsError: params.yaml holds a value that cannot be used.
        CounterpoiseError: the collection cannot be listed, see :func:`counterpoise.datasets.survey.survey`.
    """
    p = Params.read(file)
    found = survey.survey(p.data, {slug: info.name for slug, info in p.classes.items()}, raw)
    clips, stops = advice.partitioned(p, found)
    doubts = [Advice("surroundings", one.what, one.why, one.do) for one in preflight.doubts(file.absolute().parent)]
    things = sorted([*stops, *doubts, *advice.advise(p, found, clips, stops)], key=lambda one: one.stops is None)
    return Overview(p, found, clips, advice.rare(p, clips), things)


def as_json(seen: Overview) -> dict:
    """The overview for programs. docs/data.md says what each key means."""
    p, found, clips = seen.p, seen.found, seen.clips
    given = found.admitted.clips.fold
    lengths = survey.lengths(clips.seconds, p.audio.seconds)
    return {
        "error": None,
        "stops": [one.stops for one in seen.things if one.stops],
        "collection": {"dataset": p.data.dataset, "path": p.data.path, "state": found.state},
        "files": {
            "listed": len(found.files),
            "rejected": _by_kind(found.admitted.rejected),
            "cut": int((found.admitted.mended.kind == "cut into clips").sum()),
            "passed_over": _by_kind(found.listed.passed_over),
            "own_recording": found.alone,
        },
        **_amounts(clips),
        "classes": {
            label: {
                "name": info.name,
                "files": int(clips.path[clips.label == label].nunique()),
                **_amounts(clips[clips.label == label]),
                "partitions": _partitions(seen, label),
                "rare": label in seen.rare,
            }
            for label, info in p.classes.items()
        },
        "left_out": [printable(name) for name in found.listed.others],
        "folds": {
            "official": bool(len(given) and (given != tables.NO_FOLD).all()),
            "there": sorted(int(fold) for fold in clips.fold.unique()),
            "test": p.split.test_fold,
            "val": p.split.val_fold,
        },
        "lengths": asdict(lengths) if lengths else None,
        "sample_rates": {str(rate): n for rate, n in survey.counts(clips.sample_rate).items()},
        "channels": {str(number): n for number, n in survey.counts(clips.channels).items()},
        "heard": {
            "sample_rate": p.audio.sample_rate,
            "channels": p.audio.channels,
            "codec": p.codec.name,
            "codec_top": advice.codec_top(p.codec),
        },
        "unlabelled": {
            "files": found.added_files,
            "rejected": _by_kind(found.added.rejected),
            **_amounts(found.added.clips),
        },
        "advice": [
            asdict(one) | {"command": " ".join(advice.command(one.settings)) if one.settings else None}
            for one in seen.things
        ],
    }


def _amounts(clips: pd.DataFrame) -> dict:
    seconds = None if clips.seconds.isna().any() else round(float(clips.seconds.sum()), 1)
    return {"clips": len(clips), "recordings": int(clips.source_id.nunique()), "seconds": seconds}


def _by_kind(rejected: pd.DataFrame) -> dict[str, int]:
    return {kind: int(n) for kind, n in rejected.kind.value_counts().items()}


def _partitions(seen: Overview, label: str) -> dict[str, int] | None:
    if not seen.known:
        return None
    own = seen.clips.partition[seen.clips.label == label]
    return {name: int((own == name).sum()) for name in (*PARTITIONS, "unused")}


# On a screen


def show(seen: Overview, console: Console) -> None:
    """Print what the collection is, what to look at, and what comes next."""
    console.width = min(console.width, WIDEST)
    console.print(Text.assemble(("params.yaml is right. ", "bold green"), _collection(seen)), highlight=False)
    if len(seen.clips):
        console.print()
        console.print(_classes(seen), highlight=False)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, text in _facts(seen):
        facts.add_row(name, escape(text))
    console.print()
    console.print(facts, highlight=False)
    if seen.things:
        console.print()
    for number, one in enumerate(seen.things, start=1):
        _advice(number, one, console)
    console.print()
    console.print(_end(seen), highlight=False)


def _collection(seen: Overview) -> str:
    data, found = seen.p.data, seen.found
    path = printable(data.path)
    if found.state == "made":
        return (
            f"The collection: {data.dataset}. The stage download will synthesise its sounds, each of 0.7 to 1.2 s. "
            "There are no files to check before."
        )
    if found.archive is not None:
        host = urlsplit(found.archive.urls[0]).hostname
        return (
            f"The collection: {found.archive.name}. The stage download will fetch it from {host} "
            f"({found.archive.licence}). Nothing of it can be checked before."
        )
    return f"The collection: {data.dataset} at {path if not data.download else 'data/raw, fetched before'}."


def _classes(seen: Overview) -> Table:
    clips = seen.clips
    files = seen.found.state == "there"
    cut = files and len(clips) != clips.path.nunique()
    table = Table(box=box.SIMPLE_HEAD, show_footer=True, footer_style="dim", header_style="bold")
    table.show_edge, table.pad_edge = False, False
    table.add_column("class", "all", overflow="ellipsis", no_wrap=True)
    columns = [*(["files"] if files else []), *(["clips"] if cut or not files else []), "recordings"]
    columns += [*(["sound"] if files else []), *(PARTITIONS if seen.known else ())]
    every = _row(clips, columns)
    for name in columns:
        table.add_column(name, every[name], justify="right", no_wrap=True)
    if seen.rare:
        table.add_column("", no_wrap=True)
    labels = sorted(seen.p.classes, key=lambda label: -int((clips.label == label).sum()))
    hidden = len(labels) - CLASSES
    for number, label in enumerate(labels):
        if hidden > 0 and CLASSES // 2 <= number < CLASSES // 2 + hidden + 1:
            if number == CLASSES // 2:
                table.add_row(f"… {hidden + 1} more …", style="dim")
            continue
        row = _row(clips[clips.label == label], columns)
        mark = ["[yellow]rare[/]" if label in seen.rare else ""] if seen.rare else []
        table.add_row(escape(label), *row.values(), *mark)
    return table


def _row(clips: pd.DataFrame, columns: list[str]) -> dict[str, str]:
    cells = {
        "files": f"{clips.path.nunique():,}",
        "clips": f"{len(clips):,}",
        "recordings": f"{clips.source_id.nunique():,}",
        "sound": _duration(clips.seconds.sum()),
        **{name: f"{(clips.partition == name).sum():,}" for name in PARTITIONS},
    }
    return {name: cells[name] for name in columns}


def _facts(seen: Overview) -> list[tuple[str, str]]:
    p, found, clips = seen.p, seen.found, seen.clips
    facts = []
    if found.state == "there":
        facts.append(("files", _files(seen)))
    if len(clips):
        facts += [("recordings", _recordings(seen)), ("folds", _folds(seen))]
    if lengths := survey.lengths(clips.seconds, p.audio.seconds):
        facts.append(("lengths", _lengths(lengths)))
    facts.append(("rates", "; ".join([*_shares(clips.sample_rate, lambda rate: f"{rate:,} Hz"), _heard(p)])))
    if len(clips):
        there, heard = _shares(clips.channels, _form), _form(p.audio.channels)
        facts.append(
            (
                "channels",
                f"{heard}, as classifiers hear" if there == [heard] else f"{there[0]}; classifiers hear {heard}",
            )
        )
    if found.added_files:
        clips = found.added.clips
        facts.append(
            ("unlabelled", f"{found.added_files:,} files, {_duration(clips.seconds.sum())} in {len(clips):,} clips")
        )
    return facts


def _files(seen: Overview) -> str:
    found, data = seen.found, seen.p.data
    mended = found.admitted.mended
    rejected, cut = len(found.admitted.rejected), int((mended.kind == "cut into clips").sum())
    decoded = int((mended.kind == "decoded by ffmpeg").sum())
    events = int(found.files.begin.notna().sum())
    many = f"{len(found.files):,}" if not events else f"{found.files.path.nunique():,}, with {events:,} events"
    text = f"{many}; " + (f"{rejected:,} of them cannot be used" if rejected else "all can be opened")
    if cut:
        is_cut = seen.clips.path.map(printable).isin(set(mended.path[mended.kind == "cut into clips"]))
        text += (
            f"; {cut:,} longer than {data.max_seconds:g} s will be cut into {int(is_cut.sum()):,} clips of "
            f"{data.clip_seconds:g} s"
        )
    if decoded:
        text += f"; {decoded:,} will be decoded by ffmpeg"
    if len(found.listed.passed_over):
        text += "; data/rejected.csv will name what else lies there"
    return text


def _recordings(seen: Overview) -> str:
    found, data = seen.found, seen.p.data
    number = f"{seen.clips.source_id.nunique():,}"
    if found.state == "made":
        return f"{number}, each with clips of one dog in one place"
    if data.dataset != "own":
        return f"{number}, by the Freesound id in the collection's table"
    if found.alone == len(found.files):
        return f"{number}: each file is its own"
    if data.source_pattern:
        return f"{number}, by data.source_pattern"
    if found.files.begin.notna().all():
        return f"{number}, from which events are cut"
    return (
        f"{number}, by {'the group `source` of data.pattern' if data.labels == 'pattern' else 'a column of data.table'}"
    )


def _folds(seen: Overview) -> str:
    split, clips = seen.p.split, seen.clips
    folds = sorted(int(fold) for fold in clips.fold.unique())
    given = seen.found.admitted.clips.fold
    held_out = f"tested on {split.test_fold}, validated on {split.val_fold}"
    if split.val_fold is None:
        held_out = f"tested on {split.test_fold}, {split.val_fraction:.0%} of the other recordings validate"
    if (given != tables.NO_FOLD).all():
        there = f"{len(folds)} official, {folds[0]} to {folds[-1]}" if len(folds) > 1 else f"official: {folds[0]} alone"
        return f"{there}; {held_out}"
    unless = " (other than above where equal sounds are found)" if seen.known and seen.p.data.duplicates else ""
    return f"{seen.p.data.folds} will be assigned{unless}; {held_out}"


def _lengths(lengths: survey.Lengths) -> str:
    text = (
        f"{lengths.shortest:.3g} to {lengths.longest:.3g} s, median {lengths.median:.3g}, 95% up to {lengths.most:.3g}"
    )
    if lengths.longest - lengths.shortest <= survey.LONGER:
        text = f"all {lengths.median:.3g} s"
    window = f"a window of {lengths.window:g} s holds "
    whole = f"{lengths.at_once:.0%} of the sound" if lengths.longer else "all of it"
    padding = f", and {lengths.padding:.0%} padding" if lengths.padding >= 0.005 else ""
    return f"{text}; {window}{whole}{padding}"


def _heard(p: Params) -> str:
    """How high classifiers and the codec go."""
    top, end = advice.codec_top(p.codec), p.audio.sample_rate / 2
    if top is None:
        return f"classifiers hear up to {end:,.0f} Hz"
    if round(top) == round(end):
        return f"classifiers and the codec {p.codec.name} end at {end:,.0f} Hz"
    return f"classifiers end at {end:,.0f} Hz, the codec {p.codec.name} at {top:,.0f} Hz"


def _form(channels: int) -> str:
    return {1: "mono", 2: "stereo"}.get(channels, f"{channels} channels")


def _shares(values: pd.Series, named: Callable[[int], str]) -> list[str]:
    """One text that says how often each value occurs; none where there are no values."""
    counts = survey.counts(values)
    if not counts:
        return []
    if len(counts) == 1:
        return [named(next(iter(counts)))]
    shown = [f"{named(value)} {_share(n / len(values))}" for value, n in list(counts.items())[:3]]
    return [", ".join([*shown, *([f"{len(counts) - 3} more"] if len(counts) > 3 else [])])]


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "under 1%"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _advice(number: int, one: Advice, console: Console) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", width=2)
    grid.add_column(overflow="fold")
    grid.add_row(Text(str(number), "bold red" if one.stops else "bold yellow"), Text(one.what, "bold"))
    hidden = len(one.details) - DETAILS
    for line in one.details[:DETAILS] + ((f"and {hidden} more",) if hidden > 0 else ()):
        grid.add_row("", Text(f"- {line}"))
    grid.add_row("", Text(f"{one.why} {one.do}"))
    console.print(grid, highlight=False)
    if one.settings:
        lines = _wrapped(advice.command(one.settings), console.width - 6)
        console.print(Padding(Text("\n".join(lines), "cyan"), (0, 0, 0, 4)), highlight=False)


def _wrapped(words: list[str], width: int) -> list[str]:
    """A command in lines that a shell takes as one."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) + 3 <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _end(seen: Overview) -> Text:
    stops = [str(number) for number, one in enumerate(seen.things, start=1) if one.stops]
    if stops:
        stages = " and ".join(dict.fromkeys(one.stops for one in seen.things if one.stops))
        return Text(f"The run would stop at the stage {stages}: mend {', '.join(stops)} first.", "bold red")
    text = Text("Nothing stands in the way. ", "bold green")
    if seen.things:
        text.append(f"{len(seen.things)} thing{'s' if len(seen.things) > 1 else ''} to look at. ", "yellow")
    return text.append("Next: dvc repro", "bold")
