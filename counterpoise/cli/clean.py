"""`counterpoise clean`: the options. What is litter is in `counterpoise/trust/litter.py`."""

from typing import Annotated

import typer


def clean(
    embeddings: Annotated[
        bool, typer.Option("--embeddings", help="Embeddings, too; a next training computes them again.")
    ] = False,
    dry: Annotated[bool, typer.Option("--dry", help="Delete nothing, and say what would go.")] = False,
) -> None:
    """Delete the unfinished work of stages that were interrupted, and locks that nobody holds.

    It costs no result: such a stage then begins anew. What a running stage works on stays.

    Examples:

    `counterpoise clean --dry`

    `counterpoise clean --embeddings`
    """
    from counterpoise.core import CounterpoiseError
    from counterpoise.trust import command

    try:
        command.clean(embeddings, dry, typer.echo)
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
