"""Region: the part of a stage's output that an anchor is asked for, and the loops that all anchors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

from ..emit import Coord, Emitter, Value
from ..expr import Expr
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point
from ..stage import Stage


@dataclass(frozen=True)
class Region:
    """Rows ``[row_lo, row_hi)`` and lane blocks ``[lane_lo, lane_hi)`` of a stage's output, every column.

    `point` has the coordinates that the unit fixes. Lane blocks are counted in whole blocks, the last of them may be narrower.
    """

    point: Point
    row_lo: Value | int
    row_hi: Value | int
    lane_lo: Value | int
    lane_hi: Value | int


EmitAnchor = Callable[[Lowering, Stage, Place, Region], None]


def axis_of(stage: Stage, number: int) -> Axis:
    """The stage's axis with that number."""
    return next(a for a in stage.axes + stage.reduce if a.id == number)


def store_all(low: Lowering, stage: Stage, point: Point, acc: Value | None) -> None:
    """Run the epilogue on `acc` at `point` and write every output."""
    done: dict[int, Value] = {}
    for store in stage.stores:
        value = done.get(id(store.value))
        if value is None:
            value = done[id(store.value)] = low.evaluate(store.value, point, acc)
        low.store(value, store.value.dtype, store.buffer, store.map[0], point)


def free_axes(stage: Stage, place: Place) -> list[Axis]:
    """Output axes that neither the unit, nor rows, columns or lanes walk: plain outer loops."""
    taken = {*place.outer, place.row, place.col, place.lane}
    return [axis for axis in stage.axes if axis.id not in taken and axis.extent > 1]


def nest(e: Emitter, axes: list[Axis], point: Point, body: Callable[[Point], None]) -> None:
    """Loop over all of `axes`, outermost first."""
    if not axes:
        return body(point)

    def step(coord: Coord, _: list[Value]) -> list[Value]:
        nest(e, axes[1:], point.at(axes[0].id, coord), body)
        return []

    e.loop(0, axes[0].extent, 1, step)


def rows(e: Emitter, axis: Axis, region: Region, body: Callable[[Coord], None]) -> None:
    """Loop over the region's rows one by one."""

    def step(coord: Coord, _: list[Value]) -> list[Value]:
        body(coord)
        return []

    e.loop(region.row_lo, region.row_hi, 1, step, bounds=(0, axis.extent - 1))


def balanced(extent: int, size: int) -> tuple[int, int, int]:
    """(blocks, how many are large, size of a large one) of an extent cut into nearly equal blocks of at most `size`.

    >>> balanced(49, 6)
    (9, 4, 6)
    """
    blocks = ceil(extent / size)
    large = ceil(extent / blocks)
    return blocks, extent - blocks * (large - 1), large


def pieces(width: int, lanes: int) -> list[tuple[int, int]]:
    """(offset, lanes) of the vectors that cover `width` elements; the last may be narrower.

    >>> pieces(20, 8)
    [(0, 8), (8, 8), (16, 4)]
    """
    return [(at, min(lanes, width - at)) for at in range(0, width, lanes)]


def zero_or(low: Lowering, init: Expr | None, point: Point, dtype: str, lanes: int) -> Value:
    """Where an accumulator starts."""
    return low.evaluate(init, point) if init is not None else low.emitter.constant(0, dtype, lanes)
