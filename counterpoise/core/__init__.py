"""What every room stands on: tables, audio, the machine, names, and the typed form of a section of params.yaml."""


class CounterpoiseError(Exception):
    """Something that the user can mend: the message names the value, what is allowed, and the next command."""
