"""Reduce: sums, maxima and minima over axes of an expression, in its own element type, evaluated as it is read.

Where an output axis is contiguous in the input, lanes run along it and every lane reduces its own column. Otherwise lanes run along the
innermost reduced axis, and the partial results of the lanes are combined at the end, in a fixed order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..emit import Coord, Emitter, Value
from ..expr import Expr, Load
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point
from ..lower_primitive import combine
from ..stage import Combine, Stage
from ..target import Machine
from .region import Region, axis_of, free_axes, lane_blocks, nest, pieces, rows, store_all

PARTIALS = 4
"""Independent parts of a sum, which hide the latency of an addition and keep rounding errors small."""

TOGETHER = 64
"""Neighbouring float32 elements that are read together, four cache lines: a memory gives more that way than for one line in so many bytes."""


def columns_together(expr: Expr, machine: Machine) -> int:
    """Vectors of neighbouring columns that are reduced together: as many as the registers hold the parts of, half of these where something is computed on the way."""
    fit = machine.registers // PARTIALS // (1 if isinstance(expr, Load) else 2)
    return max(1, min(TOGETHER // machine.lanes, fit))


def neutral(how: Combine, dtype: str) -> float | int:
    """What changes nothing when combined."""
    if how == "sum":
        return 0
    if dtype.startswith("float"):
        return float("-inf" if how == "max" else "inf")
    if dtype == "bool":
        return int(how == "min")
    limits = np.iinfo(dtype)
    return int(limits.min if how == "max" else limits.max)


def emit_reduce(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Reduce every output of the region."""
    row, lane = axis_of(stage, place.row), axis_of(stage, place.lane)
    across = lane in stage.reduce
    if row is lane:
        return _rows_side_by_side(low, stage, place, region)

    def each(y: Coord) -> None:
        point = region.point.at(row.id, y)
        if across:
            nest(low.emitter, free_axes(stage, place), point, lambda p: _across(low, stage, lane, p))
        else:
            _columns(low, stage, place, region, point)

    rows(low.emitter, row, region, each)


def _rows_side_by_side(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """The region's rows by vectors, every lane a row of its own; what is left over by single rows."""
    e, row = low.emitter, axis_of(stage, place.row)
    lanes, free = e.target.machine.lanes, free_axes(stage, place)
    lo, hi = e.i64(region.row_lo), e.i64(region.row_hi)
    whole = e.builder.add(
        lo, e.builder.mul(e.builder.sdiv(e.builder.sub(hi, lo), e.i64(lanes)), e.i64(lanes))
    )

    def several(count: int) -> Callable[[Coord, list[Value]], list[Value]]:
        def step(y: Coord, _: list[Value]) -> list[Value]:
            nest(e, free, region.point.at(row.id, y).over(row.id, count), lambda p: _down(low, stage, [p]))
            return []

        return step

    if row.extent >= lanes:
        e.loop(lo, whole, lanes, several(lanes), bounds=(0, row.extent - lanes))
    e.loop(whole, hi, 1, several(1), bounds=(0, row.extent - 1))


def _columns(low: Lowering, stage: Stage, place: Place, region: Region, point: Point) -> None:
    """The region's lane blocks, every lane a column of its own."""
    e, lane = low.emitter, axis_of(stage, place.lane)

    def columns(n: Coord, width: int) -> None:
        vectors = pieces(width, e.target.machine.lanes)

        def together(p: Point) -> None:
            _down(low, stage, [p.at(lane.id, n + offset).over(lane.id, lanes) for offset, lanes in vectors])

        nest(e, free_axes(stage, place), point, together)

    lane_blocks(e, stage, place, region, columns)


def _down(low: Lowering, stage: Stage, points: Sequence[Point]) -> None:
    """Every lane of `points` reduces its own column."""
    for point, acc in zip(points, _accumulate(low, stage, list(stage.reduce), points), strict=True):
        store_all(low, stage, point, acc)


def _across(low: Lowering, stage: Stage, lane: Axis, point: Point) -> None:
    """Lanes share one output: vectors along `lane`, then the lanes among themselves."""
    e = low.emitter
    lanes = e.target.machine.lanes
    others = [axis for axis in stage.reduce if axis.id != lane.id]
    whole, rest = divmod(lane.extent, lanes)
    results: list[Value] = []
    if whole:
        wide = Axis(lane.id, whole)
        (acc,) = _accumulate(
            low, stage, [*others, wide], [point.over(lane.id, lanes)], scale={lane.id: lanes}
        )
        results += _folded(e, stage, acc, lanes)
    if rest:
        last = point.at(lane.id, Coord.at(whole * lanes)).over(lane.id, rest)
        (acc,) = _accumulate(low, stage, others, [last])
        results += _folded(e, stage, acc, rest)
    store_all(low, stage, point, _pairwise(e, stage, results))


def _folded(e: Emitter, stage: Stage, vector: Value, lanes: int) -> list[Value]:
    """What the lanes of `vector` leave when its halves are combined again and again: one scalar, and one for every half that had a lane over."""
    left = []
    while lanes > 1:
        half = lanes // 2
        if lanes % 2:
            left.append(e.extract(vector, lanes - 1))
        lower, upper = (e.shuffled(vector, vector, range(at, at + half)) for at in (0, half))
        vector, lanes = _join(e, stage, lower, upper), half
    return [vector, *left]


def _accumulate(
    low: Lowering,
    stage: Stage,
    axes: list[Axis],
    points: Sequence[Point],
    scale: dict[int, int] | None = None,
) -> list[Value]:
    """The operand combined over `axes` at every one of `points`, by several partial results along the innermost axis."""
    e = low.emitter
    expr = stage.operands[0].inlined()
    scale = scale or {}
    ways = min(PARTIALS, axes[-1].extent) if axes else 1
    start = [
        e.constant(neutral(stage.combine, expr.dtype), expr.dtype, point.lanes) for point in points
    ] * ways

    def joined(sums: Sequence[Value], points: Sequence[Point]) -> list[Value]:
        return [
            _join(e, stage, acc, low.evaluate(expr, point)) for acc, point in zip(sums, points, strict=True)
        ]

    def level(depth: int, points: Sequence[Point], sums: Sequence[Value]) -> list[Value]:
        n = len(points)
        if depth == len(axes):
            return [*joined(sums[:n], points), *sums[n:]]
        axis = axes[depth]

        def at(i: Coord) -> list[Point]:
            return [point.at(axis.id, i * scale.get(axis.id, 1)) for point in points]

        if depth < len(axes) - 1:
            return e.loop(0, axis.extent, 1, lambda i, carried: level(depth + 1, at(i), carried), sums)

        def step(i: Coord, carried: list[Value]) -> list[Value]:
            return [v for way in range(ways) for v in joined(carried[way * n : (way + 1) * n], at(i + way))]

        main = axis.extent // ways * ways
        run = e.loop(0, main, ways, step, sums)
        for i in range(main, axis.extent):
            run[:n] = joined(run[:n], at(Coord.at(i)))
        return run

    sums = level(0, points, start)
    return [_pairwise(e, stage, sums[number :: len(points)]) for number in range(len(points))]


def _pairwise(e: Emitter, stage: Stage, values: list[Value]) -> Value:
    """The values combined, neighbours first."""
    while len(values) > 1:
        pairs = [_join(e, stage, a, b) for a, b in zip(values[::2], values[1::2], strict=False)]
        values = pairs + values[2 * len(pairs) :]
    return values[0]


def _join(e: Emitter, stage: Stage, a: Value, b: Value) -> Value:
    return combine(e, stage.combine, stage.operands[0].expr.dtype, a, b)
