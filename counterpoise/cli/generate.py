"""`counterpoise generate`: the options. The work is in `counterpoise/variations/`."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli import workspace

PARAMS = Path("params.yaml")


def generate(
    label: Annotated[str, typer.Option("--class", metavar="SLUG", help="A class of params.yaml.")],
    count: Annotated[int, typer.Option(min=1, help="Sounds to make.")] = 20,
    given: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE_OR_FOLDER",
            help="Sounds to start from; may be repeated.  [default: the class's training clips]",
        ),
    ] = None,
    strength: Annotated[
        str | None,
        typer.Option(
            metavar="X|LOW,HIGH", help="How far from the start: 0.3 is near, 5 far.  [default: generate.strength]"
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of all that is drawn.  [default: generate.seed]")] = None,
    output: Annotated[Path | None, typer.Option(help="A folder.  [default: generated/SLUG]")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Make sounds of a class with its diffusion model, as FLAC, and lineage.csv beside them.

    A sound is a variation of a training clip or of a sound that `--from` names. Solver, steps, guidance, start and
    finish are those of `generate` in params.yaml. The same call makes the same bytes.

    Examples:

    `counterpoise generate --class sneeze --count 20`

    `counterpoise generate --class sneeze --from clip.wav --strength 0.6 --output mine`
    """
    from counterpoise.core import CounterpoiseError
    from counterpoise.variations import UsageError, command

    options = command.Options(label, count, given or [], strength, seed, output, force)
    try:
        folder = command.run(
            options, PARAMS, workspace.SPLIT, workspace.LATENTS, workspace.DENOISERS, workspace.commit()
        )
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{folder}: {count} sound{'s' * (count > 1)}, and where each comes from in lineage.csv")
