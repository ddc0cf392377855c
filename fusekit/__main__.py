"""`python -m fusekit` is the command `fusekit`."""

from .toolkit.cli import main

main()
