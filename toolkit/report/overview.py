"""The first page: every model on every device in one table, the machines, the method, and the caveats."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from ...compiler.fusion import LEVELS
from ..duration import duration
from ..measure.caveat import caveats
from ..measure.record import RunRecord
from ..measure.statistics import median_ns, speedup_of
from .chapter import Chapter
from .gains import draw_gains
from .page import BAD, GOOD, INK, LEFT, MUTED, TOP, new_page
from .table import ROW, Cell, Column, draw_table

ROWS_PER_PAGE = 14

_RESULTS = (
    Column("model", 2.6),
    Column("device", 1.6),
    Column("target", 1.2),
    Column("threads", 0.75, "right"),
    Column("none", 1.0, "right"),
    Column("basic", 1.0, "right"),
    Column("full", 1.0, "right"),
    Column("full vs none", 1.9, "right"),
    Column("", 0.1),
    Column("outputs", 1.75),
)
_MACHINES = (
    Column("device", 1.5),
    Column("CPU", 3.3),
    Column("CPUs", 0.65, "right"),
    Column("", 0.1),
    Column("governor", 1.2),
    Column("clock before → after", 2.0),
    Column("temperature", 1.3),
    Column("system", 2.9),
    Column("transport", 1.05),
)


def overview_pages(chapters: Sequence[Chapter], footer: str) -> list[Figure]:
    """As many pages as the results need; the last has the machines, the method and the caveats."""
    rows = [_result(chapter, threads) for chapter in chapters for threads in chapter.thread_counts]
    dates = sorted({record.created[:10] for chapter in chapters for record in chapter.records})
    models = len({chapter.model for chapter in chapters})
    devices = len({chapter.device for chapter in chapters})
    subtitle = (
        f"{models} {'model' if models == 1 else 'models'} on {devices} {'device' if devices == 1 else 'devices'} · "
        f"measured {dates[0] if len(dates) == 1 else f'{dates[0]} to {dates[-1]}'} · "
        f"{', '.join(sorted({f'fusekit {r.compiler}' for c in chapters for r in c.records}))}"
    )
    pages = []
    bottom = TOP
    for start in range(0, len(rows), ROWS_PER_PAGE):
        figure = new_page("What fusion bought", subtitle, footer)
        bottom = draw_table(figure, TOP, _RESULTS, rows[start : start + ROWS_PER_PAGE])
        pages.append(figure)
    figure = pages[-1]
    figure.text(LEFT, bottom - ROW, "Machines", fontsize=10.5, fontweight="bold", va="center")
    machines = {chapter.device: _machine(chapter) for chapter in chapters}
    bottom = draw_table(figure, bottom - 1.6 * ROW, _MACHINES, list(machines.values())[:10])
    bottom = _write_method(figure, bottom - ROW, chapters)
    if not draw_gains(figure, bottom - 2 * ROW, chapters):
        figure = new_page("What fusion bought", subtitle, footer)
        draw_gains(figure, TOP, chapters)
        pages.append(figure)
    return pages


def _result(chapter: Chapter, threads: int) -> list[Cell]:
    here = [record for record in chapter.records if record.threads == threads]
    times = [_time(chapter.record(level, threads), emulated=chapter.emulated) for level in LEVELS]
    return [
        Cell(chapter.model, bold=True),
        Cell(chapter.device),
        Cell(chapter.target, MUTED),
        Cell(str(threads)),
        *times,
        _gain(chapter.record("none", threads), chapter.record("full", threads)),
        Cell(""),
        _checked(here),
    ]


def _time(record: RunRecord | None, *, emulated: bool) -> Cell:
    if record is None:
        return Cell("–", MUTED)
    if record.samples_ns is None:
        return Cell("not timed" if emulated and record.error is None else "–", MUTED)
    return Cell(duration(median_ns(record.samples_ns).value))


def _gain(none: RunRecord | None, full: RunRecord | None) -> Cell:
    if none is None or full is None or none.samples_ns is None or full.samples_ns is None:
        return Cell("–", MUTED)
    gain = speedup_of(none, full)
    if not gain.claim:
        return Cell("no difference shown", MUTED)
    text = f"{gain.value:.2f}× [{gain.low:.2f}, {gain.high:.2f}]"
    return Cell(text, INK if gain.value > 1 else BAD, bold=True)


def _checked(records: Sequence[RunRecord]) -> Cell:
    failed = [record for record in records if record.error is not None]
    if failed:
        return Cell(f"{failed[0].fusion}: {failed[0].error.kind if failed[0].error else ''}", BAD, bold=True)
    return Cell(f"{len(records)} of {len(records)} levels right", GOOD)


def _machine(chapter: Chapter) -> list[str]:
    record = next((r for r in chapter.records if r.facts is not None), chapter.records[0])
    facts, before, after = record.facts, record.host_before, record.host_after
    if facts is None:
        return [chapter.device, "not reached", "", "", "", "", "", "", record.device.transport]
    clock = " → ".join(
        f"{state.freq_khz // 1000} MHz" for state in (before, after) if state is not None and state.freq_khz
    )
    heat = " → ".join(
        f"{state.temp_mc / 1000:.0f} °C" for state in (before, after) if state is not None and state.temp_mc
    )
    return [
        chapter.device,
        facts.model,
        str(facts.n_cpus),
        "",
        facts.governor or "not visible",
        "" if chapter.emulated else clock or "not visible",
        "" if chapter.emulated else heat or "not visible",
        facts.os,
        record.device.transport,
    ]


def _write_method(figure: Figure, top: float, chapters: Sequence[Chapter]) -> float:
    records = [record for chapter in chapters for record in chapter.records]
    timed = [record for record in records if record.samples_ns is not None]
    references = "; ".join(sorted({record.reference for record in records}))
    lines = [f"Every output was compared with the reference ({references}) before anything was timed."]
    if timed:
        settings = timed[0].settings
        lines.append(
            f"Levels of one model are linked into one program and timed in turn, {settings.rounds} rounds of "
            f"{settings.round_ms} ms each, forward and backward. Medians over all samples; intervals are 95 % from a "
            f"bootstrap over rounds and samples, paired by round for ratios. Where an interval holds 1, nothing is "
            f"claimed."
        )
    if any(chapter.emulated for chapter in chapters):
        lines.append("Emulated devices give answers, not times: theirs were checked and never timed.")
    figure.text(LEFT, top, "Method", fontsize=10.5, fontweight="bold", va="center")
    y = _paragraphs(figure, top - 0.8 * ROW, lines, INK)
    remarks = caveats(records)
    if remarks:
        figure.text(LEFT, y - 0.4 * ROW, "Caveats", fontsize=10.5, fontweight="bold", va="center")
        y = _paragraphs(figure, y - 1.2 * ROW, remarks[:6], BAD)
    return y


def _paragraphs(figure: Figure, top: float, lines: Sequence[str], colour: str) -> float:
    y = top
    for line in lines:
        for part in textwrap.wrap(line, 165):
            figure.text(LEFT, y, part, fontsize=8.2, color=colour, va="center")
            y -= 0.85 * ROW
    return y
