"""What fusion bought on each device: the geometric mean over its models with its interval, the models as dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from ..measure.statistics import Speedup
from ..sweep.progress import JobProgress, Progress
from ..sweep.result import mean_gain
from .fit import fit, text_inches
from .page import (
    BOTTOM,
    HEIGHT_INCH,
    INK,
    LEFT,
    LEVEL_COLOURS,
    MUTED,
    RIGHT,
    TOP,
    WIDTH_INCH,
    Place,
    new_page,
)

_MOST_COLUMNS = 3
_TITLE = "Speed-up of full fusion over none, by device"
# Of the page's height: of a row at one column and at more, and what an axis needs below it and a title above.
_ROW, _DENSE_ROW, _MARGIN = 0.03, 0.0165, 0.085


@dataclass(frozen=True)
class _Device:
    name: str
    mean: Speedup
    models: tuple[float, ...]


def device_gains(progress: Progress, threads: int, subtitle: str, footer: str, below: Place) -> list[Place]:
    """Draws the chart where there is room `below`, else on as many pages as it needs; returns where each of them ends."""
    found = [_device(name, jobs, threads) for name, jobs in progress.devices.items()]
    devices = sorted((d for d in found if d is not None), key=lambda device: -device.mean.value)
    if len(devices) * _ROW + _MARGIN + 0.03 < below.top - BOTTOM:
        title = below.top - 0.03
        below.figure.text(LEFT, title, _TITLE, fontsize=10.5, fontweight="bold", va="center")
        return [_draw(Place(below.figure, title - 0.025), devices, columns=1)]
    rows = int((TOP - BOTTOM - _MARGIN) / _DENSE_ROW)
    columns = min(_MOST_COLUMNS, math.ceil(len(devices) / rows))
    title_text = f"{_TITLE}, {threads} {'thread' if threads == 1 else 'threads'}"
    return [
        _draw(
            Place(new_page(title_text, subtitle, footer), TOP),
            devices[start : start + columns * rows],
            columns=columns,
        )
        for start in range(0, len(devices), columns * rows)
    ]


def _device(name: str, jobs: Sequence[JobProgress], threads: int) -> _Device | None:
    results = [result for job in jobs for result in job.results if result.threads == threads]
    gains = [result.gain for result in results if result.gain is not None]
    return _Device(name, mean_gain(gains), tuple(gain.value for gain in gains)) if gains else None


def _draw(place: Place, devices: Sequence[_Device], *, columns: int) -> Place:
    """Columns of axes with the same scale."""
    figure, top = place.figure, place.top
    high = max(max(d.mean.high, *d.models) for d in devices)
    low = min(min(d.mean.low, *d.models) for d in devices)
    each = math.ceil(len(devices) / columns)
    row = _ROW if columns == 1 and each * _ROW + _MARGIN < top - BOTTOM else _DENSE_ROW
    points = 8.5 if row == _ROW else 6.8
    width = (RIGHT - LEFT) / columns
    names = min(0.45 * width, 0.012 + max(text_inches(d.name, points, False) for d in devices) / WIDTH_INCH)
    said = max(text_inches(_said(d.mean), points, True) for d in devices) / WIDTH_INCH + 0.012
    for column in range(math.ceil(len(devices) / each)):
        shown = devices[column * each : (column + 1) * each]
        height = len(shown) * row
        left = LEFT + column * width
        axes = figure.add_axes((left + names, top - height, width - names - said - 0.01, height))
        for number, device in enumerate(shown):
            _draw_device(axes, -float(number), device, points)
        axes.axvline(1.0, color=INK, linewidth=0.8, linestyle=(0, (3, 2)))
        axes.set_xlim(min(0.9, low * 0.97), max(1.1, high * 1.03))
        axes.set_ylim(0.5 - len(shown), 0.5)
        labels = [fit(device.name, (names - 0.008) * WIDTH_INCH, points) for device in shown]
        axes.set_yticks([-float(place) for place in range(len(shown))], labels, fontsize=points)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.grid(axis="x", color="#e3e3e3", linewidth=0.5)
        axes.set_axisbelow(True)
    bottom = top - each * row - 0.4 / HEIGHT_INCH
    figure.text(
        LEFT,
        bottom,
        "time of none ÷ time of full; filled: geometric mean over models with its 95 % interval, hollow: each model",
        fontsize=7.4,
        color=MUTED,
        va="center",
    )
    return Place(figure, bottom - 0.015)


def _draw_device(axes: Axes, place: float, device: _Device, points: float) -> None:
    mean, colour = device.mean, LEVEL_COLOURS["full" if device.mean.claim else "none"]
    axes.plot(
        device.models, [place] * len(device.models), "o", markersize=points / 2.4, mfc="white", mec="#9ac7e6"
    )
    error = [[mean.value - mean.low], [mean.high - mean.value]]
    axes.errorbar(
        mean.value, place, xerr=error, fmt="o", markersize=points / 1.9, color=colour, ecolor=INK, elinewidth=1.0
    )  # fmt: skip
    axes.annotate(
        _said(mean),
        (1.0, place),
        xycoords=("axes fraction", "data"),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=points,
        color=INK if mean.claim else MUTED,
        fontweight="bold" if mean.claim else "normal",
        annotation_clip=False,
    )


def _said(gain: Speedup) -> str:
    return f"{gain.value:.2f}× [{gain.low:.2f}, {gain.high:.2f}]"
