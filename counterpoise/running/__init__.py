"""Stages side by side: what DVC says is out of date, several processes of DVC at once, and one view of them all."""

from counterpoise.core import CounterpoiseError


class RunError(CounterpoiseError):
    """The pipeline cannot be run as asked."""
