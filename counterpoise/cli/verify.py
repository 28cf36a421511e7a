"""`counterpoise verify`: the options. What is compared is in `counterpoise/trust/`."""

from typing import Annotated

import typer


def verify(
    remote: Annotated[str | None, typer.Option(metavar="NAME", help="Hash what this remote holds, too.")] = None,
    mend: Annotated[
        bool, typer.Option("--mend", help="Delete what is damaged, and take what is whole elsewhere on this machine.")
    ] = False,
) -> None:
    """Hash all that dvc.lock names, and say what is damaged or missing, and what mends it.

    DVC itself trusts a file whose size and time it knows. Here every byte is read.

    Examples:

    `counterpoise verify`

    `counterpoise verify --remote store --mend`

    Exit codes: 0 where all is whole; 1 where something is damaged or missing.
    """
    from counterpoise.core import CounterpoiseError
    from counterpoise.trust import command

    try:
        whole = command.verify(remote, mend, typer.echo)
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if not whole:
        raise typer.Exit(1)
