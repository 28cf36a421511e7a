"""`counterpoise check`: the options. What is said is in `counterpoise/cli/overview.py` and `advice.py`."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

PARAMS = Path("params.yaml")


def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Say what the collection is, what would stop the pipeline, and what is worth a look before it runs.

    Headers of files are read, and no sound is. Nothing is written or downloaded.

    Examples:

    `counterpoise check && dvc repro`

    `counterpoise check --json`

    Exit codes: 0 with advice or without; 1 where a stage would stop, or where params.yaml or the folders of sounds
    cannot be read.
    """
    from rich.console import Console

    from counterpoise.cli import overview, preflight, workspace
    from counterpoise.core import CounterpoiseError

    try:
        preflight.check(PARAMS)
        seen = overview.look(PARAMS, workspace.RAW)
    except CounterpoiseError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error)}, ensure_ascii=True))
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps(overview.as_json(seen), indent=2, allow_nan=False))
    else:
        overview.show(seen, Console(width=None if sys.stdout.isatty() else overview.WIDEST))
    if any(one.stops for one in seen.things):
        raise typer.Exit(1)
