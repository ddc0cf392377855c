"""The page of a timed session: speed-ups with intervals on the left, latency distributions on the right."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ..duration import duration
from ..measure.record import RunRecord
from ..measure.statistics import speedup_of
from .chapter import Chapter
from .gains import draw_gain, gain_limit
from .page import BOTTOM, INK, LEFT, LEVEL_COLOURS, MUTED, RIGHT, WIDTH_INCH, new_page

POINTS_PER_VARIANT = 400


def timing_page(chapter: Chapter, footer: str) -> Figure:
    """Speed-ups over `none` at the same thread count, and where every sample fell."""
    figure = new_page(f"{chapter.model} on {chapter.device}", _subtitle(chapter), footer)
    top, height = 0.81, 0.81 - BOTTOM - 0.06
    _draw_speedups(figure.add_axes((LEFT + 0.085, top - height, 0.35, height)), chapter)
    _draw_latencies(figure, chapter, 0.54, top, height)
    return figure


def _subtitle(chapter: Chapter) -> str:
    record = chapter.timed[0]
    facts = record.facts
    parts = [f"target {chapter.target}"]
    if facts is not None:
        parts += [facts.model, f"governor {facts.governor or 'not visible'}"]
    parts += [f"levels {', '.join(chapter.levels)}", f"session {record.session}", record.created]
    return " · ".join(parts)


def _ordered(chapter: Chapter) -> list[RunRecord]:
    found = [chapter.record(level, threads) for threads in chapter.thread_counts for level in chapter.levels]
    return [record for record in found if record is not None and record.samples_ns is not None]


def _rows(records: list[RunRecord]) -> list[float]:
    """Places from the top down, with a gap between thread counts."""
    places, y = [], 0.0
    for before, record in zip([None, *records], records, strict=False):
        y -= 0.0 if before is None else 1.0 if before.threads == record.threads else 1.7
        places.append(y)
    return places


def _name(record: RunRecord) -> str:
    return f"{record.fusion} · {record.threads} {'thread' if record.threads == 1 else 'threads'}"


def _draw_speedups(axes: Axes, chapter: Chapter) -> None:
    records = _ordered(chapter)
    places = _rows(records)
    axes.set_title("Speed-up over none at the same thread count", pad=12)
    gains = []
    for record, place in zip(records, places, strict=True):
        colour = LEVEL_COLOURS[record.fusion]
        baseline = chapter.record("none", record.threads)
        if baseline is None or baseline.samples_ns is None:
            axes.text(0.02, place, "no `none` to compare with", va="center", color=MUTED, fontsize=8)
        elif baseline is record:
            axes.barh(place, 1.0, height=0.62, color=colour)
            _remark(axes, place, "1 (baseline)")
        elif baseline.bundle == record.bundle:
            axes.barh(place, 1.0, height=0.62, color="white", edgecolor=colour, linewidth=1.2)
            _remark(axes, place, "1 (the same code as none)")
        else:
            gain = speedup_of(baseline, record)
            draw_gain(axes, place, gain, colour)
            gains.append(gain)
    axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set_yticks(places, [_name(record) for record in records])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(0, gain_limit(0.35 * WIDTH_INCH, gains))
    # Few variants keep bars of a readable height instead of filling the page.
    axes.set_ylim(min(places[-1] - 0.6, -6.6), 0.6)
    axes.set_xlabel("time of none ÷ time of the level, 95 % interval", fontsize=8.5)


def _remark(axes: Axes, place: float, text: str) -> None:
    """Text beside a bar that ends at 1."""
    axes.annotate(
        text, (1.0, place), (6, 0), textcoords="offset points", va="center", color=MUTED, fontsize=8.5
    )


def _draw_latencies(figure: Figure, chapter: Chapter, left: float, top: float, height: float) -> None:
    """A panel a thread count, each with its own scale."""
    figure.text(left, top + 0.024, "Latency, every sample", fontsize=10.5, fontweight="bold", va="center")
    gap = 0.075
    counts = sorted({record.threads for record in chapter.timed})
    tall = min((height - gap * (len(counts) - 1)) / len(counts), 0.42)
    for number, threads in enumerate(counts):
        bottom = top - tall - number * (tall + gap)
        axes = figure.add_axes((left + 0.045, bottom, RIGHT - left - 0.045, tall))
        records = [record for record in _ordered(chapter) if record.threads == threads]
        _draw_panel(axes, records)
        unit = "thread" if threads == 1 else "threads"
        said = f"{threads} {unit}, ms per inference"
        last = number == len(counts) - 1
        axes.set_xlabel(f"{said}; line: median, bar: middle half" if last else said, fontsize=8.5)


def _draw_panel(axes: Axes, records: list[RunRecord]) -> None:
    random = np.random.default_rng(0)
    # A few preempted samples would squeeze the rest into a line; they are counted at the edge instead.
    limit = max(float(np.percentile(_samples(record), 99)) for record in records) / 1e6
    start = min(float(_samples(record).min()) for record in records) / 1e6
    margin = max((limit - start) * 0.12, limit * 0.01)
    for index, record in enumerate(records):
        place = -float(index)
        colour = LEVEL_COLOURS[record.fusion]
        samples = _samples(record) / 1e6
        shown = samples[samples <= limit + margin]
        if len(shown) > POINTS_PER_VARIANT:
            shown = random.choice(shown, POINTS_PER_VARIANT, replace=False)
        spread = place - 0.02 - 0.38 * random.random(len(shown))
        axes.plot(shown, spread, ".", markersize=4, alpha=0.5, color=colour, markeredgewidth=0)
        low, middle, high = (float(v) for v in np.percentile(samples, [25, 50, 75]))
        axes.add_patch(Rectangle((low, place + 0.04), high - low, 0.14, color=colour, linewidth=0))
        axes.plot([middle, middle], [place - 0.4, place + 0.22], color=INK, linewidth=1.2)
        beyond = int((samples > limit + margin).sum())
        said = f"{duration(middle * 1e6)}" + (f"   ({beyond} of {len(samples)} beyond →)" if beyond else "")
        # Text that starts near the right edge would leave the panel.
        right = middle > start + 0.6 * (limit - start)
        axes.annotate(
            said,
            (middle, place + 0.22),
            xytext=(2 if right else -2, 2),
            textcoords="offset points",
            fontsize=8.5,
            fontweight="bold",
            ha="right" if right else "left",
            va="bottom",
        )
    axes.set_yticks([-float(index) for index in range(len(records))], [record.fusion for record in records])
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_xlim(max(0.0, start - margin), limit + margin)
    axes.set_ylim(-len(records) + 0.4, 0.6)
    axes.grid(axis="x", color="#e3e3e3", linewidth=0.5)
    axes.set_axisbelow(True)


def _samples(record: RunRecord) -> npt.NDArray[np.float64]:
    return np.concatenate([np.asarray(samples, np.float64) for samples in record.samples_ns or ()])
