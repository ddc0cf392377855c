"""Pointwise: a group without a reduction, an expression evaluated at every output element.

Lanes run along the axis that is contiguous in the output; loops are split where a guard (a pad, a slice of a concat) changes along it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from math import prod

from ..emit import Coord, Emitter, Value
from ..expr import Expr
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point, split_points
from ..stage import Stage
from .region import LINE_ELEMENTS, Region, axis_of, free_axes, pieces, store_all
from .turned import LEAST, store_turned, turned_in


def emit_pointwise(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Every element of the region's rows."""
    e, lane, row = low.emitter, axis_of(stage, place.lane), axis_of(stage, place.row)
    values = tuple(store.value for store in stage.stores)
    lanes = e.target.machine.lanes
    inner, step = free_axes(stage, place), lanes * place.block.nv
    turned = turned_in(stage, place)
    if turned is not None:
        return _turned(low, stage, place, region, turned)

    def store(point: Point, first: Coord, width: int) -> None:
        for offset, count in pieces(width, lanes):
            store_all(low, stage, point.at(lane.id, first + offset).over(lane.id, count), None)

    def spans(point: Point) -> None:
        _spans(low, stage, place, region, [step, 1], lambda first, width: store(point, first, width))

    if place.walked:
        axes = [axis_of(stage, number) for number in place.walked]
        return _walk(low, values, axes, region, lambda point: _loops(low, values, inner, point, spans))
    if row.id == lane.id:
        return _loops(low, values, inner, region.point, spans)
    _rows(
        low,
        values,
        row,
        region,
        [1],
        lambda y, _: _loops(low, values, inner, region.point.at(row.id, y), spans),
    )


def _turned(low: Lowering, stage: Stage, place: Place, region: Region, turned: Axis) -> None:
    """Tiles of a block of lanes, which uses what it reads of a cache line before it goes, by vectors of the axis that is read."""
    e, lane, row = low.emitter, axis_of(stage, place.lane), axis_of(stage, place.row)
    values = tuple(store.value for store in stage.stores)
    side = e.target.machine.lanes
    inner = [axis for axis in free_axes(stage, place) if axis is not turned]

    def blocks(point: Point, along: Callable[[Point, Coord, int], None]) -> None:
        def block(first: Coord, width: int) -> None:
            _loops(low, values, inner, point, lambda at: along(at, first, width))

        _spans(low, stage, place, region, _falling(max(side, LINE_ELEMENTS)), block)

    def whole(point: Point, first: Coord, width: int) -> None:
        def tile(at: Coord, _: list[Value]) -> list[Value]:
            store_turned(low, stage, point, (lane, first, width), (turned, at, side))
            return []

        for start, end in _segments(values, turned):
            last = start + (end - start) // side * side
            e.loop(start, last, side, tile)
            if last < end:
                store_turned(low, stage, point, (lane, first, width), (turned, Coord.at(last), end - last))

    def rows(y: Coord, count: int) -> None:
        def along(point: Point, first: Coord, width: int) -> None:
            store_turned(low, stage, point, (lane, first, width), (turned, y, count))

        blocks(region.point, along)

    if turned is row:
        return _rows(low, values, row, region, _falling(side), rows)
    if row is lane:
        return blocks(region.point, whole)
    _rows(low, values, row, region, [1], lambda y, _: blocks(region.point.at(row.id, y), whole))


def _falling(step: int) -> list[int]:
    """So many together, then half as many and so on while there are squares to turn, then single ones.

    >>> _falling(16)
    [16, 8, 4, 1]
    """
    return [step >> i for i in range(step.bit_length()) if step >> i >= LEAST] + [1]


def _rows(
    low: Lowering, values: tuple[Expr, ...], row: Axis, region: Region, steps: Sequence[int], body: Callable[[Coord, int], None]
) -> None:  # fmt: skip
    """``body(first row, rows)`` for the region's rows, by code of its own where a guard changes."""
    e = low.emitter
    for start, end in _segments(values, row):
        lo, hi = e.maximum(region.row_lo, start), e.minimum(region.row_hi, end)
        _in_steps(e, lo, hi, steps, (start, end), False, body)


def _in_steps(
    e: Emitter, lo: Value | int, hi: Value | int, steps: Sequence[int], extent: tuple[int, int], aligned: bool,
    body: Callable[[Coord, int], None],
) -> None:  # fmt: skip
    """``body(first, count)`` for all from `lo` to `hi`: as many together as the first of `steps` says, then as the next says, the last of which is 1."""
    start, end = extent

    def loop(lo: Value | int, hi: Value | int, step: int) -> None:
        def each(at: Coord, _: list[Value]) -> list[Value]:
            body(at, step)
            return []

        bounds = (start, max(start, end - step))
        e.loop(lo, hi, step, each, bounds=bounds, align=step if aligned and start % step == 0 else 1)

    for step in steps[:-1]:
        count = e.maximum(e.builder.sub(e.i64(hi), e.i64(lo)), 0)
        last = e.builder.sub(e.i64(hi), e.builder.urem(e.i64(count), e.i64(step)))
        loop(lo, last, step)
        lo = e.maximum(lo, last)
    loop(lo, hi, 1)


def _walk(
    low: Lowering, values: tuple[Expr, ...], axes: list[Axis], region: Region, body: Callable[[Point], None]
) -> None:
    """The region's rows, each a place along all of `axes`, by code of its own for each side that a guard has along them."""
    e = low.emitter

    def side(point: Point, left: list[tuple[Axis, Coord]]) -> None:
        if not left:
            return body(point)
        (axis, coord), *others = left

        def among(segments: list[tuple[int, int]]) -> None:
            (start, end), *after = segments
            here = Coord.at(start) if end - start == 1 else coord.within(start, end - 1)

            def inside() -> None:
                side(point.at(axis.id, here), others)

            if not after:
                return inside()
            e.when(e.builder.icmp_signed("<", e.materialise(coord), e.i64(end)), inside, lambda: among(after))

        among(_segments(values, axis))

    def step(number: Coord, _: list[Value]) -> list[Value]:
        side(region.point, list(zip(axes, e.unflattened(number, [a.extent for a in axes]), strict=True)))
        return []

    e.loop(region.row_lo, region.row_hi, 1, step, bounds=(0, prod(axis.extent for axis in axes) - 1))


def _segments(values: tuple[Expr, ...], axis: Axis) -> list[tuple[int, int]]:
    points = split_points(values, axis)
    return list(itertools.pairwise(points))


def _loops(
    low: Lowering, values: tuple[Expr, ...], axes: list[Axis], point: Point, body: Callable[[Point], None]
) -> None:
    """Loops over `axes`, each split where a guard changes along it, so that inside them every guard is decided."""
    if not axes:
        return body(point)

    def step(coord: Coord, _: list[Value]) -> list[Value]:
        _loops(low, values, axes[1:], point.at(axes[0].id, coord), body)
        return []

    for start, end in _segments(values, axes[0]):
        low.emitter.loop(start, end, 1, step)


def _spans(
    low: Lowering, stage: Stage, place: Place, region: Region, steps: Sequence[int], body: Callable[[Coord, int], None]
) -> None:  # fmt: skip
    """``body(first lane, lanes)`` for all lanes, or where these are the rows those of the region, by code of its own where a guard changes along them."""
    e, lane = low.emitter, axis_of(stage, place.lane)
    for start, end in _segments(tuple(store.value for store in stage.stores), lane):
        if place.row == place.lane:
            lo, hi = e.maximum(region.row_lo, start), e.minimum(region.row_hi, end)
            # a root's tiles are whole steps
            _in_steps(e, lo, hi, steps, (start, end), not place.local, body)
            continue
        step, last = steps[0], start + (end - start) // steps[0] * steps[0]

        def whole(first: Coord, _: list[Value], step: int = step) -> list[Value]:
            body(first, step)
            return []

        e.loop(start, last, step, whole)
        body(Coord.at(last), end - last)
