"""`counterpoise use NAME`: make params.yaml fit a collection of sounds.

A preset is a YAML file that holds the sections and keys of params.yaml which differ for a collection. Another preset is
one more file beside the others.
"""

import io
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node

from counterpoise.cli import workspace
from counterpoise.cli.params import Params
from counterpoise.cli.proposals import Proposal, propose
from counterpoise.core import CounterpoiseError, tables
from counterpoise.core.settings import SettingsError
from counterpoise.datasets import own, presplit


class PresetError(CounterpoiseError):
    """No such preset, or one that does not fit; params.yaml is as it was."""


class Used(NamedTuple):
    """What a preset did."""

    changes: list[str]  # of params.yaml, a line each, in its order; then what stays
    remarks: list[str]  # what was taken to be so of the sounds


def use(name: str, file: Path, folder: Path, path: str | None = None) -> Used:
    """Write a preset's values into params.yaml. Everything else in it stays to the letter, comments too.

    Values are replaced key by key, `classes` as a whole. If params.yaml is of the preset's data set already, its `data`
    section stays as the user made it. What is said of classes that are no more is taken out.

    With `own` the classes are those of the sounds that are there, and so are the values of
    :func:`counterpoise.cli.proposals.propose`. Using it again finds new classes. Nothing else changes then, unless the
    sounds lie in another place: a value that was proposed for the old place is then replaced, and one that the user
    set is not.

    Args:
        name: the preset, without `.yaml`.
        file: params.yaml. It is replaced in one go, and only by parameters that load.
        folder: where the presets lie.
        path: `data.path`; None takes the preset's.

    Returns:
        What changed, with the reason where it was proposed; which values stay although others would be proposed; and
        what is to be said of the user's own sounds. Where these bring folds that the preset's `split` does not fit, it
        is set to fit them.

    Raises:
        PresetError: no such preset, or its values are not valid.
        SettingsError: params.yaml was not valid before.
        own.OwnError: the user's folder holds no classes.
    """
    preset = _read(name, folder)
    before = Params.read(file)
    text = file.read_text(encoding="utf-8")
    classes = preset.pop("classes", None)
    data = preset.setdefault("data", {})
    dataset = data.get("dataset")
    again = dataset == before.data.dataset
    proposed: dict[str, Proposal] = {}
    given = {".".join(keys): value for keys, value in _leaves(preset)}
    if again:
        data.clear()
    if again and dataset == "own":
        preset = {"data": data}
    if path is not None:
        data |= {"path": Path(path).expanduser().as_posix(), "download": False}
    partial = file.resolve().with_name(f"{file.name}.partial")
    try:
        for keys, value in _leaves({section: values for section, values in preset.items() if values != {}}):
            text = _replaced(text, keys, value)
        remarks: list[str] = []
        if dataset == "own":
            found = own.labelled(_checked(text, partial, name).data)
            classes = {slug: {"name": label} for slug, label in found.names.items()}
            for key, value in _split(found, preset.get("split") or before.split.model_dump()).items():
                text = _replaced(text, tuple(key.split(".")), value)
            remarks = [one.text for one in found.remarks]
        if classes is not None:
            text = _with_classes(text, classes)
            gone = set(before.classes) - set(classes)
            for section, key in (("data", "limit"), ("aug", "per_class")):
                by_class = getattr(getattr(before, section), key)
                text = _replaced(text, (section, key), {slug: by_class[slug] for slug in by_class if slug not in gone})
        after = _checked(text, partial, name)
        if dataset == "own":
            proposed, free = propose(after, workspace.RAW), set(given)
            if again:
                moved = after.data.path != before.data.path
                free = _not_the_users(before, given) if moved else set()
            for key, (value, _) in proposed.items():
                if key in free:
                    text = _replaced(text, tuple(key.split(".")), value)
            after = _checked(text, partial, name)
        shutil.copymode(file, partial)
        os.replace(partial, file.resolve())
    finally:
        partial.unlink(missing_ok=True)
    old, new = (dict(_flat(one.model_dump())) for one in (before, after))
    changed = [key for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key)]
    why = {key: f" ({one.why})" for key, one in proposed.items() if new[key] == str(one.value)}
    told = [f"{key}: {old.get(key, '(not set)')} → {new.get(key, '(not set)')}{why.get(key, '')}" for key in changed]
    kept = [(key, one) for key, one in proposed.items() if new[key] != str(one.value)]
    told += [f"{key} stays {new[key]}; proposed is {one.value:g} ({one.why})" for key, one in kept]
    return Used(told, remarks)


def _not_the_users(p: Params, given: Mapping[str, Any]) -> set[str]:
    """The dotted keys with the value that was proposed for the sounds at `data.path`, or else with the preset's."""
    proposed = {key: one.value for key, one in propose(p, workspace.RAW).items()}
    now = {".".join(keys): value for keys, value in _leaves(p.model_dump())}
    return {key for key, value in (dict(given) | proposed).items() if now.get(key) == value}


def _split(found: own.Collection, usual: Mapping[str, Any]) -> dict[str, object]:
    """What `split` has to be for folds that the sounds bring, by dotted key; nothing where the preset's will do."""
    folds = found.folds - {tables.NO_FOLD}
    for one in found.remarks:
        if one.about in ("split_folders", "fold_words"):
            return presplit.settings(folds)
    if not folds or tables.NO_FOLD in found.folds or usual.get("test_fold") in folds:
        return {}
    return {"split.test_fold": max(folds)}


def _read(name: str, folder: Path) -> dict[str, dict]:
    there = sorted(file.stem for file in folder.glob("*.yaml"))
    if name not in there:
        raise PresetError(f"No preset {name!r}; there are {', '.join(there) or 'none'} (files in {folder}).")
    file = folder / f"{name}.yaml"
    try:
        preset = YAML(typ="safe").load(file.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError) as error:
        raise PresetError(f"{file} is not valid YAML: {error}") from None
    sections: dict[str, Any] = preset if isinstance(preset, dict) else {"": None}
    classes = sections.get("classes", {})
    mappings = [*(values for key, values in sections.items() if not isinstance(values, list)), classes]
    mappings += classes.values() if isinstance(classes, dict) else []
    if not all(isinstance(values, dict) for values in mappings):
        raise PresetError(f"{file} must hold sections of params.yaml, each with the keys that differ.")
    return sections


def _leaves(values: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value with its keys; an empty mapping is a value."""
    if isinstance(values, Mapping) and (values or not above):
        for key, value in values.items():
            yield from _leaves(value, (*above, key))
    else:
        yield above, values


def _checked(text: str, partial: Path, name: str) -> Params:
    partial.write_text(text, encoding="utf-8")
    try:
        return Params.read(partial)
    except SettingsError as error:
        raise PresetError(f"The preset {name} does not fit, and nothing was changed: {error}") from None


def _child(node: Node, key: str) -> tuple[Node, Node]:
    for found, value in node.value if isinstance(node, MappingNode) else ():
        if found.value == key:
            return found, value
    raise KeyError(key)


def _replaced(text: str, keys: tuple[str, ...], value: Any) -> str:
    """The text with another value at these keys. The comment behind it goes to the column of the file's comments."""
    node = YAML().compose(text)
    try:
        for key in keys:
            _, node = _child(node, key)
    except KeyError:
        raise PresetError(f"The preset does not fit, and nothing was changed: {'.'.join(keys)}: unknown key") from None
    start, end = node.start_mark.index, node.end_mark.index
    if YAML(typ="safe").load(text[start:end]) == value:
        return text
    stop = text.find("\n", end)
    line, comment = text[text.rfind("\n", 0, start) + 1 : start] + _inline(value), text[end:stop].strip()
    if comment:
        columns = Counter(found.end() - 1 for found in re.finditer(r"(?m)^ +\w+:.*? +#", text))
        columns = Counter(column - text.rfind("\n", 0, column) - 1 for column in columns.elements())
        line = f"{line}  ".ljust(columns.most_common(1)[0][0]) + comment
    return text[: text.rfind("\n", 0, start) + 1] + line + text[stop:]


def _with_classes(text: str, classes: Mapping[str, Mapping]) -> str:
    """The text with other classes; those that stay keep their lines."""
    _, block = _child(YAML().compose(text), "classes")
    lines, stop = {}, 0
    for key, value in block.value:
        stop = text.find("\n", _end(value))
        if YAML(typ="safe").load(text[value.start_mark.index : value.end_mark.index]) == classes.get(key.value):
            lines[key.value] = text[key.start_mark.index : stop]
    new = [lines.get(slug, _inline({slug: info})[1:-1]) for slug, info in classes.items()]
    return text[: block.start_mark.index] + "\n  ".join(new) + text[stop:]


def _end(node: Node) -> int:
    """Where the last of a node's values ends; a block's own mark stands behind the blank lines below it."""
    last = node
    while isinstance(last, MappingNode) and last.value and not last.flow_style:
        last = last.value[-1][1]
    return last.end_mark.index


def _inline(value: Any) -> str:
    """A value in params.yaml's style: {a: 1}, [1, 2], null."""
    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style, yaml.width, yaml.sort_base_mapping_type_on_output = True, 10_000, False
    yaml.allow_unicode = True
    yaml.dump({"k": value}, stream)
    return stream.getvalue().strip().removeprefix("{k: ").removesuffix("}")


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Every value by its dotted key, as text; the classes as one value."""
    yield "classes", ", ".join(values["classes"])
    for keys, value in _leaves({key: value for key, value in values.items() if key != "classes"}):
        yield ".".join(keys), "null" if value is None else str(value)
