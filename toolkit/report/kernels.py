"""The page of kernels: where the time of the most fused variant goes, step by step."""

from __future__ import annotations

from matplotlib.figure import Figure

from ..duration import duration
from ..measure.record import RunRecord
from .chapter import Chapter
from .frame import kernel_frame
from .page import MUTED, TOP, new_page
from .table import Cell, Column, draw_table

ROWS = 27

_COLUMNS = (
    Column("step", 0.5, "right"),
    Column("named for", 2.0),
    Column("ops of the kernel", 4.2),
    Column("time", 1.0, "right"),
    Column("share", 1.3, "left"),
    Column("MFLOP", 0.9, "right"),
    Column("GFLOP/s", 0.9, "right"),
    Column("MB", 0.8, "right"),
    Column("GB/s", 0.8, "right"),
)


def kernel_page(chapter: Chapter, footer: str) -> Figure | None:
    """The slowest kernels with their rates; None where no steps were timed."""
    record = chapter.most_fused()
    if not record.steps_ns:
        return None
    frame = kernel_frame(record)
    total = float(frame["time_ns"].sum())
    slowest = frame.sort_values("time_ns", ascending=False, kind="stable")
    shown, rest = slowest.head(ROWS), slowest.iloc[ROWS:]
    widest = float(shown["time_ns"].max()) or 1.0
    rows: list[list[Cell | str]] = [
        [
            str(step),
            kernel.label,
            Cell(kernel.ops, MUTED),
            duration(kernel.time_ns),
            Cell(f"{100 * kernel.time_ns / total:.1f} %", bar=kernel.time_ns / widest),
            f"{kernel.flops / 1e6:.2f}",
            f"{kernel.flops / kernel.time_ns:.1f}" if kernel.time_ns else "–",
            f"{kernel.bytes / 1e6:.2f}",
            f"{kernel.bytes / kernel.time_ns:.1f}" if kernel.time_ns else "–",
        ]
        for step, kernel in zip(shown.index, shown.itertuples(index=False), strict=True)
    ]
    if len(rest):
        time = float(rest["time_ns"].sum())
        rows.append(
            [
                "",
                Cell(f"{len(rest)} faster kernels", MUTED),
                "",
                duration(time),
                f"{100 * time / total:.1f} %",
            ]
        )
    subtitle = _subtitle(record, total)
    figure = new_page(f"Kernels of {chapter.model} on {chapter.device}", subtitle, footer)
    draw_table(figure, TOP, _COLUMNS, rows)
    return figure


def _subtitle(record: RunRecord, total_ns: float) -> str:
    flops = sum(kernel.flops for kernel in record.kernels)
    return (
        f"level {record.fusion}, {record.threads} {'thread' if record.threads == 1 else 'threads'} · "
        f"{len(record.kernels)} kernels, {flops / 1e6:.1f} MFLOP · sum of steps {duration(total_ns)}, "
        f"{flops / total_ns if total_ns else 0:.1f} GFLOP/s · medians of {len(record.steps_ns or ())} profiled runs, "
        f"slowest first"
    )
