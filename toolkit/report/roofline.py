"""The page of a roofline: every kernel under the machine's ceilings on the left, its share of its own bound on the right."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ... import __version__
from ...errors import UserError
from ..byte_size import byte_size
from ..duration import duration
from ..roofline.roofline import Point, Roofline, sum_of
from .page import BAD, BOTTOM, GOOD, INK, LEFT, LEVEL_COLOURS, MUTED, RULE, STYLE, TOP, new_page
from .table import Cell, Column, draw_table

SUFFIXES = (".pdf", ".png")
ROWS = 28
PNG_DPI = 110
NEAR = 0.8
"""The share of its bound from which a kernel is drawn as good."""

_COLUMNS = (
    Column("step", 0.6, "right"),
    Column("kernel", 2.5),
    Column("time", 0.9, "right"),
    Column("of all", 0.8, "right"),
    Column("set by", 1.0),
    Column("of its bound", 1.5, "left"),
    Column("undisturbed", 1.5, "right"),
)


def check_suffix(path: Path) -> None:
    """Raises UserError for a name that is of no picture."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(
            f"a roofline is drawn as PDF or PNG, not '{path.name}': give a name like reports/roofline.pdf"
        )


def write_roofline(found: Roofline, path: Path) -> None:
    """Draws the page into `path`, a PDF or PNG; raises UserError for another suffix."""
    check_suffix(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with style.context(dict(STYLE)):
        roofline_page(found).savefig(path, dpi=PNG_DPI)


def roofline_page(found: Roofline) -> Figure:
    """The page."""
    record, total = found.record, found.total
    threads = f"{record.threads} {'thread' if record.threads == 1 else 'threads'}"
    peak = found.ceiling.peak_gflops
    figure = new_page(
        f"Roofline of {record.model} on {record.device.name}",
        f"{record.target} · {record.fusion} · {threads} · measured peak {peak:.1f} GFLOP/s · "
        f"{duration(total.time_ns)} for {total.work.flops / 1e6:.1f} MFLOP, "
        f"{100 * total.work.flops / total.time_ns / peak:.0f} % of the peak · {100 * total.share:.0f} % of the kernels' bounds",
        f"fusekit {__version__} · drawn {datetime.now(UTC):%Y-%m-%d %H:%M} UTC · session {record.session}",
    )
    _draw_ceilings(figure.add_axes((LEFT + 0.03, BOTTOM + 0.06, 0.35, TOP - BOTTOM - 0.11)), found)
    draw_table(figure, TOP, _COLUMNS, _rows(found), left=LEFT + 0.41)
    return figure


def _draw_ceilings(axes: Axes, found: Roofline) -> None:
    ceiling, points = found.ceiling, [p for p in found.points if p.work.slots and p.work.bytes]
    x = np.geomspace(
        min([0.05, *(_intensity(p) / 2 for p in points)]), max([200.0, *(_intensity(p) * 2 for p in points)])
    )
    for size, gbps in ceiling.read_gbps.items():
        axes.plot(x, np.minimum(x * gbps, ceiling.peak_gflops), color=RULE, linewidth=0.9, zorder=1)
        if size in (min(ceiling.read_gbps), max(ceiling.read_gbps)):
            said = f"{gbps:.0f} GB/s at {byte_size(size)}"
            axes.annotate(
                said, (x[0], x[0] * gbps), (2, 3), textcoords="offset points", fontsize=7.5, color=MUTED
            )
    axes.axhline(ceiling.peak_gflops, color=INK, linewidth=1.0, zorder=1)
    longest = max(point.time_ns for point in found.points)
    for point in points:
        colour = LEVEL_COLOURS["full"] if point.limit == "pipes" else BAD
        area = 12 + 160 * point.time_ns / longest
        axes.scatter(_intensity(point), _rate(point), s=area, color=colour, alpha=0.55, linewidth=0, zorder=2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.set_xlim(float(x[0]), float(x[-1]))
    axes.set_title("Kernels under the measured ceilings", pad=12)
    axes.set_xlabel(
        "operations per byte that has to move, a multiply-add counted as two\narea: time; blue: bound by the vector pipes, orange: by memory",
        fontsize=8.5,
    )
    axes.set_ylabel("GFLOP/s", fontsize=8.5)


def _intensity(point: Point) -> float:
    return 2 * point.work.slots / point.work.bytes


def _rate(point: Point) -> float:
    return 2 * point.work.slots / point.time_ns


def _rows(found: Roofline) -> list[list[Cell | str]]:
    """The slowest kernels, slowest first, and the rest as one."""
    total = found.total.time_ns
    both = enumerate(zip(found.points, found.undisturbed, strict=True))
    ordered = sorted(both, key=lambda item: -item[1][0].time_ns)
    rows: list[list[Cell | str]] = []
    for step, (point, quick) in ordered[:ROWS]:
        share = Cell(f"{100 * point.share:.0f} %", bar=min(1.0, point.share), bar_colour="#bcdcf2")
        if point.share >= NEAR:
            share = Cell(share.text, GOOD, bar=share.bar, bar_colour=share.bar_colour)
        rows.append(
            [
                str(step),
                point.work.label,
                duration(point.time_ns),
                f"{100 * point.time_ns / total:.1f} %",
                point.limit,
                share,
                f"{100 * quick.share:.0f} %",
            ]
        )
    rest = [pair for _, pair in ordered[ROWS:]]
    if rest:
        whole, quick_whole = sum_of([point for point, _ in rest]), sum_of([quick for _, quick in rest])
        rows.append(
            [
                "",
                Cell(f"{len(rest)} faster kernels", MUTED),
                duration(whole.time_ns),
                f"{100 * whole.time_ns / total:.1f} %",
                "",
                Cell(f"{100 * whole.share:.0f} %", MUTED),
                Cell(f"{100 * quick_whole.share:.0f} %", MUTED),
            ]
        )
    return rows
