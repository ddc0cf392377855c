"""Tables as text on a page: real text that can be searched, no cell borders, stripes to guide the eye."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from .fit import fit
from .page import INK, LEFT, MUTED, RIGHT, RULE, STRIPE, WIDTH_INCH

ROW = 0.0255
"""Height of a row as a fraction of the page."""
_POINTS = 8.2


@dataclass(frozen=True)
class Column:
    """A heading, a share of the table's width, and where its text stands."""

    heading: str
    width: float
    align: Literal["left", "right"] = "left"


@dataclass(frozen=True)
class Cell:
    """Text with a colour of its own, or with a bar of `bar` (0 to 1) behind it."""

    text: str
    colour: str = INK
    bold: bool = False
    bar: float | None = None
    bar_colour: str = "#bcdcf2"


def draw_table(
    figure: Figure,
    top: float,
    columns: Sequence[Column],
    rows: Sequence[Sequence[Cell | str]],
    *,
    left: float = LEFT,
    right: float = RIGHT,
) -> float:
    """Draws the table below `top` and returns where it ends; text that is too long for its column is cut with …"""
    total = sum(column.width for column in columns)
    edges = [left]
    for column in columns:
        edges.append(edges[-1] + (right - left) * column.width / total)
    middle = top - ROW / 2
    for column, start, end in zip(columns, edges, edges[1:], strict=False):
        _write(figure, column, start, end, middle, Cell(column.heading, MUTED, bold=True))
    figure.add_artist(Line2D([left, right], [top - ROW, top - ROW], color=RULE, linewidth=0.8))
    for index, row in enumerate(rows):
        y = top - ROW * (index + 1)
        if index % 2:
            figure.add_artist(
                Rectangle((left, y - ROW), right - left, ROW, color=STRIPE, linewidth=0, zorder=-2)
            )
        for column, start, end, cell in zip(columns, edges, edges[1:], row, strict=False):
            _write(figure, column, start, end, y - ROW / 2, Cell(cell) if isinstance(cell, str) else cell)
    return top - ROW * (len(rows) + 1)


def _write(figure: Figure, column: Column, start: float, end: float, y: float, cell: Cell) -> None:
    gap = 0.006
    if cell.bar is not None:
        width = (end - start - gap) * cell.bar
        figure.add_artist(
            Rectangle(
                (start, y - ROW * 0.36), width, ROW * 0.72, color=cell.bar_colour, linewidth=0, zorder=-1
            )
        )
    x = start + gap / 2 if column.align == "left" else end - gap
    weight = "bold" if cell.bold else "normal"
    text = fit(cell.text, (end - start - gap) * WIDTH_INCH, _POINTS, bold=cell.bold)
    figure.text(
        x,
        y,
        text,
        fontsize=_POINTS,
        color=cell.colour,
        fontweight=weight,
        ha=column.align,
        va="center_baseline",
    )
