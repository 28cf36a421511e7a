"""Sounds for whoever asks: variations by a class's diffusion model, outside of the pipeline."""

from counterpoise.core import CounterpoiseError


class VariationsError(CounterpoiseError):
    """Sounds that cannot be made; the message says why."""


class UsageError(CounterpoiseError):
    """Options that are not allowed; the message says what is."""
