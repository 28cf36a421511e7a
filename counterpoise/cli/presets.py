"""`python -m counterpoise.presets NAME [--path FOLDER]`: make params.yaml fit a collection of sounds.

A preset is a YAML file that holds the sections and keys of params.yaml which differ for a collection. Another preset is
one more file beside the others.
"""

import argparse
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import CommentMark, YAMLError
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.tokens import CommentToken

from counterpoise.cli import params
from counterpoise.core import CounterpoiseError, settings
from counterpoise.datasets import own


LISTS = ("arms", "models")  # the sections of params.yaml that have no keys


class PresetError(CounterpoiseError):
    """No such preset, or one that does not fit; params.yaml is as it was."""


class _Representer(RoundTripRepresenter):
    """Writes null as `null`, where ruamel would write nothing."""


_Representer.add_representer(type(None), lambda self, _: self.represent_scalar("tag:yaml.org,2002:null", "null"))


def use(name: str, file: Path, folder: Path, path: str | None = None) -> list[str]:
    """Write a preset's values into params.yaml. Everything else in it stays, comments too.

    Values are replaced key by key, `classes` as a whole; with `dataset: own` they are those of the sounds that are
    there. If params.yaml is of the preset's data set already, its `data` section stays as the user made it, so that
    using `own` again finds new classes. What is said of classes that are no more is taken out.

    Args:
        name: the preset, without `.yaml`.
        file: params.yaml. It is replaced in one go, and only by parameters that load.
        folder: where the presets lie.
        path: `data.path`; None takes the preset's.

    Returns:
        What changed, a line each, in the order of params.yaml.

    Raises:
        PresetError: no such preset, or its values are not valid.
        settings.SettingsError: params.yaml was not valid before.
        own.OwnError: the user's folder holds no classes.
    """
    preset = _read(name, folder)
    params.load(file)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 120
    yaml.Representer = _Representer
    document = yaml.load(file.read_text(encoding="utf-8"))
    before = dict(_flat(document))

    classes = preset.pop("classes", None)
    dataset = preset.get("data", {}).get("dataset")
    if document["data"]["dataset"] == dataset:
        del preset["data"]
    _update(document, preset)
    if path is not None:
        in_place = {"download": False} if "download" in document["data"] else {}
        _update(document["data"], {"path": Path(path).expanduser().as_posix()} | in_place)

    partial = file.resolve().with_name(f"{file.name}.partial")
    try:
        if dataset == "own":
            checked = _write(yaml, document, partial, name)
            classes = {slug: {"name": label} for slug, label in own.find_classes(checked.data).items()}
        if classes is not None:
            _set_classes(document, classes)
        _write(yaml, document, partial, name)
        shutil.copymode(file, partial)
        os.replace(partial, file.resolve())
    finally:
        partial.unlink(missing_ok=True)
    after = dict(_flat(document))
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    return [f"{key}: {before.get(key, '(not set)')} → {after.get(key, '(not set)')}" for key in keys]


def _read(name: str, folder: Path) -> dict[str, dict]:
    there = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in there:
        raise PresetError(f"No preset {name!r}; there are {', '.join(there) or 'none'} (files in {folder}).")
    file = folder / f"{name}.yaml"
    try:
        preset = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise PresetError(f"{file} is not valid YAML: {error}") from None
    sections = preset if isinstance(preset, dict) else {"": preset}
    classes = sections.get("classes") or {}
    mappings = [*(values for name, values in sections.items() if name not in LISTS), classes]
    mappings += classes.values() if isinstance(classes, dict) else []
    if not all(isinstance(values, dict) for values in mappings):
        raise PresetError(f"{file} must hold sections of params.yaml, each with the keys that differ.")
    return preset


def _write(yaml: YAML, document: CommentedMap, partial: Path, name: str) -> params.Params:
    with open(partial, "w", encoding="utf-8") as stream:
        yaml.dump(document, stream)
    try:
        return params.load(partial)
    except settings.SettingsError as error:
        raise PresetError(f"The preset {name} does not fit, and nothing was changed: {error}") from None


def _update(section: CommentedMap, values: Mapping[str, Any]) -> None:
    columns = Counter(token.start_mark.column for token in (_comment(section, key) for key in section) if token)
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(section.get(key), Mapping):
            _update(section[key], value)
        elif key not in section:
            section.insert(max(0, len(section) - 1), key, _in_line(value))  # the blank line stays behind the last one
        elif section[key] != value:
            section[key] = _in_line(value)
            if token := _comment(section, key):  # a long value pushes its comment aside, a short one takes it back
                token.start_mark = CommentMark(columns.most_common(1)[0][0])


def _set_classes(document: CommentedMap, classes: Mapping[str, Mapping]) -> None:
    """Other classes; what follows the last of them, up to the next section, stays behind the last of the new ones."""
    old = document["classes"]
    end = _cut_end(*_innermost(document, "classes"))
    new = CommentedMap()
    new.ca.comment = old.ca.comment
    for slug, info in classes.items():
        new[slug] = _in_line(info) if slug not in old else old[slug]
        if slug in old:
            _update(new[slug], info)
            if slug in old.ca.items:
                new.ca.items[slug] = old.ca.items[slug]
    document["classes"] = new
    if end:
        section, key = _innermost(document, "classes")
        if token := _comment(section, key):
            token.value += end
        else:
            section.ca.items[key] = [None, None, CommentToken(f"\n{end}", CommentMark(0)), None]
    for by_class in (document["data"].get("limit"), document["aug"].get("per_class")):
        for slug in [slug for slug in by_class or () if slug not in classes]:
            del by_class[slug]


def _innermost(section: CommentedMap, key: str) -> tuple[CommentedMap, str]:
    """Where the last value below a key stands: ruamel hangs what follows a section there."""
    while isinstance(section[key], CommentedMap) and section[key] and not section[key].fa.flow_style():
        section = section[key]
        key = list(section)[-1]
    return section, key


def _cut_end(section: CommentedMap, key: str) -> str:
    """Take the lines below a value from the comment behind it."""
    token = _comment(section, key)
    if not token:
        return ""
    behind, _, below = token.value.partition("\n")
    if behind:
        token.value = f"{behind}\n"
    else:
        del section.ca.items[key]
    return below


def _comment(section: CommentedMap, key: str) -> CommentToken | None:
    """The comment behind a value, with the lines below it."""
    return section.ca.items.get(key, [None, None, None])[2]


def _in_line(value: Any) -> Any:
    """Lists and mappings in params.yaml's style, {a: 1} and [1, 2]."""
    if isinstance(value, Mapping):
        value = CommentedMap(value)
    elif isinstance(value, list):
        value = CommentedSeq(value)
    else:
        return value
    value.fa.set_flow_style()
    return value


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every value by its dotted key, as text; the classes as one value."""
    for key, value in values.items():
        if above + key == "classes":
            yield key, ", ".join(value)
        elif isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", "null" if value is None else str(value)


def main() -> None:
    """Use the preset that the command line names, and say what to do next."""
    file, folder = Path("params.yaml"), Path("presets")
    parser = argparse.ArgumentParser(prog="python -m counterpoise.presets", description=__doc__.partition("\n")[0])
    parser.add_argument("name", nargs="?", default="", help=f"one of {folder}/*.yaml")
    parser.add_argument("--path", help="the folder that holds the collection")
    given = parser.parse_args()
    try:
        changes = use(given.name, file, folder, given.path or None)
        data = params.load(file).data
    except CounterpoiseError as error:
        sys.exit(str(error))
    print(f"{file} is now set to {given.name}:", *(changes or ["nothing changed"]), sep="\n  ")
    if not Path(data.path).exists():
        print(f"\nThere is no {data.path} yet. Put the collection there, or say where it is:")
        print(f"  make use PRESET={given.name} DATA=/where/it/is")
    print("\nNext: make run")


if __name__ == "__main__":
    main()
