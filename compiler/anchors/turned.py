"""Turned: tiles of a pointwise group that reads along one axis and writes along another, such as planes to channels side by side.

A square tile is loaded by vectors along the axis that is read, turned in registers and stored by vectors along the lanes; element by element only
what is left at the edges.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..emit import Coord, Emitter, Value, lanes_of
from ..expr import Expr, Guard, Load, loads, walk
from ..index import Axis
from ..lower_expr import Lowering, Point
from ..stage import Stage
from .region import store_all

LEAST = 4
"""Lanes from which on a tile is turned in registers."""


def turned_axis(values: Sequence[Expr], lane: Axis, axes: Sequence[Axis]) -> Axis | None:
    """The one of `axes` along which something lies that `values` read, where that is not the lanes."""
    if not all(_of_one_axis(node) for node in walk(*values) if isinstance(node, Guard)):
        return None
    return next((axis for load in loads(*values) for axis in axes if _is_turned(load, lane, axis)), None)


def _of_one_axis(node: Guard) -> bool:
    """Whether the bounds of a guard hold for all of a tile or for nothing of it, loops being split where they change."""
    return all(
        len(bound.index.axes) <= 1 and all(bound.index.coefficient(axis) for axis in bound.index.axes)
        for bound in node.box
    )


def _is_turned(load: object, lane: Axis, axis: Axis) -> bool:
    if not isinstance(load, Load) or min(lane.extent, axis.extent) < LEAST:
        return False
    step = load.map[0].coefficient
    return step(axis.id) == 1 and step(lane.id) not in (None, 0, 1)


def store_turned(
    low: Lowering, stage: Stage, point: Point, lanes: tuple[Axis, Coord, int], turned: tuple[Axis, Coord, int]
) -> None:
    """All outputs from a first coordinate on, so many along the lanes and along the axis that is read."""
    (lane, first, width), (axis, start, count) = lanes, turned
    most = low.emitter.target.machine.lanes
    for across, wide in _powers(width, most):
        for down, deep in _powers(count, most):
            side = min(wide, deep)
            if side < LEAST:
                for i in range(deep):
                    at = point.at(axis.id, start + (down + i)).at(lane.id, first + across)
                    store_all(low, stage, at.over(lane.id, wide), None)
                continue
            for i in range(0, wide, side):
                for j in range(0, deep, side):
                    corner = point.at(lane.id, first + (across + i)).at(axis.id, start + (down + j))
                    _tile(low, stage, corner, lane, axis, side)


def _powers(count: int, most: int) -> list[tuple[int, int]]:
    """(offset, size) of pieces of `count`, powers of two of which the first are `most`.

    >>> _powers(22, 8)
    [(0, 8), (8, 8), (16, 4), (20, 2)]
    """
    pieces, at = [], 0
    while at < count:
        size = min(most, 1 << (count - at).bit_length() - 1)
        pieces.append((at, size))
        at += size
    return pieces


def _tile(low: Lowering, stage: Stage, corner: Point, lane: Axis, axis: Axis, side: int) -> None:
    """`side` x `side` outputs: what is read along `axis` is loaded by its vectors, all of them at the first output that wants it."""
    first, start = corner.coords[lane.id], corner.coords[axis.id]
    tiles: dict[int, list[Value]] = {}
    for number in range(side):

        def loaded(load: Load, number: int = number) -> Value | None:
            if not _is_turned(load, lane, axis):
                return None
            if id(load) not in tiles:
                rows = (corner.at(lane.id, first + i).over(axis.id, side) for i in range(side))
                tiles[id(load)] = turned_vectors(low.emitter, [low.evaluate(load, row) for row in rows])
            return tiles[id(load)][number]

        at = corner.at(axis.id, start + number).over(lane.id, side)
        store_all(low, stage, at, None, loaded)


def turned_vectors(e: Emitter, rows: Sequence[Value]) -> list[Value]:
    """The columns of a square of 4, 8 or 16 rows: quarters of a register first, then registers by quarters."""
    side = lanes_of(rows[0])
    quarters = range(0, side, LEAST)

    def within(order: Sequence[int], a: Value, b: Value) -> Value:
        """Elements of every quarter of `a` and of `b`, which counts from 4 on."""
        return e.shuffled(a, b, [q + i % 4 + (side if i >= 4 else 0) for q in quarters for i in order])

    columns: list[list[Value]] = [[] for _ in range(LEAST)]
    for top in quarters:
        a, b, c, d = rows[top : top + LEAST]
        ab, cd = within((0, 4, 1, 5), a, b), within((0, 4, 1, 5), c, d)
        columns[0].append(within((0, 1, 4, 5), ab, cd))
        columns[1].append(within((2, 3, 6, 7), ab, cd))
        ab, cd = within((2, 6, 3, 7), a, b), within((2, 6, 3, 7), c, d)
        columns[2].append(within((0, 1, 4, 5), ab, cd))
        columns[3].append(within((2, 3, 6, 7), ab, cd))
    by_quarter = [turned_parts(e, each, LEAST) for each in columns]
    return [by_quarter[number % LEAST][number // LEAST] for number in range(side)]


def turned_parts(e: Emitter, rows: Sequence[Value], size: int) -> list[Value]:
    """Rows, 1, 2 or 4 and as many as they have parts of `size` lanes, turned: even parts of two rows side by side and odd ones, once or twice."""
    if len(rows) == 1:
        return [*rows]
    assert lanes_of(rows[0]) == size * len(rows) and len(rows) in (2, 4)
    even, odd = (
        [size * part + i for part in range(start, 2 * len(rows), 2) for i in range(size)] for start in (0, 1)
    )

    def joined(rows: Sequence[Value], order: Sequence[int]) -> list[Value]:
        return [e.shuffled(a, b, order) for a, b in zip(rows[::2], rows[1::2], strict=True)]

    if len(rows) == 2:
        return joined(rows, even) + joined(rows, odd)
    halves = joined(rows, even), joined(rows, odd)
    return [part for order in (even, odd) for half in halves for part in joined(half, order)]
