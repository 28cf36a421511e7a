"""Python runs this first where PYTHONPATH names its folder: what a stage reads and imports is written down as it runs.

A stage writes `$RECORD/<stage>.<process>.json`: the parameters that it read, down to the leaf, and the modules of this
repository that it had loaded in the end.
"""

import atexit
import json
import os
import sys


def record(folder: str) -> None:
    sys.path.insert(0, os.getcwd())
    from counterpoise.core.settings import File, Section

    paths: dict[int, str] = {}  # of each section that was read from the file, by identity
    replaced: dict[int, set[str]] = {}  # keys whose values are not the file's
    kept: list[Section] = []  # so that identities stay theirs
    read: set[str] = set()

    def watch(section: Section, path: str, changed: set[str]) -> None:
        paths[id(section)], replaced[id(section)] = path, changed
        kept.append(section)

    def attribute(self: Section, name: str) -> object:
        value = object.__getattribute__(self, name)
        path = paths.get(id(self))
        if path is not None and name in type(self).model_fields and name not in replaced[id(self)]:
            key = f"{path}.{name}".removeprefix(".")
            if isinstance(value, Section):
                watch(value, key, set())
            else:
                read.add(key)
        return value

    plain_read, plain_copy = File.read.__func__, Section.model_copy

    def read_file(cls: type[File], path: str = "params.yaml") -> File:
        found = plain_read(cls, path)
        watch(found, "", set())
        return found

    def copy(self: Section, *, update: dict | None = None, deep: bool = False) -> Section:
        copied = plain_copy(self, update=update, deep=deep)
        if id(self) in paths:
            watch(copied, paths[id(self)], replaced[id(self)] | set(update or ()))
        return copied

    Section.__getattribute__ = attribute
    Section.model_copy = copy
    File.read = classmethod(read_file)

    def write() -> None:
        here = os.getcwd()
        files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        ours = {os.path.relpath(file, here) for file in files if file and file.startswith(here + os.sep)}
        stage = os.path.basename(sys.argv[0]).removesuffix(".py")
        name = "@".join(filter(None, [stage, "-".join(sys.argv[1:])]))
        modules = sorted(file for file in ours if file.startswith(("counterpoise/", "stages/")))
        with open(os.path.join(folder, f"{name}.{os.getpid()}.json"), "w") as file:
            json.dump({"stage": stage, "read": sorted(read), "modules": modules}, file)

    atexit.register(write)


if "RECORD" in os.environ and sys.orig_argv[1:2] == ["-m"] and sys.orig_argv[2].startswith("stages."):
    record(os.environ["RECORD"])
