"""Window: depthwise convolution and pooling, where every channel slides its own window.

    out[row, col, c] = combine over (i, j) of x[row * s + i * d, col * s + j * d, c] (* w[i, j, c])

Lanes run along channels. A block of columns, of a row or of two, is computed together, so that an element that several windows share is loaded once. A row
outside the input is a row of fill values: choosing its pointer once a row keeps branches out of the loops; columns at the edges are known
when the code is made, and their missing taps are not emitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from ..emit import Coord, Value
from ..expr import Const, Expr, Guard, Load, loads
from ..index import Bound, Index
from ..kernel import Place
from ..lower_expr import Lowering, Point, bound_verdict, coordinate
from ..lower_primitive import combine
from ..stage import Stage
from .lane_groups import LaneGroups, lane_groups
from .region import (
    Region,
    axis_of,
    columns_inside,
    edge_blocks,
    free_axes,
    lane_blocks,
    nest,
    pieces,
    row_blocks,
    store_all,
)

FILL = "fill"
"""Name of the local buffer with a row of fill values."""


def emit_window(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Every column and channel of the region's rows."""
    groups = lane_groups(stage, place.lane)
    window = _Window(low, stage, place, region, *window_axes(stage, place), groups)
    row = axis_of(stage, place.row)
    free = free_axes(stage, place)
    row_blocks(
        low.emitter, row, region, place.block.rows,
        lambda y, height: nest(
            low.emitter, free, region.point.at(row.id, y), lambda point: window.emit_rows(point, height)
        ),
    )  # fmt: skip


def window_axes(stage: Stage, place: Place) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The reduce axes that slide along rows, and those that slide along columns."""
    columns: set[int] = set()
    for index in stage.operands[0].map:
        if place.col is not None and place.col in index.axes:
            columns |= set(index.axes)
    cols = tuple(a.id for a in stage.reduce if a.id in columns)
    return tuple(a.id for a in stage.reduce if a.id not in columns), cols


def split_guard(stage: Stage, place: Place) -> tuple[Load, tuple[Bound, ...], tuple[Bound, ...], float]:
    """The load under the operand, the bounds on rows, those on columns, and the fill value outside."""
    expr: Expr = stage.operands[0].inlined()
    fill = 0.0
    box: tuple[Bound, ...] = ()
    if isinstance(expr, Guard):
        assert isinstance(expr.outside, Const)
        fill, box, expr = float(expr.outside.value), expr.box, expr.inside
    assert isinstance(expr, Load), "a window reads its input in place"
    _, cols = window_axes(stage, place)
    col_axes = {*cols, place.col}
    by_col = tuple(b for b in box if b.index.axes & col_axes)
    return expr, tuple(b for b in box if b not in by_col), by_col, fill


def fill_row(stage: Stage, place: Place) -> tuple[int, int, float] | None:
    """(elements, first offset, value) of the row that stands for one outside the input; None where no row can be outside."""
    load, by_row, by_col, fill = split_guard(stage, place)
    if not by_row:
        return None
    inner = _part(load.map[0], _within_row(stage, place))
    lo, hi = inner.range
    for bound in by_col:
        scale = next(
            (t.scale for t in inner.terms for u in bound.index.terms if t.inner == u.inner), 0
        ) // max(bound.index.terms[0].scale, 1)
        lo, hi = (
            max(lo, scale * (bound.lo - bound.index.const)),
            min(hi, scale * (bound.hi - 1 - bound.index.const) + inner_rest(inner, bound)),
        )
    return hi - lo + 1, lo, fill


def _within_row(stage: Stage, place: Place) -> set[int | None]:
    """Axes whose steps lead from an element of an input row to another of that row."""
    _, cols = window_axes(stage, place)
    groups = lane_groups(stage, place.lane)
    inputs = () if groups is None else (groups.axis,)
    return {*cols, *inputs, place.col, place.lane, *(axis.id for axis in free_axes(stage, place))}


def inner_rest(inner: Index, bound: Bound) -> int:
    """The largest value of the terms of `inner` that `bound` says nothing of."""
    return sum(t.range[1] for t in inner.terms if t.inner not in [u.inner for u in bound.index.terms])


def _part(index: Index, axes: set[int | None]) -> Index:
    """The terms of `index` over `axes` alone, without the constant."""
    return Index(0, tuple(t for t in index.terms if Index(0, (t,)).axes & axes))


@dataclass(frozen=True)
class _InputRow:
    """A row that a block reads, or the fill row, and whose taps it is: pairs of an output row of the block and a tap along rows."""

    pointer: Value
    taps: tuple[tuple[int, tuple[int, ...]], ...]
    group_input: int
    """Which input of each group it gives, where lanes run across groups."""


@dataclass(frozen=True)
class _Window:
    """The code of one region; what is emitted for a block of columns goes through the region's channels."""

    low: Lowering
    stage: Stage
    place: Place
    region: Region
    row_taps: tuple[int, ...]
    col_taps: tuple[int, ...]
    groups: LaneGroups | None

    def emit_rows(self, point: Point, height: int) -> None:
        """The output rows from `point` on: blocks with an edge column are code of their own, those between them a loop."""
        e = self.low.emitter
        over = self._input_rows(point, height)
        points = [point.at(self.place.row, point.coords[self.place.row] + r) for r in range(height)]
        if self.place.col is None:
            return self._block(points, over, None, 0)
        extent = axis_of(self.stage, self.place.col).extent
        steps = self._col_steps()
        inner = columns_inside(extent, lambda column: all(self._valid(column, taps) for taps in steps))
        edge_blocks(
            e, extent, self.place.block.mr, inner, lambda first, mr: self._block(points, over, first, mr)
        )

    def _input_rows(self, point: Point, height: int) -> list[_InputRow]:
        """What the windows of `height` output rows read, each input row once."""
        where = self.stage.operands[0].map
        found: dict[tuple[int, ...], list[tuple[int, tuple[int, ...]]]] = {}
        for r in range(height):
            for taps in self._row_steps():
                steps = [(self.place.row, r), *zip(self.row_taps, taps, strict=True)]
                row = tuple(sum((index.coefficient(axis) or 0) * i for axis, i in steps) for index in where)
                found.setdefault(row, []).append((r, taps))
        return [
            _InputRow(self._row_pointer(point, *uses[0]), tuple(uses), self._group_input(uses[0][1]))
            for _, uses in sorted(found.items())
        ]

    def _group_input(self, taps: tuple[int, ...]) -> int:
        """Which input of its group a tap along rows reads."""
        counted = zip(self.row_taps, taps, strict=True)
        return sum(tap for axis, tap in counted if self.groups is not None and axis == self.groups.axis)

    def _row_pointer(self, point: Point, r: int, taps: tuple[int, ...]) -> Value:
        """The address of the row under a tap along rows, seen from row `r` of a block: an input row, or the fill row."""
        e = self.low.emitter
        load, by_row, _, _ = split_guard(self.stage, self.place)
        outer = Index(
            load.map[0].const, tuple(t for t in load.map[0].terms if not (Index(0, (t,)).axes & self._inside))
        )
        coords = {axis: Coord.at(i) for axis, i in zip(self.row_taps, taps, strict=True)}
        at = Point({**point.coords, **coords}).at(self.place.row, point.coords[self.place.row] + r)
        real = e.address(self.low.pointers[load.buffer], load.dtype, coordinate(e, outer, at))
        condition = None
        for bound in by_row:
            if bound_verdict(e, bound, at) is True:
                continue
            value = e.materialise(coordinate(e, bound.index, at))
            test = e.builder.icmp_unsigned(
                "<", e.builder.sub(value, e.i64(bound.lo)), e.i64(bound.hi - bound.lo)
            )
            condition = test if condition is None else e.builder.and_(condition, test)
        if condition is None:
            return real
        fill = fill_row(self.stage, self.place)
        assert fill is not None
        # `outer` has the whole constant of the address: the fill row must look as if it had it too
        blank = e.address(self.low.pointers[FILL], load.dtype, Coord.at(-fill[1]))
        return e.builder.select(condition, real, blank)

    @cached_property
    def _inside(self) -> set[int | None]:
        return _within_row(self.stage, self.place)

    def _row_steps(self) -> list[tuple[int, ...]]:
        return _steps(self.stage, self.row_taps)

    def _col_steps(self) -> list[tuple[int, ...]]:
        return _steps(self.stage, self.col_taps)

    def _valid(self, col: Coord, taps: tuple[int, ...]) -> bool:
        """Whether a tap of the column is inside the input."""
        _, _, by_col, _ = split_guard(self.stage, self.place)
        coords = {axis: Coord.at(i) for axis, i in zip(self.col_taps, taps, strict=True)}
        assert self.place.col is not None
        point = Point({self.place.col: col, **coords})
        verdicts = [bound_verdict(self.low.emitter, bound, point) for bound in by_col]
        assert None not in verdicts, "a column whose taps are not decided"
        return all(v is True for v in verdicts)

    def _block(self, rows: list[Point], over: list[_InputRow], first: Coord | None, mr: int) -> None:
        """Columns ``[first, first + mr)`` of the region's channels, in each of the rows."""
        e = self.low.emitter
        lane = axis_of(self.stage, self.place.lane)
        lanes = e.target.machine.lanes
        col = self.place.col

        def channels(c: Coord, width: int) -> None:
            vectors = pieces(width, lanes)
            points = [
                row if first is None or col is None else row.at(col, first + i)
                for row in rows
                for i in range(1 if first is None else mr)
            ]
            flat = [p.at(lane.id, c + at).over(lane.id, n) for p in points for at, n in vectors]
            size = len(flat) // len(rows)
            self._vectors([flat[r * size : (r + 1) * size] for r in range(len(rows))], over)

        lane_blocks(e, self.stage, self.place, self.region, channels)

    def _vectors(self, rows: list[list[Point]], over: list[_InputRow]) -> None:
        """Vectors of channels at the columns of a block, row by row: weights stay in registers while the elements of an input row go by, each loaded once."""
        e, stage = self.low.emitter, self.stage
        dtype = stage.operands[0].expr.dtype
        starts = stage.combine == "sum"
        sums = [[self._start(p, dtype) if starts else None for p in points] for points in rows]
        uses = [
            (self._offset(point, taps), number, taps)
            for number, point in enumerate(rows[0])
            for taps in self._col_steps()
            if self.place.col is None or self._valid(point.coords[self.place.col], taps)
        ]
        uses.sort(key=lambda use: use[0].const)
        weights: dict[tuple[int, ...], Value] = {}
        apart = self._weights_vary_by_row()
        for row in over:
            # LLVM would load a row once for all inputs of its groups, and spill it
            pointer = row.pointer if self.groups is None else e.hidden(row.pointer)
            readers: dict[int, Callable[[Value], Value]] = {}
            loaded: tuple[int, Value] | None = None
            for where, number, taps in uses:
                point = rows[0][number]
                if loaded is None or loaded[0] != where.const:
                    if point.lanes not in readers:
                        readers[point.lanes] = self._reader(row, point.lanes)
                    loaded = where.const, readers[point.lanes](e.address(pointer, dtype, where))
                for r, row_taps in row.taps:
                    weight = (r if apart else 0, *row_taps, *taps, point.coords[self.place.lane].const)
                    if len(stage.operands) > 1 and weight not in weights:
                        weights[weight] = self._weight(rows[r][number], row_taps, taps)
                    sums[r][number] = self._accumulate(sums[r][number], loaded[1], weights.get(weight))
        for points, totals in zip(rows, sums, strict=True):
            for point, acc in zip(points, totals, strict=True):
                assert acc is not None
                store_all(self.low, stage, point, acc)

    def _reader(self, row: _InputRow, lanes: int) -> Callable[[Value], Value]:
        """Reads what so many lanes multiply from a place in the row on."""
        e, dtype = self.low.emitter, self.stage.operands[0].expr.dtype
        if self.groups is None:
            return lambda pointer: e.load(pointer, dtype, lanes)
        return self.groups.reader(e, dtype, row.group_input, lanes)

    def _weights_vary_by_row(self) -> bool:
        """Whether rows are channels, or groups of them."""
        return any(
            self.place.row in index.axes
            for operand in self.stage.operands[1:]
            for load in loads(operand.inlined())
            for index in load.map
        )

    def _start(self, point: Point, dtype: str) -> Value:
        """A window's sum starts where it would end without taps, for these are few as a rule: nothing has to be added then."""
        e, init = self.low.emitter, self.stage.init
        return e.constant(0, dtype, point.lanes) if init is None else self.low.evaluate(init, point)

    def _accumulate(self, acc: Value | None, value: Value, weight: Value | None) -> Value:
        e = self.low.emitter
        if weight is not None:
            return e.muladd(value, weight, acc)
        return (
            value
            if acc is None
            else combine(e, self.stage.combine, self.stage.operands[0].expr.dtype, acc, value)
        )

    def _offset(self, point: Point, taps: tuple[int, ...]) -> Coord:
        """Where the input vector under a tap lies from its row's pointer on; for columns of a block, apart by constants."""
        load, _, _, _ = split_guard(self.stage, self.place)
        steps = {axis: Coord.at(i) for axis, i in zip(self.col_taps, taps, strict=True)}
        if self.groups is not None and self.groups.axis is not None:
            steps[self.groups.axis] = Coord.at(0)  # whole groups are read
        at = Point({**point.coords, **steps}, point.lane, point.lanes)
        return coordinate(self.low.emitter, _part(load.map[0], self._inside), at)

    def _weight(self, point: Point, row: tuple[int, ...], taps: tuple[int, ...]) -> Value:
        e, place = self.low.emitter, self.place
        fixed = dict(zip((*self.row_taps, *self.col_taps), (*row, *taps), strict=True))
        b = self.stage.operands[1].inlined()
        at = Point(
            {**point.coords, **{axis: Coord.at(i) for axis, i in fixed.items()}}, point.lane, point.lanes
        )
        if not place.packed:
            return self.low.evaluate(b, at)
        assert isinstance(b, Load)
        tap = 0
        for number in place.k_order:
            tap = tap * axis_of(self.stage, number).extent + fixed.get(number, 0)
        base = at.coords[place.lane] + tap * axis_of(self.stage, place.lane).extent
        return e.load(e.address(self.low.pointers[b.buffer], b.dtype, base), b.dtype, at.lanes)


def _steps(stage: Stage, axes: tuple[int, ...]) -> list[tuple[int, ...]]:
    """All values of some reduce axes, in order."""
    out: list[tuple[int, ...]] = [()]
    for number in axes:
        out = [(*taps, i) for taps in out for i in range(axis_of(stage, number).extent)]
    return out
