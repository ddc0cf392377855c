"""Turned: tiles of a pointwise group that reads along one axis and writes along another, such as planes to channels side by side.

What is read is loaded by vectors along its own axis, as squares that are turned in registers and put together to whole vectors of lanes; element by
element only what is left of fewer than four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..emit import Coord, Emitter, Value, lanes_of
from ..expr import Expr, Guard, Load, cost, loads, walk
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Loaded, Lowering, Point
from ..stage import Stage
from ..target import Machine
from .region import LINE_ELEMENTS, axis_of, free_axes, pieces, store_all

LEAST = 4
"""Side of the smallest square that is turned in registers."""

COSTLY = 12
"""Primitives of an output from which on a tile's outputs are a loop, over what a buffer on the stack holds, instead of straight code."""

TOGETHER = 4
"""Outputs of a step of that loop."""


def turned_axis(values: Sequence[Expr], lane: Axis, axes: Sequence[Axis]) -> Axis | None:
    """The one of `axes` along which something lies that `values` read, where that is not the lanes."""
    guards = [node for node in walk(*values) if isinstance(node, Guard)]
    # a buffer is filled before it is known which outputs are inside a guard
    if not all(map(_of_one_axis, guards)) or (guards and cost(*values) > COSTLY):
        return None
    return next((axis for load in loads(*values) for axis in axes if _is_turned(load, lane, axis)), None)


def turned_in(stage: Stage, place: Place) -> Axis | None:
    """The axis along which a pointwise stage reads tiles that it turns; None where it does not."""
    if stage.operands or place.walked:
        return None
    axes, lane = free_axes(stage, place), axis_of(stage, place.lane)
    if place.row != place.lane and not place.local:
        axes = [*axes, axis_of(stage, place.row)]
    return turned_axis([store.value for store in stage.stores], lane, axes)


def rows_together(stage: Stage, place: Place, machine: Machine) -> int:
    """Rows of a pointwise stage that are computed together: a unit has whole multiples of them."""
    turned = turned_in(stage, place)
    if place.row == place.lane:
        return place.block.width(machine) if turned is None else max(machine.lanes, LINE_ELEMENTS)
    return machine.lanes if turned is not None and turned.id == place.row else 1


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
    """All outputs from a first coordinate on, so many along the lanes and, at most as many as a vector has, along the axis that is read."""
    (lane, first, width), (axis, start, count) = lanes, turned
    costly = count > 1 and cost(*(store.value for store in stage.stores)) > COSTLY
    for offset, wide in pieces(width, low.emitter.target.machine.lanes):
        corner = point.at(lane.id, first + offset).at(axis.id, start)
        tile = _Tile(low, corner, lane, axis, wide, count)
        if costly:
            tile.store_by_loop(stage)
        else:
            tile.store_straight(stage)


@dataclass(frozen=True)
class _Tile:
    """`wide` lanes by `count` coordinates of the axis that is read."""

    low: Lowering
    corner: Point
    lane: Axis
    axis: Axis
    wide: int
    count: int

    def store_straight(self, stage: Stage) -> None:
        """Code of its own for each output, which turns a load at the first one that wants it: those behind a guard that fails are not touched."""
        tiles: dict[int, list[Value]] = {}

        def loaded_at(number: int) -> Loaded:
            def loaded(load: Load) -> Value | None:
                if not _is_turned(load, self.lane, self.axis):
                    return None
                if id(load) not in tiles:
                    tiles[id(load)] = self._turned(load)
                return tiles[id(load)][number]

            return loaded

        for number in range(self.count):
            store_all(self.low, stage, self._at(Coord.at(number)), None, loaded_at(number))

    def store_by_loop(self, stage: Stage) -> None:
        """All loads are turned into buffers, and a loop reads them."""
        e = self.low.emitter
        buffers: dict[int, Value] = {}
        for load in loads(*(store.value for store in stage.stores)):
            if isinstance(load, Load) and _is_turned(load, self.lane, self.axis):
                buffers[id(load)] = e.scratch(load.dtype, self.count * self.wide)
                for number, vector in enumerate(self._turned(load)):
                    where = e.address(buffers[id(load)], load.dtype, Coord.at(number * self.wide))
                    e.store(vector, where, load.dtype)

        def output(number: Coord) -> None:
            def loaded(load: Load) -> Value | None:
                if id(load) not in buffers:
                    return None
                where = e.address(buffers[id(load)], load.dtype, number * self.wide)
                return e.load(where, load.dtype, self.wide)

            store_all(self.low, stage, self._at(number), None, loaded)

        def step(number: Coord, _: list[Value]) -> list[Value]:
            for i in range(TOGETHER):
                output(number + i)
            return []

        whole = self.count // TOGETHER * TOGETHER
        e.loop(0, whole, TOGETHER, step)
        for number in range(whole, self.count):
            output(Coord.at(number))

    def _at(self, number: Coord) -> Point:
        start = self.corner.coords[self.axis.id]
        return self.corner.at(self.axis.id, start + number).over(self.lane.id, self.wide)

    def _turned(self, load: Load) -> list[Value]:
        """What the load gives at each coordinate of the axis, a vector of all lanes."""
        e, first = self.low.emitter, self.corner.coords[self.lane.id]
        start, parts = self.corner.coords[self.axis.id], [list[Value]() for _ in range(self.count)]
        for down, deep in _powers(self.count):
            for across, wide in _powers(self.wide):
                side = min(wide, deep)
                corner = self.corner.at(self.lane.id, first + across).at(self.axis.id, start + down)
                if side < LEAST:
                    for i in range(deep):
                        at = corner.at(self.axis.id, start + (down + i)).over(self.lane.id, wide)
                        parts[down + i].append(self.low.evaluate(load, at))
                    continue
                for j in range(0, deep, side):
                    for i in range(0, wide, side):
                        square = self._square(load, corner, i, j, side)
                        for number, column in enumerate(square):
                            parts[down + j + number].append(column)
        return [_joined(e, each) for each in parts]

    def _square(self, load: Load, corner: Point, across: int, down: int, side: int) -> list[Value]:
        first, start = corner.coords[self.lane.id], corner.coords[self.axis.id]
        at = corner.at(self.axis.id, start + down).over(self.axis.id, side)
        rows = (at.at(self.lane.id, first + (across + i)) for i in range(side))
        return turned_vectors(self.low.emitter, [self.low.evaluate(load, row) for row in rows])


def _powers(count: int) -> list[tuple[int, int]]:
    """(offset, size) of the powers of two that make up `count`, the largest first.

    >>> _powers(22)
    [(0, 16), (16, 4), (20, 2)]
    """
    pieces, at = [], 0
    while at < count:
        size = 1 << (count - at).bit_length() - 1
        pieces.append((at, size))
        at += size
    return pieces


def _joined(e: Emitter, parts: Sequence[Value]) -> Value:
    """Vectors of falling sizes as one."""
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [e.joined(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return parts[0]


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
