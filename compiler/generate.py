"""Kernel to LLVM module: the outer loops of a group, and what stages leave for each other on the way.

for unit in [begin, end):                 a tile of the root's rows, or a block of its lanes
    for each earlier stage:               rows that this tile needs and the last one did not make
        its anchor, into the stage's local buffer
    the root's anchor, into the outputs
"""

from __future__ import annotations

from collections.abc import Mapping

from .anchors import ANCHORS
from .anchors.region import Region, axis_of, balanced
from .anchors.window import FILL, fill_row
from .emit import I64, Coord, Module, Value
from .expr import loads
from .index import Index
from .kernel import TILE, Halo, Kernel, Place, local_bytes
from .kernel_function import kernel_function
from .lower_expr import Lowering, Point, coordinate
from .stage import Stage


def generate(kernel: Kernel) -> Module:
    """The module that defines `kernel.symbol`."""
    module, e, pointers, scratch, begin, end = kernel_function(
        kernel.target, kernel.symbol, len(kernel.arguments)
    )
    buffers: dict[str, Value] = {a.name: p for a, p in zip(kernel.arguments, pointers, strict=True)}
    sizes = {a.name: a.size for a in kernel.arguments} | {v.name: v.size for v in kernel.locals}
    offset = 0
    for local in kernel.locals:
        buffers[local.name] = e.address(scratch, "int8", Coord.at(offset))
        offset += local_bytes(local)
    low = Lowering(e, buffers, sizes)
    _fill_blank_row(low, kernel)
    _Nest(low, kernel).emit(begin, end)
    e.finish()
    return module


def _fill_blank_row(low: Lowering, kernel: Kernel) -> None:
    for stage, place in zip(kernel.stages, kernel.schedule.places, strict=True):
        blank = fill_row(stage, place) if stage.anchor in ("depthwise", "pool") else None
        if blank is not None:
            _fill(low, FILL, Coord.at(0), blank[0], blank[2])


def _fill(low: Lowering, buffer: str, first: Coord, count: int, value: float) -> None:
    """Set `count` adjacent elements."""
    e = low.emitter
    lanes = e.target.machine.lanes

    def vector(at: Coord, width: int) -> None:
        e.store(
            e.constant(value, "float32", width),
            e.address(low.pointers[buffer], "float32", first + at),
            "float32",
        )

    def step(at: Coord, _: list[Value]) -> list[Value]:
        vector(at, lanes)
        return []

    whole = count // lanes * lanes
    e.loop(0, whole, lanes, step)
    for at in range(whole, count):
        vector(Coord.at(at), 1)


class _Nest:
    """The unit loop of one kernel."""

    def __init__(self, low: Lowering, kernel: Kernel) -> None:
        self.low, self.kernel, self.e = low, kernel, low.emitter
        self.stages = list(zip(kernel.stages, kernel.schedule.places, strict=True))
        self.root, self.place = self.stages[-1]
        self.made = {place.local: self.e.variable() for _, place in self.stages[:-1]}

    def emit(self, begin: Value, end: Value) -> None:
        schedule = self.kernel.schedule
        self.e.loop(begin, end, 1, lambda unit, _: self._unit(unit), bounds=(0, schedule.units - 1))

    def _unit(self, unit: Coord) -> list[Value]:
        schedule, place = self.kernel.schedule, self.place
        stage, counted = self.kernel.counted
        row, count = axis_of(stage, counted.row), self._row_count(stage, counted)
        if schedule.parallel == "lanes":
            value = self.e.materialise(unit)
            lo, hi = (
                self._times(value, schedule.tile),
                self._times(self.e.builder.add(value, self.e.i64(1)), schedule.tile),
            )
            blocks = self._lane_blocks(self.root, place)
            point = Point({TILE.id: Coord.at(0)})
            self._producers(point, 0, row.extent)
            ANCHORS[self.root.anchor](
                self.low, self.root, place, Region(point, 0, count, lo, self.e.minimum(hi, blocks))
            )
            return []
        tiles = -(-count // schedule.tile)
        point, tile = self._outer(unit, tiles)
        first = self.e.materialise(tile * schedule.tile)
        last = self.e.minimum(self.e.builder.add(self.e.i64(first), self.e.i64(schedule.tile)), count) if count % schedule.tile else (
            self.e.builder.add(self.e.i64(first), self.e.i64(schedule.tile))
        )  # fmt: skip
        lo, hi = self._row_of(first), self._row_of(last)
        point = point.at(TILE.id, self.e.coord(lo, 0, row.extent))
        if self.stages[0][1].halo is None:
            self._same_rows(point, (lo, hi), (first, last))
            return []
        if place.outer:
            self._restart(tile)
        self._producers(point, lo, hi)
        self._anchor(self.root, place, point, first, last)
        return []

    def _anchor(self, stage: Stage, place: Place, point: Point, lo: Value | int, hi: Value | int) -> None:
        """Rows ``[lo, hi)`` of a stage, all lanes."""
        ANCHORS[stage.anchor](
            self.low, stage, place, Region(point, lo, hi, 0, self._lane_blocks(stage, place))
        )

    def _times(self, value: Value, factor: int) -> Value:
        return value if factor == 1 else self.e.builder.mul(value, self.e.i64(factor))

    def _lane_blocks(self, stage: Stage, place: Place) -> int:
        width = place.block.width(self.kernel.target.machine)
        return -(-axis_of(stage, place.lane).extent // width)

    def _row_count(self, stage: Stage, place: Place) -> int:
        """Rows, or blocks of rows where rows are the columns of a register block."""
        extent = axis_of(stage, place.row).extent
        return balanced(extent, place.block.mr)[0] if place.row == place.col else extent

    def _row_of(self, number: Value) -> Value:
        """The first row of a block, where rows are counted in blocks."""
        stage, place = self.kernel.counted
        if place.row != place.col:
            return number
        _, large, size = balanced(axis_of(stage, place.row).extent, place.block.mr)
        b = self.e.builder
        over = self.e.maximum(b.sub(self.e.i64(number), self.e.i64(large)), 0)
        return b.sub(b.mul(self.e.i64(number), self.e.i64(size)), self.e.i64(over))

    def _outer(self, unit: Coord, tiles: int) -> tuple[Point, Coord]:
        """The outer coordinates and the tile number of a unit."""
        extents = [axis_of(self.root, number).extent for number in self.place.outer]
        *outer, tile = self.e.unflattened(unit, [*extents, tiles])
        return Point(dict(zip(self.place.outer, outer, strict=True))), tile

    def _restart(self, tile: Coord) -> None:
        """At the first tile of an image no row has been made yet."""
        fresh = self.e.builder.icmp_signed("==", self.e.materialise(tile), self.e.i64(0))
        for slot in self.made.values():
            have = self.e.builder.load(slot, typ=I64)
            self.e.builder.store(self.e.builder.select(fresh, self.e.i64(0), have), slot)

    # -- stages that leave rows for later ones

    def _producers(self, point: Point, lo: Value | int, hi: Value | int) -> None:
        """Make what rows ``[lo, hi)`` of the root need, from the first stage on."""
        needs: dict[str, tuple[Value | int, Value | int]] = {}
        points: dict[str, Point] = {}
        wanted: list[tuple[Stage, Place, Point, Value | int, Value | int]] = [
            (self.root, self.place, point, lo, hi)
        ]
        for stage, place in reversed(self.stages[:-1]):
            for consumer, at, where, first, last in wanted:
                if place.local in _reads(consumer):
                    needs[place.local] = self._required(consumer, at, place, first, last)
                    points[place.local] = self._own_point(consumer, place, where)
            assert place.halo is not None
            lo, hi = needs[place.local]
            top, extent = place.halo.top, axis_of(stage, place.row).extent
            inner_lo = self.e.minimum(self.e.maximum(self._minus(lo, top), 0), extent)
            inner_hi = self.e.minimum(self.e.maximum(self._minus(hi, top), 0), extent)
            wanted.append((stage, place, points[place.local], inner_lo, inner_hi))
        for stage, place, where, _, _ in reversed(wanted[1:]):
            self._produce(stage, place, where, *needs[place.local])

    def _same_rows(self, point: Point, rows: tuple[Value, Value], blocks: tuple[Value, Value]) -> None:
        """The same rows of every stage of a row group; `blocks` for the one whose rows are the columns of register blocks."""
        for stage, place in self.stages:
            self._anchor(stage, place, point, *(blocks if place.row == place.col else rows))

    def _minus(self, value: Value | int, amount: int) -> Value | int:
        if isinstance(value, int):
            return value - amount
        return self.e.builder.sub(value, self.e.i64(amount)) if amount else value

    def _own_point(self, consumer: Stage, place: Place, point: Point) -> Point:
        """The consumer's unit coordinates, seen from the producer's axes."""
        coords = {TILE.id: point.coords[TILE.id]}
        for operand in consumer.operands:
            if place.local in {load.buffer for load in loads(operand.expr)}:
                for axis, index in zip(operand.axes, operand.map, strict=True):
                    if axis.id in place.outer:
                        coords[axis.id] = coordinate(self.e, index, point)
        return Point(coords)

    def _required(
        self, consumer: Stage, at: Place, place: Place, lo: Value | int, hi: Value | int
    ) -> tuple[Value | int, Value | int]:
        """Bounds inference: the rows of the local buffer that the consumer's rows ``[lo, hi)`` read."""
        index = _row_index(consumer, place)
        scale = index.coefficient(at.row) or 0
        rest = index.without(at.row).range
        if scale == 0:
            return rest[0], rest[1] + 1
        first, last = self._scaled(lo, scale, rest[0]), self._scaled(hi, scale, rest[1] + 1 - scale)
        return first, last

    def _scaled(self, value: Value | int, scale: int, plus: int) -> Value | int:
        if isinstance(value, int):
            return value * scale + plus
        value = self._times(value, scale)
        return self.e.builder.add(value, self.e.i64(plus)) if plus else value

    def _produce(self, stage: Stage, place: Place, point: Point, lo: Value | int, hi: Value | int) -> None:
        e, halo = self.e, place.halo
        assert halo is not None
        local = next(v for v in self.kernel.locals if v.name == place.local)
        if local.kind == "ring":
            have = e.builder.load(self.made[place.local], typ=I64)
            lo = e.maximum(lo, have)
            e.builder.store(e.i64(hi), self.made[place.local])
        row = axis_of(stage, place.row)
        inner_lo = e.minimum(e.maximum(self._minus(lo, halo.top), 0), row.extent)
        inner_hi = e.minimum(e.maximum(self._minus(hi, halo.top), 0), row.extent)
        if halo.top or halo.rows > halo.top + row.extent:
            self._blank_rows(place, lo, e.minimum(hi, halo.top))
            self._blank_rows(place, e.maximum(lo, halo.top + row.extent), hi)
        if halo.left or halo.cols > halo.left + _columns(stage, place):
            self._blank_columns(stage, place, inner_lo, inner_hi)
        self._anchor(stage, place, point, inner_lo, inner_hi)

    def _blank_rows(self, place: Place, lo: Value | int, hi: Value | int) -> None:
        halo = place.halo
        assert halo is not None

        def row(y: Coord, _: list[Value]) -> list[Value]:
            self._blank(place.local, halo, y, 0, halo.cols)
            return []

        self.e.loop(lo, hi, 1, row, bounds=(0, halo.rows - 1))

    def _blank_columns(self, stage: Stage, place: Place, lo: Value | int, hi: Value | int) -> None:
        halo = place.halo
        assert halo is not None
        right = halo.left + _columns(stage, place)

        def row(y: Coord, _: list[Value]) -> list[Value]:
            self._blank(place.local, halo, y + halo.top, 0, halo.left)
            self._blank(place.local, halo, y + halo.top, right, halo.cols)
            return []

        self.e.loop(lo, hi, 1, row, bounds=(0, axis_of(stage, place.row).extent - 1))

    def _blank(self, buffer: str, halo: Halo, y: Coord, start: int, end: int) -> None:
        if start < end:
            at: Mapping[int, Coord] = {0: y, 1: Coord.at(start), 2: Coord.at(0)}
            _fill(
                self.low,
                buffer,
                coordinate(self.e, halo.address, Point(at)),
                (end - start) * halo.depth,
                halo.fill,
            )


def _columns(stage: Stage, place: Place) -> int:
    return 1 if place.col is None else axis_of(stage, place.col).extent


def _reads(stage: Stage) -> set[str]:
    return {load.buffer for load in stage.loads()}


def _row_index(consumer: Stage, place: Place) -> Index:
    """The Index, over the consumer's axes, of the row that it reads in the producer's local buffer."""
    for operand in consumer.operands:
        if place.local in {load.buffer for load in loads(operand.expr)}:
            return operand.map[[a.id for a in operand.axes].index(place.row)]
    raise AssertionError(f"nothing reads {place.local}")
