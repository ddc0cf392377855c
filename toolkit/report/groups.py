"""The pages of fusion groups: how many kernels each level has, and what went into each of the most fused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ...compiler.fusion import LEVELS
from ..measure.record import KernelRow, RunRecord
from .chapter import Chapter
from .page import BOTTOM, INK, LEFT, LEVEL_COLOURS, MUTED, RIGHT, TOP, new_page
from .table import ROW, Cell, Column, draw_table

MOST_KINDS = 8
LONGEST_CHAIN = 8

_KINDS = (
    Column("kernels", 0.6, "right"),
    Column("", 0.1),
    Column("ops in one kernel", 8.4),
    Column("MFLOP", 0.8, "right"),
)
_KERNELS = (
    Column("step", 0.55, "right"),
    Column("", 0.08),
    Column("named for", 3.0),
    Column("ops in it", 3.6),
)


def group_pages(chapter: Chapter, footer: str) -> list[Figure]:
    """The count of kernels by level, the kinds of groups by frequency, then every kernel in its order."""
    record = min(chapter.records, key=lambda r: (-LEVELS.index(r.fusion), r.threads))
    steps: list[Sequence[Cell | str]] = [
        [str(step), "", kernel.label, Cell(_chain(kernel.ops), INK if len(kernel.ops) > 1 else MUTED)]
        for step, kernel in enumerate(record.kernels)
    ]
    pages: list[Figure] = []
    while steps or not pages:
        figure = new_page(f"Fusion groups of {chapter.model}", _subtitle(chapter, record), footer)
        top = TOP if pages else _draw_summary(figure, chapter, record)
        steps = _draw_steps(figure, top, steps)
        pages.append(figure)
    return pages


def _subtitle(chapter: Chapter, record: RunRecord) -> str:
    ops = sum(len(kernel.ops) for kernel in record.kernels)
    return (
        f"level {record.fusion} for {chapter.target} · {ops} ops in {len(record.kernels)} kernels · "
        f"bands {'on' if record.bands else 'off'} · bundle {record.bundle}"
    )


def _draw_summary(figure: Figure, chapter: Chapter, record: RunRecord) -> float:
    y = _draw_counts(figure, chapter)
    kinds = _kinds(record)
    bottom = draw_table(figure, y, _KINDS, kinds[:MOST_KINDS])
    rarer = len(kinds) - MOST_KINDS
    if rarer > 0:
        said = f"and {rarer} rarer {'kind' if rarer == 1 else 'kinds'}"
        figure.text(LEFT, bottom - ROW * 0.7, said, fontsize=8.2, color=MUTED)
        bottom -= ROW
    return bottom - ROW


def _draw_counts(figure: Figure, chapter: Chapter) -> float:
    """A bar a level: how many kernels run one after the other."""
    threads = chapter.thread_counts[0]
    records = [found for level in chapter.levels if (found := chapter.record(level, threads)) is not None]
    most = max((len(record.kernels) for record in records), default=1)
    y = TOP
    left, width = LEFT + 0.06, RIGHT - LEFT - 0.42
    for record in records:
        end = left + width * len(record.kernels) / max(1, most)
        figure.text(LEFT, y - ROW / 2, record.fusion, fontsize=9, fontweight="bold", va="center")
        bar = Rectangle(
            (left, y - ROW * 0.85), end - left, ROW * 0.7, color=LEVEL_COLOURS[record.fusion], linewidth=0
        )
        figure.add_artist(bar)
        said = (
            f"{len(record.kernels)} kernels, arena {record.arena_bytes / 2**20:.2f} MiB, "
            f"code {record.code_bytes / 1024:.0f} KiB"
        )
        figure.text(end + 0.008, y - ROW / 2, said, fontsize=8.5, va="center")
        y -= ROW * 1.1
    return y - ROW * 0.6


def _draw_steps(figure: Figure, top: float, steps: list[Sequence[Cell | str]]) -> list[Sequence[Cell | str]]:
    """Draws as many steps as two columns hold and returns the rest."""
    room = int((top - BOTTOM) / ROW) - 1
    each = min(room, (len(steps) + 1) // 2)
    gap = 0.012
    middle = (LEFT + RIGHT) / 2
    draw_table(figure, top, _KERNELS, steps[:each], right=middle - gap)
    if len(steps) > each:
        draw_table(figure, top, _KERNELS, steps[each : 2 * each], left=middle + gap)
    return steps[2 * each :]


def _kinds(record: RunRecord) -> list[Sequence[Cell | str]]:
    by_ops: dict[tuple[str, ...], list[KernelRow]] = {}
    for kernel in record.kernels:
        by_ops.setdefault(kernel.ops, []).append(kernel)
    ordered = sorted(by_ops.items(), key=lambda item: (-len(item[1]), -len(item[0])))
    return [
        [
            str(len(kernels)),
            "",
            Cell(_chain(ops), bold=len(ops) > 1),
            f"{sum(kernel.flops for kernel in kernels) / 1e6:.2f}",
        ]
        for ops, kernels in ordered
    ]


def _chain(ops: Sequence[str]) -> str:
    """Ops joined by +; those of a long chain are counted.

    >>> _chain(("Conv", "Clip", "Conv", "Clip"))
    'Conv + Clip + Conv + Clip'
    >>> _chain(("Conv", "Clip") * 5)
    '5 Conv + 5 Clip'
    """
    if len(ops) <= LONGEST_CHAIN:
        return " + ".join(ops)
    return " + ".join(f"{count} {op}" if count > 1 else op for op, count in Counter(ops).items())
