"""`counterpoise run`: the options. What runs when is decided in `counterpoise/running/`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

LOGS = Path("logs")
ALL = 1_000_000  # stages at once on a cluster, which has a queue of its own
WIDTH = 100  # characters, where the output is no terminal


def run(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Stages, as `dvc repro` takes them. All that they need runs, too.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option("-j", "--jobs", min=1, help="Stages at once. By default: cores by runtime.threads; on a GPU, 1."),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Run what is up to date, too.")] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Run the stages on a Ray cluster: auto, host:port or ray://host:port.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
) -> None:
    """Run the pipeline as `dvc repro` does, several stages at once.

    DVC decides what is out of date and records what was made, so that dvc.lock is the same. The output of every stage
    goes to a file in logs/. A stage that fails stops those that need it, and the others go on. Ctrl-C ends all;
    the next run goes on where this one stopped.

    Examples:

    `counterpoise run`

    `counterpoise run --jobs 4 train_diffusion@bark`

    `counterpoise run --address auto`

    Exit codes: 0 when everything is up to date; 1 when a stage failed or the pipeline cannot be run; 128 and the
    signal's number when a signal ended the run.
    """
    from rich.console import Console

    from counterpoise.core import CounterpoiseError
    from counterpoise.core.runtime import Runtime
    from counterpoise.core.settings import File
    from counterpoise.running import command

    class Params(File):
        runtime: Runtime

    try:
        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        runtime = None if jobs and not address else Params.read().runtime
        threads = runtime.threads if runtime else 1
        number = jobs or (ALL if address or runtime is None else command.jobs(runtime))
        code = command.run(targets or [], number, force, dry_run, LOGS, console, address, threads)
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(code)
