"""What went wrong in a fleet, in the words of what went wrong, and what to know about the times of the others."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from ..measure.record import Failure
from ..sweep.progress import Progress
from .page import BAD, BOTTOM, LEFT, MUTED, TOP, new_page
from .table import ROW, Cell, Column, draw_table

_SENTENCE_LETTERS = 88
_FAILURES = (
    Column("device", 1.5),
    Column("models", 1.9),
    Column("", 0.1),
    Column("kind", 0.9),
    Column("", 0.05),
    Column("what happened, and what to do", 6.0),
)
_CAVEATS = (Column("devices", 2.6), Column("", 0.05), Column("what makes their times less trustworthy", 6.0))

Row = Sequence[Cell | str]


def remark_pages(progress: Progress, subtitle: str, footer: str) -> list[Figure]:
    """Failures first, then caveats, below them where there is room; no page where there is neither."""
    pages: list[Figure] = []
    bottom = BOTTOM
    for title, columns, entries in (
        ("What failed", _FAILURES, _failures(progress)),
        ("Caveats", _CAVEATS, _caveats(progress)),
    ):
        rows = [row for entry in entries for row in entry]
        if pages and rows and (len(rows) + 4) * ROW < bottom - BOTTOM:
            pages[-1].text(LEFT, bottom - 1.5 * ROW, title, fontsize=10.5, fontweight="bold", va="center")
            draw_table(pages[-1], bottom - 2.2 * ROW, columns, rows)
            continue
        for shown in _paged(entries):
            pages.append(new_page(title, subtitle, footer))
            bottom = draw_table(pages[-1], TOP, columns, shown)
    return pages


def _paged(entries: Sequence[Sequence[Row]]) -> list[list[Row]]:
    """The rows of each page; those of one entry stay together."""
    room = int((TOP - BOTTOM) / ROW) - 1
    pages: list[list[Row]] = []
    for rows in entries:
        if not pages or len(pages[-1]) + len(rows) > room:
            pages.append([])
        pages[-1] += rows
    return pages


def _failures(progress: Progress) -> list[list[Row]]:
    """Rows of each failure: the first names it, the others go on with its sentence."""
    models: dict[tuple[str, Failure], list[str]] = {}
    for job in progress.jobs:
        if job.state == "failed" and job.failure is not None:
            models.setdefault((job.job.device, job.failure), []).append(job.job.model)
    entries: list[list[Row]] = []
    for (device, failure), names in models.items():
        said = ", ".join(names) if len(names) < 3 else f"{len(names)} models"
        first, *more = textwrap.wrap(failure.message, _SENTENCE_LETTERS) or [""]
        row: Row = [Cell(device, bold=True), said, "", Cell(failure.kind, BAD, bold=True), "", first]
        entries.append([row, *(["", "", "", "", "", line] for line in more)])
    return entries


def _caveats(progress: Progress) -> list[list[Row]]:
    """A row a caveat, which many devices may have in common."""
    devices: dict[str, dict[str, None]] = {}
    for job in progress.jobs:
        for caveat in job.caveats:
            device, _, said = caveat.partition(": ")
            devices.setdefault(said, {})[device] = None
    entries: list[list[Row]] = []
    for said, names in sorted(devices.items(), key=lambda item: -len(item[1])):
        shown = ", ".join(list(names)[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        entries.append([[Cell(shown + more, MUTED), "", said]])
    return entries
