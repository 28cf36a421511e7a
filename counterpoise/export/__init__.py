"""A trained classifier as an ONNX model that takes sound: made, checked against torch, and quantised."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from counterpoise.core import CounterpoiseError


class ExportError(CounterpoiseError):
    """A model that cannot be made, or must not be given away; the message says why."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Exporter and quantiser tell of packages that they could use, and of steps that are not needed here."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
