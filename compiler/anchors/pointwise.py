"""Pointwise: a group without a reduction, an expression evaluated at every output element.

Lanes run along the axis that is contiguous in the output; loops are split where a guard (a pad, a slice of a concat) changes along it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import prod

from ..emit import Coord, Value
from ..expr import Expr
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point, split_points
from ..stage import Stage
from .region import LINE_ELEMENTS, Region, axis_of, free_axes, pieces, store_all
from .turned import store_turned, turned_axis


def emit_pointwise(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Every element of the region's rows."""
    lane, row = axis_of(stage, place.lane), axis_of(stage, place.row)
    values = tuple(store.value for store in stage.stores)

    lanes = low.emitter.target.machine.lanes
    inner, within, step = free_axes(stage, place), list[Axis](), lanes * place.block.nv
    turned = turned_axis(values, lane, inner)
    if turned is not None:  # a block of lanes uses what it reads of a cache line before it goes
        inner, within, step = [], [axis for axis in inner if axis is not turned], max(lanes, LINE_ELEMENTS)

    def store(point: Point, first: Coord, width: int) -> None:
        def vectors(at: Point) -> None:
            if turned is not None:
                return _turned(low, stage, at, (lane, first, width), turned)
            for offset, count in pieces(width, lanes):
                store_all(low, stage, at.at(lane.id, first + offset).over(lane.id, count), None)

        _loops(low, values, within, point, vectors)

    def spans(point: Point) -> None:
        for start, end in _segments(values, lane):
            cut = region if row.id == lane.id else None
            _span(low, place, cut, (start, end, step), lambda first, width: store(point, first, width))

    if place.walked:
        axes = [axis_of(stage, number) for number in place.walked]
        return _walk(low, values, axes, region, lambda point: _loops(low, values, inner, point, spans))
    if row.id == lane.id:
        return _loops(low, values, inner, region.point, spans)
    e = low.emitter
    for start, end in _segments(values, row):

        def each(y: Coord, _: list[Value]) -> list[Value]:
            _loops(low, values, inner, region.point.at(row.id, y), spans)
            return []

        e.loop(
            e.maximum(region.row_lo, start), e.minimum(region.row_hi, end), 1, each, bounds=(start, end - 1)
        )


def _turned(low: Lowering, stage: Stage, point: Point, lanes: tuple[Axis, Coord, int], axis: Axis) -> None:
    """`lanes`, an axis from where on and how many, at all of `axis`, along which is read."""
    e, side = low.emitter, low.emitter.target.machine.lanes

    def tile(at: Coord, _: list[Value]) -> list[Value]:
        store_turned(low, stage, point, lanes, (axis, at, side))
        return []

    for start, end in _segments(tuple(store.value for store in stage.stores), axis):
        whole = (end - start) // side * side
        e.loop(start, start + whole, side, tile)
        store_turned(low, stage, point, lanes, (axis, Coord.at(start + whole), end - start - whole))


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


def _span(
    low: Lowering, place: Place, region: Region | None, lanes: tuple[int, int, int], vectors: Callable[[Coord, int], None]
) -> None:  # fmt: skip
    """`lanes` from, to and in steps of so many, cut to the region's rows where these are the lanes: whole steps, then what is left."""
    e = low.emitter
    start, end, step = lanes

    def whole(first: Coord, _: list[Value]) -> list[Value]:
        vectors(first, step)
        return []

    def single(at: Coord, _: list[Value]) -> list[Value]:
        vectors(at, 1)
        return []

    if region is None:
        last = start + (end - start) // step * step
        e.loop(start, last, step, whole)
        vectors(Coord.at(last), end - last)
        return
    lo, hi = e.maximum(region.row_lo, start), e.minimum(region.row_hi, end)
    count = e.maximum(e.builder.sub(e.i64(hi), e.i64(lo)), 0)
    rest = e.builder.urem(e.i64(count), e.i64(step))
    last_whole = e.builder.sub(e.i64(hi), rest)
    bounds = (start, max(start, end - 1))
    aligned = start % step == 0 and not place.local  # a root's tiles are whole steps
    e.loop(lo, last_whole, step, whole, bounds=(start, max(start, end - step)), align=step if aligned else 1)
    e.loop(e.maximum(lo, last_whole), hi, 1, single, bounds=bounds)
