"""What a person sees: consoles and progress.

Names come from models and sentences from devices, so none of them is trusted: markup is off, and what would move the
cursor or turn the reading direction is spelled out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.segment import Segment

from ...devices.printable import printable_lines

PIPED_WIDTH = 140


class _SafeConsole(Console):
    """Spells out control characters in whatever is printed; colours are no part of the text yet."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable_lines(segment.text.encode(errors="replace")), segment.style)


def stdout() -> Console:
    """Standard output; wide enough for a table when it is piped."""
    width = None if _has_width(sys.stdout.isatty()) else PIPED_WIDTH
    return _SafeConsole(highlight=False, markup=False, emoji=False, width=width)


def stderr() -> Console:
    """Standard error, for progress and remarks."""
    return _SafeConsole(stderr=True, highlight=False, markup=False, emoji=False)


def one_line(error: Exception) -> str:
    """An error's sentence, safe for a terminal."""
    return printable_lines(" ".join(str(error).split()).encode(errors="replace"))


def _has_width(terminal: bool) -> bool:
    return terminal or "COLUMNS" in os.environ


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr that leaves nothing behind; none where stderr is no terminal."""
    console = stderr()
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as shown:
        yield shown
