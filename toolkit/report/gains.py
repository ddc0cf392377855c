"""The chart of the overview: what full fusion bought over none, one bar a model, device and thread count."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..measure.statistics import Speedup, speedup_of
from .chapter import Chapter
from .fit import fit, text_inches
from .page import BOTTOM, INK, LEFT, LEVEL_COLOURS, MUTED, RIGHT, WIDTH_INCH

MOST_BARS = 20
# Of the page's height.
_BAR = 0.034
_POINTS = 8.5


def draw_gains(figure: Figure, top: float, chapters: Sequence[Chapter]) -> bool:
    """Draws MOST_BARS at most into the room below `top`, or nothing and returns False where they do not fit."""
    gains = _gains(chapters)[:MOST_BARS]
    if len(gains) * _BAR > top - BOTTOM - 0.06:
        return False
    if not gains:
        return True
    height = len(gains) * _BAR
    axes = figure.add_axes((LEFT + 0.26, top - 0.02 - height, RIGHT - LEFT - 0.27, height))
    figure.text(LEFT, top, "Speed-up of full fusion over none", fontsize=10.5, fontweight="bold", va="center")
    for place, (_, gain) in enumerate(gains):
        draw_gain(axes, -float(place), gain, LEVEL_COLOURS["full"])
    axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
    axes.set_yticks(
        [-float(place) for place in range(len(gains))],
        [fit(name, 0.25 * WIDTH_INCH, 8.5) for name, _ in gains],
    )
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(0.6 - len(gains), 0.6)
    axes.set_xlabel("time of none ÷ time of full, 95 % interval", fontsize=_POINTS)
    axes.set_xlim(0, gain_limit((RIGHT - LEFT - 0.27) * WIDTH_INCH, [gain for _, gain in gains]))
    return True


def draw_gain(axes: Axes, place: float, gain: Speedup, colour: str) -> None:
    """One horizontal bar with its interval and its figures; hollow where the interval holds 1."""
    error = [[max(0.0, gain.value - gain.low)], [max(0.0, gain.high - gain.value)]]
    fill = colour if gain.claim else "white"
    axes.barh(place, gain.value, height=0.62, color=fill, edgecolor=colour, linewidth=1.2)
    axes.errorbar(gain.value, place, xerr=error, color=INK, capsize=3.0, linewidth=1.1)
    axes.annotate(
        _said(gain),
        (max(gain.high, 1.0), place),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=_POINTS,
        color=INK if gain.claim else MUTED,
        fontweight="bold" if gain.claim else "normal",
    )


def gain_limit(axes_inches: float, gains: Sequence[Speedup]) -> float:
    """The right end of an axis of that width on which every bar has room for its figures."""

    def needed(gain: Speedup) -> float:
        return max(gain.high, 1.0) / (1 - (text_inches(_said(gain), _POINTS, gain.claim) + 0.2) / axes_inches)

    return max([1.5, *map(needed, gains)])


def _said(gain: Speedup) -> str:
    figures = f"{gain.value:.2f}×  [{gain.low:.2f}, {gain.high:.2f}]"
    return figures if gain.claim else f"{figures}  no difference shown"


def _gains(chapters: Sequence[Chapter]) -> list[tuple[str, Speedup]]:
    found = []
    for chapter in chapters:
        for threads in chapter.thread_counts:
            none, full = chapter.record("none", threads), chapter.record("full", threads)
            if none is None or full is None or none.samples_ns is None or full.samples_ns is None:
                continue
            name = f"{chapter.model} · {chapter.device} · {threads} {'thread' if threads == 1 else 'threads'}"
            found.append((name, speedup_of(none, full)))
    return found
