"""`counterpoise classify`: which files are heard, and where the answers go."""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from counterpoise.core import CounterpoiseError, progress, runtime
from counterpoise.core.naming import printable
from counterpoise.datasets import tree
from counterpoise.datasets.listing import OwnError
from counterpoise.inference import classify
from counterpoise.inference.classify import Failure, Heard, Source
from counterpoise.inference.formats import FORMATS, Format, Shown

STDIN = "-"
LONG = 60.0  # s; from here on the progress bar says how far a sound was heard
TOP = 3  # classes that the table shows
DONE, NOTHING, SOME = 0, 1, 3  # exit codes; 2 is a wrong use of the command


class UsageError(CounterpoiseError):
    """Options that do not go together; the message says what is allowed."""


@dataclass(frozen=True)
class Options:
    """What the command was told; None takes what the text says.

    Attributes:
        style: a key of FORMATS.
        windows: tell of each window, too.
        hop: s between windows' starts; None: half a window.
        top: classes that are told; None: all, in the table TOP.
        threshold: a number, or None for no threshold; `known_threshold` takes the release's own.
        output: a file; where each sound has its own, a folder; None: standard output.
    """

    style: str
    windows: bool
    hop: float | None
    top: int | None
    threshold: float | None
    known_threshold: bool
    output: Path | None
    batch_size: int
    device: str


def run(arguments: Sequence[str], folder: Path, options: Options) -> int:
    """Classify files and folders, and say how it went.

    Args:
        arguments: sound files, folders that hold some, and STDIN for a sound on standard input.
        folder: a release or a trained classifier.

    Returns:
        DONE: all files were heard. NOTHING: none was. SOME: the others could not be read.

    Raises:
        UsageError: the options do not go together.
        ModelError, ReleaseError, RuntimeUnavailable: the classifier cannot be had.
    """
    style = FORMATS[options.style]
    classifier = classify.load(folder, runtime.device_of(options.device, "--device"))
    hop = classifier.audio.seconds / 2 if options.hop is None else options.hop
    if not 0 < hop <= classifier.audio.seconds:
        raise UsageError(f"--hop {hop:g}: above 0 and at most {classifier.audio.seconds:g} s, a window, is allowed")
    shown = Shown(
        labels=classifier.labels,
        names=classifier.names,
        threshold=classifier.threshold if options.known_threshold else options.threshold,
        windows=options.windows or style.of_windows,
        top=TOP if options.top is None and options.style == "table" else options.top,
        highest=classifier.audio.sample_rate / 2,
    )
    with contextlib.ExitStack() as stack:
        sources, failures, below = _listed(arguments, stack)
        if options.output and any(_same(options.output, source.path) for source in sources):
            raise UsageError(f"--output {options.output} is one of the sounds: name another file")
        write = _writer(options.output, style, shown, arguments, below, stack)
        for failure in failures:
            _tell(failure.name, failure.reason)
        heard, failed = _hear(classifier, sources, hop, options.batch_size, shown.windows, write)
    failed += len(failures)
    if not heard:
        _say("No sound was classified.")
        return NOTHING
    return SOME if failed else DONE


def _hear(
    classifier: classify.Classifier,
    sources: list[Source],
    hop: float,
    batch_size: int,
    keep_windows: bool,
    write: Callable[[Heard], None],
) -> tuple[int, int]:
    """How many files were heard, and how many were not."""
    heard = failed = 0
    with progress.progress(total=len(sources), desc="classify", unit="file", leave=False) as bar:

        def heard_so_far(name: str, seconds: float) -> None:
            long = seconds >= LONG
            bar.set_postfix_str(f"{seconds / 60:.1f} min of {printable(name)[-40:]}" if long else "", refresh=False)
            bar.update(0)

        for answer in classify.classify(classifier, sources, hop, batch_size, keep_windows, heard_so_far):
            bar.update()
            if isinstance(answer, Failure):
                failed += 1
                _tell(answer.name, answer.reason)
                continue
            heard += 1
            if answer.broken:
                _tell(answer.name, answer.broken)
            write(answer)
    return heard, failed


def _listed(
    arguments: Sequence[str], stack: contextlib.ExitStack
) -> tuple[list[Source], list[Failure], dict[str, Path]]:
    """The files in order, what is no file, and by name where a file lies below the folder that was named."""
    sources, failures, below = [], [], {}
    for argument in arguments:
        if argument == STDIN:
            sources.append(Source(STDIN, _spooled(stack)))
            below[STDIN] = Path("stdin")
        elif os.path.isdir(argument):
            root = Path(argument)
            try:
                files = sorted(file for file in tree.walk(root).files if tree.is_sound(file))
            except OwnError as error:
                failures.append(Failure(argument, str(error)))
                continue
            if not files:
                endings = ", ".join(tree.EXTENSIONS)
                failures.append(Failure(argument, f"no sound file in this folder; sounds end in {endings}"))
            sources += [Source(file.as_posix(), str(file)) for file in files]
            below |= {file.as_posix(): file.relative_to(root) for file in files}
        else:
            sources.append(Source(argument, argument))
            below[argument] = Path(os.path.basename(argument))
    return sources, failures, below


def _spooled(stack: contextlib.ExitStack) -> str:
    """Standard input as a file on disk, because sound files are read back and forth."""
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="counterpoise-"))) / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return str(path)


def _same(output: Path, path: str) -> bool:
    return output.is_file() and os.path.exists(path) and os.path.samefile(output, path)


def _writer(
    output: Path | None,
    style: Format,
    shown: Shown,
    arguments: Sequence[str],
    below: dict[str, Path],
    stack: contextlib.ExitStack,
) -> Callable[[Heard], None]:
    """What writes an answer where it belongs."""
    several = len(arguments) > 1 or os.path.isdir(arguments[0])
    if style.ending and (several or (output and output.is_dir())):
        return _file_each(output, style, shown, below)
    stream = sys.stdout if output is None else stack.enter_context(_opened(output))
    _lines(stream, style.head(shown))
    return lambda heard: _lines(stream, style.lines(heard, shown))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise UsageError(f"--output {path} cannot be written ({error.strerror}): name another file") from None
    with stream:
        yield stream


def _file_each(output: Path | None, style: Format, shown: Shown, below: dict[str, Path]) -> Callable[[Heard], None]:
    if output is None:
        raise UsageError("this format has a file for each sound: name a folder for them with --output")
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; this format has a file for each sound, so name a folder")
    places: dict[Path, str] = {}
    for name, path in below.items():
        if (other := places.setdefault(path, name)) != name:
            raise UsageError(
                f"{printable(other)} and {printable(name)} would both be {path}{style.ending}: classify them one by one"
            )

    def write(heard: Heard) -> None:
        with _opened(output / f"{below[heard.name]}{style.ending}") as stream:
            _lines(stream, [*style.head(shown), *style.lines(heard, shown)])

    return write


def _lines(stream: TextIO, lines: list[str]) -> None:
    encoding = stream.encoding or "utf-8"
    for line in lines:  # a name may hold what the terminal cannot show
        progress.write(line.encode(encoding, "backslashreplace").decode(encoding), stream)


def _tell(name: str, what: str) -> None:
    _say(f"{printable(name)}: {what}")


def _say(line: str) -> None:
    progress.write(line, sys.stderr)
