"""What the benchmarks are given: params.yaml with changes, and the clips of some folds of UrbanSound8K."""

import argparse
import json
import tempfile
from pathlib import Path

import pandas as pd
import soundfile
from ruamel.yaml import YAML

from counterpoise.cli.params import Params
from counterpoise.core import tables
from counterpoise.datasets import published
from counterpoise.datasets.urbansound8k import COLLECTION

EXAMPLES = {**tables.EXAMPLES, "fold": "int64", "seconds": "float64"}


def parameters(changes: list[str]) -> Params:
    """params.yaml with each `section.key=value` put in; values are YAML.

    Raises:
        SettingsError: a section or a key does not exist or was renamed, or a value cannot be used.
    """
    yaml = YAML(typ="safe")
    values = yaml.load(Path("params.yaml").read_text(encoding="utf-8"))
    for change in changes:
        path, _, value = change.partition("=")
        *sections, key = path.split(".")
        place = values
        for name in sections:
            place = place.setdefault(name, {})
        place[key] = yaml.load(value)
    with tempfile.TemporaryDirectory() as folder:
        changed = Path(folder) / "params.yaml"
        changed.write_text(json.dumps(values), encoding="utf-8")  # which is YAML, too
        return Params.read(changed)


def clips(folder: Path, folds: list[int]) -> tuple[pd.DataFrame, list[str]]:
    """The clips of these folds, with the columns EXAMPLES in the collection's order, and all classes.

    Args:
        folder: has the layout of UrbanSound8K: audio/ and metadata/UrbanSound8K.csv.

    Raises:
        PublishedError: there is no such collection.
    """
    root = published.find(COLLECTION, folder)
    labels = sorted(pd.read_csv(root / COLLECTION.table)[COLLECTION.label].unique())
    data = parameters(["data.dataset=urbansound8k", "data.download=false"]).data
    data = data.model_copy(update={"path": str(root)})
    files = published.listing(COLLECTION, data, {label: label for label in labels}, root)
    files = files[files.fold.isin(folds)].reset_index(drop=True)
    names = [Path(path).stem for path in files.path]
    examples = files.assign(
        clip_id=names,
        root_clip_id=names,
        synthetic=False,
        sha256=files.path.map(tables.sha256),
        seconds=[soundfile.info(path).duration for path in files.path],
    )
    return examples[list(EXAMPLES)].astype(EXAMPLES), labels


def beside(about: str) -> argparse.ArgumentParser:
    """A parser of the arguments that say beside which network denoisers are heard, and how much they weigh."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", default="none")
    parser.add_argument("--model", default="cnn")
    parser.add_argument("--weight", type=float, default=0.8)
    return parser
