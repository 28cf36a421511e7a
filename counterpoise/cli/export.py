"""`counterpoise export`: the options. The work is in `counterpoise/export/`."""

from pathlib import Path
from typing import Annotated

import typer

from counterpoise.cli import workspace


def export(
    folder: Annotated[Path, typer.Option("--from", help="A release or a trained classifier.")] = workspace.RELEASE,
    output: Annotated[Path, typer.Option(help="The file.")] = Path("model.onnx"),
    int8: Annotated[bool, typer.Option("--int8", help="Also write MODEL.int8.onnx, calibrated on training clips.")] = (
        False
    ),
) -> None:
    """Write a classifier as an ONNX model that takes sound: boards, phones and browsers run it without torch.

    The model holds the spectrogram and the windows, too. Its input `wave` is float32, channels × samples, of any
    length, at the model's sample rate. Its output `probabilities` has a number for each class. It is compared with
    the network before it is written.

    Examples:

    `counterpoise export`

    `counterpoise export --int8 --output board/model.onnx`

    `counterpoise export --from models/classifier/none-cnn/seed1`
    """
    from counterpoise.core import CounterpoiseError
    from counterpoise.export import command

    try:
        command.run(folder, output, int8, workspace.SPLIT, workspace.commit())
    except CounterpoiseError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
