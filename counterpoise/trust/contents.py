"""All that dvc.lock names, hashed again: in the workspace, in the cache, and in a remote.

DVC trusts a file whose size and times it knows, a cache object that nobody may write, and what a remote sends. Here
every byte is read. Nothing is changed; :mod:`counterpoise.trust.mending` does that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from counterpoise.core.progress import progress

if TYPE_CHECKING:
    from dvc.output import Output
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB

WORKSPACE, CACHE, REMOTE = "workspace", "cache", "remote"
DIRECTORY = ".dir"  # ends the name of an object that lists a folder


class Kept(NamedTuple):
    """One file of an output that dvc.lock names, or the list of a folder's files."""

    oid: str  # the MD5 of its content
    path: str  # in the workspace, from the repository's root
    output: str
    stage: str
    cached: bool  # whether DVC keeps it; git has the others


class Finding(NamedTuple):
    """One thing that is not what dvc.lock says."""

    where: str  # WORKSPACE, CACHE or REMOTE
    what: str  # damaged, missing, or left over (a file that the lock does not know, in an output)
    kept: Kept
    file: str  # where it lies: a path, or the object's in the cache or the remote


@dataclass
class Report:
    """What was found."""

    kept: list[Kept] = field(default_factory=list)  # all that the lock names
    objects: dict[str, int] = field(default_factory=dict)  # hashed, by where
    findings: list[Finding] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)  # inputs that differ from the lock, and DVC knows it
    unseen: list[str] = field(default_factory=list)  # files of inputs that changed and that DVC takes as they were
    unknown: list[str] = field(default_factory=list)  # outputs whose list of files is nowhere

    def of(self, where: str) -> list[Finding]:
        return [one for one in self.findings if one.where == where]

    def files(self) -> int:
        """How many files dvc.lock names."""
        return sum(not one.oid.endswith(DIRECTORY) for one in self.kept)

    def whole_in_workspace(self, oid: str) -> str | None:
        """A path of the workspace that has this content, or the folder with this list of files, or None."""
        wrong = [one.kept.path for one in self.of(WORKSPACE)]
        for one in self.kept:
            if one.oid == oid and not any(path == one.path or path.startswith(f"{one.path}/") for path in wrong):
                return one.path
        return None

    def fills_cache(self) -> list[Finding]:
        """What the cache lacks or has damaged, and the workspace has."""
        return [one for one in self.of(CACHE) if self.whole_in_workspace(one.kept.oid)]

    def fills_workspace(self) -> list[Finding]:
        """What the workspace lacks or has damaged, and the cache has."""
        wrong = {one.kept.oid for one in self.of(CACHE)}
        return [one for one in self.of(WORKSPACE) if one.kept.cached and one.kept.oid and one.kept.oid not in wrong]


def verify(repo: "Repo", remote: str | None = None) -> Report:
    """Hash all that dvc.lock names.

    Args:
        remote: the name of one that is hashed, too; its objects are read as a pull would.

    Raises:
        dvc.exceptions.DvcException: dvc.lock or the remote cannot be read.
    """
    report = Report()
    outputs = [(stage.addressing, out) for stage in repo.index.stages for out in stage.outs if out.hash_info]
    listed = {out.def_path: _listed(repo, out) for _, out in outputs}
    report.kept = [one for stage, out in outputs for one in _kept(out, stage, listed[out.def_path])]
    report.unknown = [out.def_path for _, out in outputs if _is_folder(out) and listed[out.def_path] is None]

    # The workspace
    for stage, out in progress(outputs, desc="workspace", unit="output", leave=False):
        report.findings += _of_workspace(repo, out, stage, listed[out.def_path])
    made = {out.fs_path for _, out in outputs}
    inputs = {dep.fs_path: dep for stage in repo.index.stages for dep in stage.deps if dep.hash_name == "md5"}
    for path, dep in progress(inputs.items(), desc="inputs", unit="input", leave=False):
        if (
            dep.hash_info
            and dep.hash_info.name == "md5"
            and not any(path == one or path.startswith(f"{one}/") or one.startswith(f"{path}/") for one in made)
        ):
            _look_at_input(repo, dep, report)

    # What is kept of it
    stores = {CACHE: repo.cache.local}
    if remote:
        stores[REMOTE] = repo.cloud.get_remote_odb(remote, "verify")
    objects = {one.oid: one for one in report.kept if one.cached}
    for where, odb in stores.items():
        report.objects[where] = len(objects)
        for one in progress(objects.values(), desc=where, unit="object", leave=False):
            if problem := _of_store(odb, one.oid):
                report.findings.append(Finding(where, problem, one, odb.oid_to_path(one.oid)))
    return report


def contents(repo: "Repo", path: str) -> dict[tuple[str, ...], str]:
    """The MD5 of a file, under the key (), or of each file below a folder, under the parts of its path."""
    from dvc.fs import localfs
    from dvc_data.hashfile.hash import hash_file

    found: dict[tuple[str, ...], str] = {}
    files = repo.dvcignore.find(localfs, path) if localfs.isdir(path) else [path] if localfs.exists(path) else []
    for file in files:
        key = localfs.relparts(file, path) if file != path else ()
        found[key] = str(hash_file(file, localfs, "md5")[1].value)
    return found


def _listed(repo: "Repo", out: "Output") -> dict[tuple[str, ...], str] | None:
    """What dvc.lock says that an output holds, as :func:`contents`; None where the list of a folder's files is gone."""
    if not _is_folder(out):
        return {(): out.hash_info.value}
    if out.use_cache and (tree := _tree(repo.cache.local, out)) is not None:
        return {key: info.value for key, (_, info) in tree.iteritems()}
    found = contents(repo, out.fs_path)
    return found if _hash_of(found) == out.hash_info.value else None


def _tree(odb: "HashFileDB", out: "Output") -> Any:
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.errors import ObjectFormatError

    if _of_store(odb, out.hash_info.value):
        return None
    try:
        return Tree.load(odb, out.hash_info, hash_name="md5")
    except (FileNotFoundError, ObjectFormatError):
        return None


def _hash_of(found: dict[tuple[str, ...], str]) -> str | None:
    """What DVC would write into dvc.lock for a folder with this content, or for a file."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if not found or () in found:
        return found.get(())
    tree = Tree()
    for key, oid in found.items():
        tree.add(key, None, HashInfo("md5", oid))
    tree.digest()
    return tree.hash_info.value


def _is_folder(out: "Output") -> bool:
    return out.hash_info.value.endswith(DIRECTORY)


def _kept(out: "Output", stage: str, listed: dict[tuple[str, ...], str] | None) -> Iterator[Kept]:
    if _is_folder(out):
        yield Kept(out.hash_info.value, out.def_path, out.def_path, stage, out.use_cache)
    for key, oid in (listed or {}).items():
        yield Kept(oid, "/".join([out.def_path, *key]), out.def_path, stage, out.use_cache)


def _of_workspace(
    repo: "Repo", out: "Output", stage: str, listed: dict[tuple[str, ...], str] | None
) -> Iterator[Finding]:
    if listed is None:
        what = "damaged" if Path(out.fs_path).exists() else "missing"
        yield Finding(WORKSPACE, what, Kept("", out.def_path, out.def_path, stage, out.use_cache), out.def_path)
        return
    there = contents(repo, out.fs_path)
    for key in sorted({*listed, *there}):
        path = "/".join([out.def_path, *key])
        what = "left over" if key not in listed else "missing" if key not in there else "damaged"
        if listed.get(key) != there.get(key):
            yield Finding(WORKSPACE, what, Kept(listed.get(key, ""), path, out.def_path, stage, out.use_cache), path)


def _of_store(odb: "HashFileDB", oid: str) -> str | None:
    """What is wrong with an object, which is read to its end."""
    from dvc_data.hashfile.hash import hash_file

    try:
        actual = hash_file(odb.oid_to_path(oid), odb.fs, odb.hash_name)[1].value
    except FileNotFoundError:
        return "missing"
    return None if actual == oid.removesuffix(DIRECTORY) else "damaged"


def _look_at_input(repo: "Repo", dep: "Output", report: Report) -> None:
    found = contents(repo, dep.fs_path)
    if _hash_of(found) == dep.hash_info.value:
        return
    path = Path(dep.fs_path)
    unseen = [
        file for key, oid in found.items() if _believed(repo, file := str(path.joinpath(*key))) not in (oid, None)
    ]
    report.unseen += [str(Path(file).relative_to(repo.root_dir)) for file in unseen]
    if not unseen:
        report.changed.append(dep.def_path)


def _believed(repo: "Repo", file: str) -> str | None:
    """The MD5 that DVC remembers of a file with its present size and times."""
    from dvc.fs import localfs

    _, info = repo.state.get(file, localfs)
    return info.value if info else None
