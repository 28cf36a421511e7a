"""What would stop DVC before the pipeline can speak: `counterpoise check` names it, with what to do.

DVC reads all of data.path and data.unlabelled before the first stage runs. A mistake in params.yaml, a link that leads
nowhere or a file that may not be read ends it with a bare system error, and a pipe or a device lets it wait for ever.
What is named here was tried with DVC 3.67. Like DVC, the check follows links to files, but does not enter folders
behind links.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ruamel.yaml import YAML

from counterpoise.cli import workspace
from counterpoise.cli.params import Params
from counterpoise.core import CounterpoiseError
from counterpoise.core.naming import printable
from counterpoise.datasets import unlabelled

SHOWN = 10  # obstacles that a message names
WRITTEN = (".", ".dvc", ".dvc/tmp", ".dvc/cache", ".dvc/cache/files/md5", "data", "models", "metrics", "plots")
SYSTEM = ("/dev", "/proc", "/sys")  # what lies there is made by the system, and none of it may be moved
SKIPPED = {".git", ".hg", ".dvc"}  # DVC passes these over
KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class PreflightError(CounterpoiseError):
    """DVC would stop before the first stage; the message says why."""


def obstacles(path: str) -> list[tuple[str, str]]:
    """What DVC cannot read below a file or folder: paths, sorted, each with what is wrong and what to do."""
    return sorted(_walk(path))


def _walk(path: str) -> Iterator[tuple[str, str]]:
    waiting = [path]
    while waiting:
        path = waiting.pop()
        if problem := _problem(path):
            yield path, problem
            continue
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                        waiting.append(entry.path)
                    elif entry.name not in SKIPPED and (problem := _problem(entry.path)):
                        yield entry.path, problem
        except NotADirectoryError:  # data.path itself may be a file
            continue
        except OSError as error:
            yield path, f"cannot be listed ({error.strerror}): move it away"


def _problem(path: str) -> str | None:
    name = os.path.basename(path)
    if not _is_utf8(name):
        return "its name is no UTF-8: rename it"
    if name == ".dvcignore" and os.path.realpath(path) != os.path.realpath(".dvcignore"):
        return "DVC allows this file only beside params.yaml: move it out of this folder"
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if not os.path.islink(path):
            return f"cannot be read ({error.strerror}): move it away"
        return f"a link that leads to no file ({error.strerror}): delete it, or set it right"
    if kind := KINDS.get(stat.S_IFMT(mode)):
        what = "delete the link" if os.path.islink(path) else "move it out of this folder"
        return f"{kind}, which DVC cannot read to its end: {what}"
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        return "you may not read it: allow it (`chmod u+rX`), or move it away"
    return None


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def check(file: Path) -> None:
    """Stop where `dvc repro` would fail on params.yaml or on the folders of sounds.

    Raises:
        SettingsError: params.yaml holds a value that cannot be used.
        PreflightError: data.path or data.unlabelled is missing, DVC cannot read all of it, or the pipeline writes into
            it; this folder or DVC's cache in it may not be written; or there is no git repository.
        unlabelled.UnlabelledError: one of the two lies in the other.
    """
    data = Params.read(file).data
    for folder in WRITTEN:
        if os.path.isdir(folder) and not os.access(folder, os.W_OK | os.X_OK):
            raise PreflightError(
                f"{os.path.abspath(folder)} may not be written, and stages leave their results there. Allow it "
                "(`chmod -R u+rwX`), or clone the repository to a disk that can be written; then run `make run` again."
            )
    sounds = "your sounds (for urbansound8k the one with audio/ and metadata/)"
    without = "your sounds without labels (data/unlabelled if there are none)"
    for key, path, what in (("data.path", data.path, sounds), ("data.unlabelled", data.unlabelled, without)):
        _check_folder(file, key, path, what)
        _check_outputs(file, key, path)
    unlabelled.check_apart(data)
    _check_git(file.absolute().parent)


@dataclass(frozen=True)
class Doubt:
    """What does not stop `dvc repro`, and will stop something else."""

    what: str
    why: str
    do: str


def doubts(folder: Path) -> list[Doubt]:
    """What is not as experiments need it, where the repository is one of DVC's.

    Args:
        folder: the repository's root.
    """
    found = []
    if not (folder / ".dvc").is_dir():
        return found
    if _has_git(folder) and workspace.commit() is None and shutil.which("git"):
        what = "This git repository has no commit yet."
        do = "`git add -A && git commit -m start` makes one."
        found.append(Doubt(what, "`dvc repro` needs none, but `dvc exp run` and comparisons do.", do))
    if not str(folder).isascii():
        what = f"The repository's path has other letters than those of ASCII: {printable(str(folder))}."
        why = "`dvc repro` and `dvc exp run` work, but DVC 3.67 stops at `dvc exp run --temp` and at queued runs."
        found.append(Doubt(what, why, "Move the repository to a path of plain letters if you want these."))
    return found


def _has_git(folder: Path) -> bool:
    return any((one / ".git").exists() for one in (folder, *folder.parents))


def _check_git(folder: Path) -> None:
    """DVC stops where there is no git repository, as in what was downloaded as a zip file."""
    if not (folder / ".dvc").is_dir() or _has_git(folder):
        return
    configs = [folder / ".dvc" / name for name in ("config", "config.local")]
    if any(re.search(r"(?im)^\s*no_scm\s*=\s*true", one.read_text()) for one in configs if one.is_file()):
        return
    raise PreflightError(
        f"{folder} is no git repository, and DVC stops without one. `git init && git add -A && git commit -m start` "
        "makes it one; then run `make run` again."
    )


def _check_outputs(file: Path, key: str, path: str) -> None:
    """DVC refuses a stage that reads a folder in which, or around which, it writes."""
    pipeline = file.absolute().parent / "dvc.yaml"
    if not pipeline.is_file():
        return
    stages = YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))["stages"]
    bodies = (stage.get("do", stage) for stage in stages.values())
    outs = [next(iter(out)) if isinstance(out, dict) else out for body in bodies for out in body.get("outs", [])]
    real = Path(os.path.realpath(path))
    for out in sorted({out.partition("${")[0].rstrip("/") for out in outs}):
        written = Path(os.path.realpath(pipeline.parent / out))
        if real.is_relative_to(written) or written.is_relative_to(real):
            raise PreflightError(
                f"{file}: {key} is {path}, and the pipeline writes {out}: DVC refuses one within the other. Move the "
                f"sounds into a folder of their own, such as data/own, and set {key} to it. Then run `make run` again."
            )


def _check_folder(file: Path, key: str, path: str, what: str) -> None:
    if not os.path.lexists(path):
        raise PreflightError(
            f"{file}: {key} is {path}, which does not exist. Set it to the folder that holds {what}, then run "
            "`make run` again."
        )
    real = os.path.realpath(path)
    if os.path.commonpath([real, os.path.realpath(".")]) == real:
        raise PreflightError(
            f"{file}: {key} is {path}, and this repository lies in it, so every run would change it. Set it to the "
            f"folder that holds {what} alone, then run `make run` again."
        )
    if any(os.path.commonpath([real, system]) == system for system in SYSTEM):
        raise PreflightError(
            f"{file}: {key} is {path}, which is a part of the system and holds no files to keep. Set it to the folder "
            f"that holds {what}, then run `make run` again."
        )
    if found := obstacles(path):
        lines = [f"  {printable(where)}: {problem}" for where, problem in found[:SHOWN]]
        more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        first = f"DVC cannot read all of {key} {path}:"
        raise PreflightError("\n".join([first, *lines, *more, "Then run `make run` again."]))
