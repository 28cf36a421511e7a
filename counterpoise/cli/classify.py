"""`counterpoise classify`: the options, and what they mean together. The work is in `counterpoise/inference/`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

CLASSIFIERS = Path("models/classifier")
RELEASE = Path("models/release")
Style = Literal["table", "jsonl", "csv", "audacity", "raven"]


def classify(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE_OR_FOLDER", help="Sounds, folders of sounds, or - for stdin.")
    ],
    folder: Annotated[
        Path | None, typer.Option("--from", help="A release or a trained classifier.  [default: models/release]")
    ] = None,
    arm: Annotated[str | None, typer.Option(help="Take models/classifier/ARM-MODEL/seedSEED instead.")] = None,
    model: Annotated[str | None, typer.Option(help="With --arm; needed where there are several.")] = None,
    seed: Annotated[int | None, typer.Option(help="With --arm; else the lowest.")] = None,
    style: Annotated[Style, typer.Option("--format", help="How answers are written.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format jsonl.")] = False,
    windows: Annotated[bool, typer.Option("--windows", help="Tell of each window, too.")] = False,
    hop: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="From one window to the next.  [default: half a window]")
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Classes to tell.  [default: all; in the table 3]")] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="X|none", help="A smaller confidence gives no label.  [default: the release's own, if it has one]"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="A file; a folder for audacity and raven with several sounds.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows at once.")] = 32,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to compute.")] = "auto",
) -> None:
    """Say what sounds are, with the network that `release` chose or with any other that was trained.

    A window has the length that the network was trained on. A longer sound is heard window by window, and its answer is
    the mean of theirs. Folders are searched as data/own is: all levels, nothing hidden.

    Examples:

    `counterpoise classify bark.wav`

    `counterpoise classify recordings/ --json --output answers.jsonl`

    `counterpoise classify night.flac --format audacity --output night.txt`

    Exit codes: 0 all sounds were classified, 1 none was (no model, no readable sound), 2 wrong options, 3 some sounds
    could not be read (stderr names them).
    """
    if as_json and style not in ("table", "jsonl"):
        raise typer.BadParameter(f"--json and --format {style}: use one of them", param_hint="--json")
    limit = _threshold(threshold)
    where = _classifier(folder, arm, model, seed)

    from counterpoise.core import CounterpoiseError
    from counterpoise.inference import command

    options = command.Options(
        style="jsonl" if as_json else style,
        windows=windows,
        hop=hop,
        top=top,
        threshold=limit,
        known_threshold=threshold is None,
        output=output,
        batch_size=batch_size,
        device=device,
    )
    try:
        code = command.run(files, where, options)
    except command.UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        code = command.NOTHING
    raise typer.Exit(code)


def _threshold(text: str | None) -> float | None:
    if text is None or text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise typer.BadParameter(f"{text!r}: a number from 0 to 1 is allowed, or none", param_hint="--threshold")
    return value


def _classifier(folder: Path | None, arm: str | None, model: str | None, seed: int | None) -> Path:
    """The folder that the options name."""
    if arm is None:
        if model is not None or seed is not None:
            raise typer.BadParameter("--model and --seed need --arm", param_hint="--arm")
        return RELEASE if folder is None else folder
    if folder is not None:
        raise typer.BadParameter("--from and --arm both name a classifier: use one of them", param_hint="--from")
    trained = sorted(path.name for path in CLASSIFIERS.glob("*") if path.is_dir())
    fitting = [name for name in trained if name.rpartition("-")[0] == arm and model in (None, name.rpartition("-")[2])]
    if len(fitting) != 1:
        asked = arm if model is None else f"{arm}-{model}"
        problem = f"{asked} could be several: add --model" if fitting else f"no trained network is called {asked}"
        there = ", ".join(fitting or trained) or f"none; run `dvc repro`, or `dvc pull {CLASSIFIERS}`"
        raise typer.BadParameter(f"{problem}; there are {there}", param_hint="--arm")
    seeds = sorted(int(path.name[4:]) for path in (CLASSIFIERS / fitting[0]).glob("seed*") if path.name[4:].isdigit())
    if not seeds or seed not in (None, *seeds):
        there = ", ".join(map(str, seeds)) or "none; run `dvc repro`"
        raise typer.BadParameter(f"no such seed of {fitting[0]}; there are {there}", param_hint="--seed")
    return CLASSIFIERS / fitting[0] / f"seed{seeds[0] if seed is None else seed}"
