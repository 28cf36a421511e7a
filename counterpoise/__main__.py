"""`python -m counterpoise`."""

from counterpoise.cli.app import main

main()
