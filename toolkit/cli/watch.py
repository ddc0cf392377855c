"""`fusekit watch`: how far a sweep is, from its journal, in this terminal or another."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from .screen import stderr, stdout

_REFRESH_S = 0.5
_STOPPING = "waiting for what is being measured; Ctrl-C again leaves at once"


def watch(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a sweep.")],
    once: Annotated[bool, typer.Option("--once", help="Print how far it is, all devices, and exit.")] = False,
) -> None:
    """Show how far the sweep in FOLDER is, until it ends or Ctrl-C; it only reads."""
    from ..sweep.journal import FILE, Tail
    from ..sweep.progress import progress_of
    from ..sweep.view import frame

    console = stdout()
    tail = Tail(folder / FILE).read()
    if once or not console.is_terminal:
        console.print(frame(progress_of(tail.entries), height=1_000_000))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            progress = progress_of(tail.entries)
            live.update(frame(progress, console.height), refresh=True)
            if progress.ended is not None:
                return
            time.sleep(_REFRESH_S)
            tail = tail.read()


@contextmanager
def watching(folder: Path, stop: threading.Event) -> Iterator[None]:
    """Shows a sweep of this process on stderr while it runs: as a live table, or as lines where that is no terminal."""
    console = stderr()
    over = threading.Event()
    show = _show_table if console.is_terminal else _print_lines
    thread = threading.Thread(target=show, args=(folder, console, stop, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show_table(folder: Path, console: Console, stop: threading.Event, over: threading.Event) -> None:
    from ..sweep.journal import FILE, Tail
    from ..sweep.progress import progress_of
    from ..sweep.view import frame

    tail = Tail(folder / FILE)
    told = False
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not over.wait(_REFRESH_S):
            tail = tail.read()
            live.update(frame(progress_of(tail.entries), console.height), refresh=True)
            if stop.is_set() and not told:
                live.console.print(_STOPPING, soft_wrap=True)
                told = True


def _print_lines(folder: Path, console: Console, stop: threading.Event, over: threading.Event) -> None:
    from ..sweep.journal import FILE, Tail
    from ..sweep.view import lines

    tail, told, ended = Tail(folder / FILE).read(), False, False
    while not ended:
        ended = over.wait(_REFRESH_S)
        seen, tail = len(tail.entries), tail.read()
        for line in lines(tail.entries, seen):
            console.print(line, soft_wrap=True, markup=False)
        if stop.is_set() and not told:
            console.print(_STOPPING, soft_wrap=True)
            told = True
