"""What a person sees: consoles and progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

PIPED_WIDTH = 140


def stdout() -> Console:
    """Standard output; wide enough for a table when it is piped."""
    return Console(highlight=False, width=None if _has_width(sys.stdout.isatty()) else PIPED_WIDTH)


def stderr() -> Console:
    """Standard error, for progress and remarks."""
    return Console(stderr=True, highlight=False)


def _has_width(terminal: bool) -> bool:
    return terminal or "COLUMNS" in os.environ


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr that leaves nothing behind; none where stderr is no terminal."""
    console = stderr()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        yield shown
