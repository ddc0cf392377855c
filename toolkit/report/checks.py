"""The page of a session without times: what was checked, and why no time is shown."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from .chapter import Chapter
from .page import BAD, GOOD, LEFT, MUTED, TOP, new_page
from .table import ROW, Cell, Column, draw_table

ROWS = 24

_COLUMNS = (
    Column("level", 0.8),
    Column("threads", 0.7, "right"),
    Column("kernels", 0.7, "right"),
    Column("output", 2.4),
    Column("largest error", 1.2, "right"),
    Column("limit", 1.0, "right"),
    Column("check", 5.0),
)


def check_page(chapter: Chapter, footer: str) -> Figure:
    """One row an output; a failed variant says why."""
    record = chapter.records[0]
    parts = [f"target {chapter.target}"]
    if record.facts is not None:
        parts.append(record.facts.model)
    parts += [f"levels {', '.join(chapter.levels)}", f"session {record.session}", record.created]
    figure = new_page(f"{chapter.model} on {chapter.device}", " · ".join(parts), footer)
    if chapter.emulated:
        said = "Emulated: the outputs were checked. A time under emulation says nothing about a board, so none is shown."
    else:
        said = "No time is shown: a number needs a check that passed."
    figure.text(LEFT, TOP - ROW / 2, said, fontsize=9.5, va="center")
    rows = _rows(chapter)
    bottom = draw_table(figure, TOP - 1.8 * ROW, _COLUMNS, rows[:ROWS])
    if len(rows) > ROWS:
        figure.text(LEFT, bottom - ROW / 2, f"and {len(rows) - ROWS} more outputs", fontsize=8.2, color=MUTED)
    return figure


def _rows(chapter: Chapter) -> list[Sequence[Cell | str]]:
    rows: list[Sequence[Cell | str]] = []
    for record in chapter.records:
        start: list[Cell | str] = [
            Cell(record.fusion, bold=True),
            str(record.threads),
            str(len(record.kernels)),
        ]
        for check in record.checks:
            verdict = (
                Cell("right", GOOD, bold=True) if check.ok else Cell(f"wrong: {check.detail}", BAD, bold=True)
            )
            rows.append([*start, check.name, _number(check.max_abs_error), _number(check.limit), verdict])
        if not record.checks:
            error = record.error
            said = f"{error.kind}: {error.message}" if error is not None else "not checked"
            rows.append([*start, "–", "–", "–", Cell(said, BAD)])
    # Wrong ones first: a page holds only so many rows.
    return sorted(rows, key=lambda row: isinstance(row[-1], Cell) and row[-1].colour == GOOD)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2e}"
