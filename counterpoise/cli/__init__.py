"""The command line: `counterpoise`, or `python -m counterpoise`."""
