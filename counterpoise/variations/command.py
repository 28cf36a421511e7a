"""`counterpoise generate`: which sounds are made, of what, and where they go."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from counterpoise import codecs
from counterpoise.codecs.settings import CodecSettings
from counterpoise.core import audio, runtime, tables
from counterpoise.core.runtime import Runtime
from counterpoise.core.settings import Classes, File
from counterpoise.datasets.settings import Data
from counterpoise.diffusion.model import Model
from counterpoise.generation import planning, sdedit
from counterpoise.generation.settings import Generate
from counterpoise.variations import UsageError, VariationsError, starts

LINEAGE = {**tables.LINEAGE, "commit": "str"}  # of lineage.csv; `commit` is empty outside of git


class Params(File):
    """What is read of params.yaml."""

    classes: Classes
    codec: CodecSettings
    data: Data
    generate: Generate
    runtime: Runtime


@dataclass(frozen=True)
class Options:
    """What the command was told; None takes what params.yaml says.

    Attributes:
        label: the class's slug.
        count: sounds to make.
        given: sounds and folders of sounds to start from; none: the class's training clips.
        strength: a number above 0, or two with a comma between: sigma of the noise that is put on a start.
        seed: of everything that is drawn.
        output: a folder; None: `generated/<label>`.
        force: files that are there may be replaced.
    """

    label: str
    count: int
    given: Sequence[Path]
    strength: str | None
    seed: int | None
    output: Path | None
    force: bool


def run(options: Options, params: Path, split: Path, latents: Path, models: Path, commit: str | None) -> Path:
    """Make sounds of a class; the same call gives the same bytes on one machine.

    Every start is used once before any is used twice. The class filter has no say: `generate.keep` is `all`. A given
    sound is what a variation starts from, so `generate.start: cross` counts as `own` with it. Memory holds a batch.

    Args:
        params: params.yaml.
        split: the table of the pipeline's clips.
        latents: the folder of their latents.
        models: the folder of the classes' diffusion models.
        commit: of the workspace.

    Returns:
        The folder, in which `<clip_id>.flac` and `lineage.csv` (LINEAGE) lie now.

    Raises:
        UsageError: an option is not allowed.
        VariationsError: a file would be replaced, or there is nothing to start from.
        NetworkError, LatentsError, TableError, CodecError: something of the pipeline is missing or damaged.
    """
    p = Params.read(params)
    label, folder = options.label, models / options.label
    if label not in p.classes:
        raise UsageError(f"--class {label}: there is no such class; there are {', '.join(p.classes)}")
    generate = _settings(p.generate, options)
    device = runtime.setup(p.runtime)
    if not folder.is_dir():
        raise VariationsError(
            f"{folder} is missing: there is no diffusion model of {label} yet. Run `dvc repro "
            f"train_diffusion@{label}`, or `dvc pull {folder}` if a remote holds it"
        )
    model, codec = Model.load(folder, device), codecs.build(p.codec, device)
    if (channels := len(model.normaliser.mean)) != codec.latent_channels:
        raise VariationsError(
            f"{folder} was trained on latents with {channels} channels, and the codec of {params} has "
            f"{codec.latent_channels}: run `dvc repro train_diffusion@{label}`"
        )

    with tempfile.TemporaryDirectory(prefix="counterpoise-") as scratch:
        # Plan
        if options.given:
            clips = starts.of_files(options.given, label, p.data, Path(scratch))
        else:
            clips = starts.of_training(label, generate.start, split)
        output = Path("generated") / label if options.output is None else options.output
        shares = planning.share_out(clips, label, options.count, generate)
        lineage = planning.lineage(clips, label, shares, generate, output, folder)
        table = output / "lineage.csv"
        _make_room(output, [*map(Path, lineage.path), table], options.force)

        # Make
        if options.given:
            shelf = starts.encoded(clips, codec, p.codec.batch_size, Path(scratch))
        else:
            shelf = starts.packed(clips, latents)
        roots = dict(zip(lineage.clip_id, lineage.root_clip_id, strict=True))
        paths = dict(zip(lineage.clip_id, lineage.path, strict=True))
        for clip_id, wave in sdedit.make(model, lineage, shelf, codec, generate, p.runtime, device):
            samples = round(shelf.seconds(roots[clip_id]) * codec.sample_rate)
            audio.write_flac(paths[clip_id], audio.fit(wave, samples), codec.sample_rate)
    _write(lineage, commit, table)
    return output


def _settings(generate: Generate, options: Options) -> Generate:
    """`generate` with what the options say instead."""
    changes: dict[str, object] = {"keep": "all"}
    if options.given and generate.start == "cross":
        changes["start"] = "own"
    if options.seed is not None:
        changes["seed"] = options.seed
    if options.strength is not None:
        if generate.start == "noise":
            raise UsageError(
                f"--strength {options.strength}: generate.start is noise, which knows no strength. Leave --strength "
                "away, or set generate.start to own"
            )
        changes["strength"] = _strength(options.strength)
    try:
        return Generate.model_validate(generate.model_dump() | changes)
    except ValidationError:
        raise UsageError(_allowed(options.strength)) from None


def _strength(text: str) -> float | list[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(_allowed(text)) from None
    if not all(math.isfinite(value) for value in values):
        raise UsageError(_allowed(text))
    return values[0] if len(values) == 1 else values


def _allowed(strength: str | None) -> str:
    return (
        f"--strength {strength}: a number above 0 is allowed, such as 0.6, or a range from the lower to the higher, "
        "such as 0.5,5"
    )


def _make_room(output: Path, paths: Sequence[Path], force: bool) -> None:
    """Make the folder, and see that nothing in it is replaced."""
    there = [path for path in paths if path.exists()]
    if there and not force:
        others = f", and {len(there) - 1} more of these files are" if len(there) > 1 else " is"
        raise VariationsError(f"{there[0]}{others} there already: name another --output, or replace them with --force")
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--output {output} is no folder ({error.strerror}): name another") from None


def _write(lineage: pd.DataFrame, commit: str | None, path: Path) -> None:
    tables.write(lineage.assign(commit=commit or "").astype(LINEAGE), path)
