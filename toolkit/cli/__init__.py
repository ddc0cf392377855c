"""The command line `fusekit`; one file a command.

Exit codes: 0 all right; 1 an output was wrong or a measurement failed; 2 the user or the device has something to
mend, told in one line on stderr; anything else is a bug and shows its traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ...errors import UserError


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the command line and exits; `argv` without the program's name, by default the process's own."""
    from .app import app
    from .screen import one_line

    try:
        app(args=None if argv is None else list(argv), prog_name="fusekit")
    except UserError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)
