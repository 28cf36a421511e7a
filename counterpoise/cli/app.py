"""The subcommands of `counterpoise`. What they need is imported when they run, so that `--help` comes at once."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli.check import check
from counterpoise.cli.classify import classify
from counterpoise.cli.clean import clean
from counterpoise.cli.export import export
from counterpoise.cli.generate import generate
from counterpoise.cli.run import run
from counterpoise.cli.verify import verify

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="markdown")
PARAMS = Path("params.yaml")
WIDTH = 100  # characters, where the output is no terminal


@app.callback()
def counterpoise() -> None:
    """Balance a sound collection with one small diffusion model per class, and see whether a classifier gets better.

    `make run` does everything. These commands are its parts that are no stages of dvc.yaml. Run them from the
    repository's root.
    """


@app.command()
def use(
    name: Annotated[str, typer.Argument(help="A file of presets/, without .yaml: dogs, urbansound8k, esc50, own.")],
    path: Annotated[str | None, typer.Option(help="The folder that holds the collection.")] = None,
) -> None:
    """Make params.yaml fit a collection of sounds.

    Example: `counterpoise use own --path /sounds`
    """
    with _told():
        from counterpoise.cli import presets
        from counterpoise.cli.params import Params

        used = presets.use(name, PARAMS, Path("presets"), path or None)
        typer.echo("\n  ".join([f"{PARAMS} is now set to {name}:", *(used.changes or ["nothing changed"])]))
        for remark in used.remarks:
            typer.echo(f"\n{remark}")
        collection = Params.read(PARAMS).data.path
        if not Path(collection).exists():
            typer.echo(f"\nThere is no {collection} yet. Put the collection there, or say where it is:")
            typer.echo(f"  make use PRESET={name} DATA=/where/it/is")
        typer.echo("\nNext: make run")


app.command()(check)
app.command()(run)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="Where summary.json lies.")] = Path("metrics"),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead, a key a file.")] = False,
) -> None:
    """Print the table of results.

    Examples:

    `counterpoise report`

    `counterpoise report --json | jq .summary.cnn.diffusion.macro_f1`
    """
    with _told():
        from rich.console import Console

        from counterpoise.evaluation import report as results

        metrics = results.read(folder)
        if as_json:
            return typer.echo(json.dumps(metrics, indent=1, allow_nan=False))
        results.show(metrics, Console())


@app.command()
def compare(
    num: Annotated[int, typer.Option("-n", "--num", help="Commits, each with its experiments.")] = 1,
    all_branches: Annotated[bool, typer.Option("-a", "--all-branches", help="The tips of all branches, too.")] = False,
    x: Annotated[str | None, typer.Option(metavar="PARAM", help="Draw the metric against it, e.g. aug.factor.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Of verdicts and picture (macro_f1), or rare_ap … With --x also of generated sounds: recognised, kad …"
        ),
    ] = None,
    folder: Annotated[Path, typer.Option(help="For tables and pictures.")] = Path("plots/compare"),
) -> None:
    """Show runs of the pipeline beside each other: the workspace, the last commits and their experiments.

    Example: `counterpoise compare --x data.scarce.limit`
    """
    with _told():
        from rich.console import Console

        from counterpoise.compare.command import compare as beside

        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        beside(num, all_branches, x, metric, folder, console)


app.command()(classify)
app.command()(export)
app.command()(generate)
app.command()(verify)
app.command()(clean)


@contextmanager
def _told() -> Iterator[None]:
    """A mistake that the user can mend ends in its message and exit code 1."""
    from counterpoise.core import CounterpoiseError

    try:
        yield
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None


def main() -> None:
    """The entry point; what the machine refuses ends in one message, too."""
    try:
        app(prog_name="counterpoise")
    except Exception as error:
        from counterpoise.core import faults

        if (message := faults.explain(error)) is None:
            raise
        typer.echo(f"counterpoise: {message}", err=True)
        sys.exit(1)
