"""The table of a roofline: a row a kernel, and the ceilings that it is held against."""

from __future__ import annotations

from rich.table import Table

from ..byte_size import byte_size
from ..duration import duration
from ..measure.caveat import caveats
from ..roofline.roofline import RUNS, Point, Roofline
from .screen import stdout


def print_roofline(found: Roofline) -> None:
    """Kernels in order of execution, the whole model last."""
    console = stdout()
    record, ceiling = found.record, found.ceiling
    threads = f"{record.threads} {'thread' if record.threads == 1 else 'threads'}"
    console.print(
        f"{record.model} on {record.device.name} ({record.target}), {record.fusion}, {threads}: measured peak "
        f"{ceiling.peak_gflops:.1f} GFLOP/s",
        soft_wrap=True,
    )
    console.print(
        "GB/s read, written, copied: "
        + ", ".join(
            f"{byte_size(size)} {ceiling.read_gbps[size]:.0f} {ceiling.write_gbps[size]:.0f} {ceiling.copy_gbps[size]:.0f}"
            for size in ceiling.read_gbps
        ),
        soft_wrap=True,
    )
    table = Table()
    table.add_column("step", justify="right")
    table.add_column("named for")
    for heading in (
        "time",
        "of all",
        "MFLOP",
        "KiB",
        "GFLOP/s",
        "GB/s",
        "bound",
        "set by",
        "of its bound",
        "undisturbed",
    ):
        table.add_column(heading, justify="right")
    total = found.total
    for step, (point, quick) in enumerate(zip(found.points, found.undisturbed, strict=True)):
        shares = _share(point), _share(quick)
        table.add_row(str(step), point.work.label, *_cells(point, total.time_ns), point.limit, *shares)
    table.add_section()
    table.add_row(
        "", "all", *_cells(total, total.time_ns), "", _share(total), _share(found.total_undisturbed)
    )
    console.print(table)
    console.print(
        f"Times are medians over {RUNS} runs; undisturbed is the share in the quickest quarter of them, held against the quickest of the peak's and the streams' times.",
        style="dim",
        soft_wrap=True,
    )
    for caveat in caveats([record]):
        console.print(f"note: {caveat}", style="dim", soft_wrap=True)


def _cells(point: Point, total_ns: float) -> list[str]:
    work, time = point.work, point.time_ns
    return [
        duration(time),
        f"{100 * time / total_ns:.1f} %",
        f"{work.flops / 1e6:.2f}",
        f"{work.bytes / 1024:.0f}",
        f"{work.flops / time:.1f}",
        f"{work.bytes / time:.1f}",
        duration(point.bound_ns),
    ]


def _share(point: Point) -> str:
    return f"{100 * point.share:.0f} %"
