"""A map of models and devices: a row a device, a column a model, the figure in each cell and its size as a colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from ..duration import duration
from ..sweep.progress import JobProgress, Progress
from ..sweep.result import Result
from .fit import fit, text_inches
from .page import (
    BAD,
    BOTTOM,
    GOOD,
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

_POINTS = 7.4
_ROW = 0.021
_GAP = 0.02
_NARROWEST_INCH, _WIDEST_INCH = 0.72, 1.4
_LONGEST_NAME_INCH = 2.2
_SLANTED_INCH = 0.85
_SLOW = 10.0
"""Times the fastest device from which on a time has the darkest colour."""
_FAILED = "#fbe3d5"
_SLOWER = "#d55e00"


@dataclass(frozen=True)
class Metric:
    """What the cells show; `scale` gives a figure its place between -1 (orange) and 1 (blue), 0 is white."""

    title: str
    legend: str
    text: Callable[[Result], str | None]
    scale: Callable[[Result, Sequence[Result]], float]


def _gain_text(result: Result) -> str | None:
    return None if result.gain is None else f"{result.gain.value:.2f}×"


def _gain_scale(result: Result, others: Sequence[Result]) -> float:
    if result.gain is None or not result.gain.claim:
        return 0.0
    largest = max(abs(math.log(other.gain.value)) for other in others if other.gain is not None)
    return math.log(result.gain.value) / max(largest, math.log(1.5))


def _time_text(result: Result) -> str | None:
    return None if result.time_ns is None else duration(result.time_ns.value)


def _time_scale(result: Result, others: Sequence[Result]) -> float:
    if result.time_ns is None:
        return 0.0
    fastest = min(other.time_ns.value for other in others if other.time_ns is not None)
    return min(1.0, math.log(result.time_ns.value / fastest) / math.log(_SLOW))


GAIN = Metric(
    "Speed-up of full fusion over none",
    "time of none ÷ time of full; blue: faster, orange: slower, white: no difference shown at 95 %",
    _gain_text,
    _gain_scale,
)
TIME = Metric(
    "Time of the most fused level",
    f"median; the darker, the longer than the fastest device takes for that model, darkest from {_SLOW:g} times on",
    _time_text,
    _time_scale,
)
CHECKED = Metric(
    "Outputs", "right: compared with the reference; nothing was timed", lambda _: None, lambda *_: 0.0
)


@dataclass(frozen=True)
class _Cell:
    text: str
    ink: str = INK
    fill: str | None = None
    bold: bool = False


_NOT_YET = _Cell("·", MUTED)


@dataclass(frozen=True)
class _Grid:
    """How a page is divided: `blocks` beside each other, each with names and then a column a model; in inches."""

    blocks: int
    rows: int
    names: float
    cell: float
    slanted: bool

    @property
    def width(self) -> float:
        """From the left of one block to that of the next, as a share of the page."""
        return (RIGHT - LEFT + _GAP) / self.blocks

    @property
    def heading(self) -> float:
        """The height of the models' names as a share of the page."""
        return _SLANTED_INCH / HEIGHT_INCH if self.slanted else _ROW


def heat_map(
    progress: Progress, metric: Metric, threads: int, subtitle: str, footer: str, below: Place | None = None
) -> list[Place]:
    """Draws the map where there is room `below`, else on as many pages as it needs; returns where each of them ends.

    `threads` is 0 for a metric that does not depend on them.
    """
    models = list(dict.fromkeys(job.job.model for job in progress.jobs))
    devices = list(progress.devices)
    cells = _cells(progress, metric, threads)
    title = metric.title
    if threads:
        title += f", {threads} {'thread' if threads == 1 else 'threads'}"
    most = _most_models(devices)
    grid = _grid(models[:most], devices)
    height = grid.heading + (math.ceil(len(devices) / grid.blocks) + 4) * _ROW
    if below is not None and len(models) <= most and height < below.top - BOTTOM:
        top = below.top - _ROW
        below.figure.text(LEFT, top, title, fontsize=10.5, fontweight="bold", va="center")
        return [_draw(Place(below.figure, top - _ROW), grid, metric, models, devices, cells)]
    places = []
    for columns in [models[start : start + most] for start in range(0, len(models), most)]:
        grid = _grid(columns, devices)
        each = grid.blocks * grid.rows
        for rows in [devices[start : start + each] for start in range(0, len(devices), each)]:
            page = Place(new_page(title, subtitle, footer), TOP)
            places.append(_draw(page, grid, metric, columns, rows, cells))
    return places


def _draw(
    place: Place,
    grid: _Grid,
    metric: Metric,
    models: Sequence[str],
    devices: Sequence[str],
    cells: Mapping[tuple[str, str], _Cell],
) -> Place:
    """The blocks beside each other and what the colours mean."""
    height = math.ceil(len(devices) / grid.blocks)
    for block in range(grid.blocks):
        shown = devices[block * height : (block + 1) * height]
        start = Place(place.figure, place.top - grid.heading)
        _draw_block(start, grid, LEFT + block * grid.width, models, shown, cells)
    bottom = place.top - grid.heading - (height + 0.9) * _ROW
    legend = metric.legend
    if any(cells.get((device, model)) == _NOT_YET for device in devices for model in models):
        legend += "; ·: not measured yet"
    place.figure.text(LEFT, bottom, legend, fontsize=_POINTS, color=MUTED, va="center")
    return Place(place.figure, bottom - 0.7 * _ROW)


def _names_inches(devices: Sequence[str]) -> float:
    return 0.15 + min(_LONGEST_NAME_INCH, max(text_inches(name, _POINTS, False) for name in devices))


def _most_models(devices: Sequence[str]) -> int:
    return int(((RIGHT - LEFT) * WIDTH_INCH - _SLANTED_INCH - _names_inches(devices)) / _NARROWEST_INCH)


def _grid(models: Sequence[str], devices: Sequence[str]) -> _Grid:
    """The fewest blocks that have room for all devices, or as many as fit where one page is too small."""
    names, longest = _names_inches(devices), max(text_inches(model, _POINTS, True) for model in models)
    blocks = 1
    while True:
        grid = _divided(blocks, names, longest, len(models))
        wider = _divided(blocks + 1, names, longest, len(models))
        if blocks * grid.rows >= len(devices) or wider.cell < _NARROWEST_INCH:
            return grid
        blocks += 1


def _divided(blocks: int, names: float, longest: float, models: int) -> _Grid:
    room = ((RIGHT - LEFT + _GAP) / blocks - _GAP) * WIDTH_INCH - names
    slanted = longest + 0.1 > min(_WIDEST_INCH, room / models)
    # A slanted name stands out to the right of its column.
    cell = min(_WIDEST_INCH, (room - (0.4 if slanted else 0.0)) / models)
    heading = _SLANTED_INCH / HEIGHT_INCH if slanted else _ROW
    return _Grid(blocks, int((TOP - BOTTOM - heading) / _ROW) - 2, names, cell, slanted)


def _cells(progress: Progress, metric: Metric, threads: int) -> Mapping[tuple[str, str], _Cell]:
    """The cell of each device and model."""
    results: dict[str, dict[str, Result]] = {}
    for job in progress.jobs:
        found = next((result for result in job.results if result.threads == threads), None)
        if found is not None and metric.text(found) is not None:
            results.setdefault(job.job.model, {})[job.job.device] = found
    cells = {}
    for job in progress.jobs:
        model, device = job.job.model, job.job.device
        result = results.get(model, {}).get(device)
        if result is None:
            cells[device, model] = _cell_without(job)
        else:
            scale = metric.scale(result, list(results[model].values()))
            cells[device, model] = _filled(metric.text(result) or "", scale, metric is GAIN)
    return cells


def _filled(text: str, scale: float, claims: bool) -> _Cell:
    strongest = to_rgb(LEVEL_COLOURS["full"] if scale > 0 else _SLOWER)
    red, green, blue = (1 - abs(scale) * (1 - part) for part in strongest)
    return _Cell(
        text, "white" if abs(scale) > 0.6 else INK, to_hex((red, green, blue)), claims and scale != 0
    )


def _cell_without(job: JobProgress) -> _Cell:
    """A job that has no figure to show."""
    match job.state:
        case "failed":
            return _Cell(job.failure.kind if job.failure is not None else "failed", BAD, _FAILED)
        case "finished" if any(result.time_ns is not None for result in job.results):
            return _Cell("–", MUTED)
        case "finished":
            return _Cell("right", GOOD)
        case _:
            return _NOT_YET


def _draw_block(
    place: Place,
    grid: _Grid,
    left: float,
    models: Sequence[str],
    devices: Sequence[str],
    cells: Mapping[tuple[str, str], _Cell],
) -> None:
    if not devices:
        return
    figure, top = place.figure, place.top
    width, start = grid.cell / WIDTH_INCH, left + grid.names / WIDTH_INCH
    for column, model in enumerate(models):
        x = start + (column + 0.5) * width
        figure.text(
            x - 0.003 if grid.slanted else x,
            top + 0.006,
            fit(model, _SLANTED_INCH * math.sqrt(2) if grid.slanted else grid.cell, _POINTS, bold=True),
            fontsize=_POINTS,
            color=MUTED,
            fontweight="bold",
            rotation=45 if grid.slanted else 0,
            rotation_mode="anchor",
            ha="left" if grid.slanted else "center",
            va="bottom",
        )
    for row, device in enumerate(devices):
        y = top - (row + 1) * _ROW
        name = fit(device, grid.names - 0.1, _POINTS)
        figure.text(left, y + _ROW / 2, name, fontsize=_POINTS, va="center_baseline")
        for column, model in enumerate(models):
            cell = cells.get((device, model), _Cell(""))
            x = start + column * width
            if cell.fill is not None:
                figure.add_artist(
                    Rectangle(
                        (x + 0.0008, y + 0.0008),
                        width - 0.0016,
                        _ROW - 0.0016,
                        color=cell.fill,
                        linewidth=0,
                        zorder=-1,
                    )
                )
            figure.text(
                x + width / 2,
                y + _ROW / 2,
                fit(cell.text, grid.cell - 0.04, _POINTS, bold=cell.bold),
                fontsize=_POINTS,
                color=cell.ink,
                fontweight="bold" if cell.bold else "normal",
                ha="center",
                va="center_baseline",
            )
