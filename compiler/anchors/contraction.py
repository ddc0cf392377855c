"""Contraction: sums of products where one operand varies along lanes only: convolution, matrix product, inner product.

    out[row, col, n] = sum over k of a[row, col, k] * b[k, n] + init[n]

A block of mr columns times nv vectors of n stays in registers while k runs. `a` is read in place, one element per column, and
multiplied into whole vectors of `b`. A constant `b` is packed: for every block of n, all k, each with its block of n together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from ..emit import Coord, Emitter, Value, lanes_of
from ..expr import Expr, Load
from ..index import Axis, Bound
from ..kernel import Place
from ..lower_expr import Lowering, Point, coordinate
from ..stage import Stage
from ..target import Machine
from .ahead import Share, asks_with_its_own
from .pads import Pads, bounds_on, pads_of, taps_inside
from .region import (
    LINE_ELEMENTS,
    Region,
    axis_of,
    batch_axes,
    column_blocks,
    free_axes,
    lane_blocks,
    nest,
    packed_batch,
    pieces,
    rows,
    store_all,
)
from .sums import Sums, pairs_tails, side_by_side, streams_of

TOGETHER = 4
"""Steps whose elements of a are loaded together, a vector of them for each column, where multiply-adds read a lane. Elsewhere steps are kept apart:
LLVM would broadcast the elements of several first, and spill them."""

NEAR = 4
"""Elements between columns up to which their next elements are loaded as one window."""

STRAIGHT = 4
"""Inner reduce axes up to this many steps together are straight code. The outermost stays a loop: without one, LLVM would move the weights of
all steps out of the loop over columns and spill them."""


FIRST_APART = 5
"""Times the unrolled steps that a sum needs for the first of them to be code of their own, which multiplies instead of adding to zeros: setting
registers to zero takes as long as a multiply-add where multiply-adds read a lane. Of shorter sums LLVM makes straight code, and spills."""


def emit_contraction(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """All columns and the region's rows and lane blocks, one batch of weights after the other, in the order in which they are packed."""
    batch = [axis for axis in free_axes(stage, place) if axis in batch_axes(stage, place)]
    nest(
        low.emitter, batch, region.point,
        lambda point: _one_batch(low, stage, place, replace(region, point=point), batch),
    )  # fmt: skip


def _one_batch(low: Lowering, stage: Stage, place: Place, region: Region, batch: list[Axis]) -> None:
    """The region for one value of the axes `batch`, block by block: weights stay close while rows go by."""
    e = low.emitter
    others = [axis for axis in free_axes(stage, place) if axis not in batch]

    def lane_block(n: Coord, width: int) -> None:
        micro = _Micro(low, stage, place, n, width)
        nest(e, others, region.point, lambda point: columns(micro, point))

    def columns(micro: _Micro, point: Point) -> None:
        if place.col is None:
            row = axis_of(stage, place.row)
            rows(e, row, region, lambda y: micro.emit(point.at(row.id, y), Coord.at(0), 1))
        else:
            inner = None if micro.pads is None else micro.pads.inner_columns(e, stage, place)
            column_blocks(e, stage, place, region, point, micro.emit, inner)

    lane_blocks(e, stage, place, region, lane_block)


@dataclass(frozen=True)
class _Micro:
    """The code of one register block at lanes ``[n, n + width)``."""

    low: Lowering
    stage: Stage
    place: Place
    n: Coord
    width: int

    @cached_property
    def machine(self) -> Machine:
        """The machine as the block sees it."""
        return self.place.block.machine(self.low.emitter.target.machine)

    @cached_property
    def pads(self) -> Pads | None:
        """What is left out of the sums, where lowering put the taps along rows outermost."""
        pads = pads_of(self.stage, self.place, self.machine)
        return pads if pads is not None and pads.tap in (None, *self.place.k_order[:1]) else None

    @cached_property
    def _prefetches(self) -> bool:
        """Whether each block of columns asks for b of the next lane block where it reads that of its own."""
        return asks_with_its_own(self.stage, self.place, self.low.emitter.target.machine)

    @cached_property
    def _depth(self) -> int:
        """Steps of the whole reduction."""
        return prod(axis.extent for axis in self.stage.reduce)

    def _bounds(self, tap: Axis) -> tuple[Bound, ...]:
        """The bounds on the steps of a reduce axis."""
        rows = self.pads.rows if self.pads is not None and self.pads.tap == tap.id else ()
        return (*rows, *bounds_on(self.stage, self.place, tap))

    def emit(self, point: Point, first: Coord, mr: int) -> None:
        """`mr` columns from `first` on: run over k, store."""
        layout, col = self._sums(mr), self.place.col
        parts = layout.parts
        places = [point if col is None else point.at(col, first + r) for r in range(mr)]
        sums = self._apart(layout, self._reduce(places, layout))
        if self.place.row_epilogue and col is not None and mr > 1:
            return self._store_rows(point, col, first, parts, sums, mr)
        for r in range(mr):
            for v, (offset, lanes) in enumerate(parts):
                at = places[r].at(self.place.lane, self.n + offset).over(self.place.lane, lanes)
                self._store(at, sums[r * len(parts) + v])

    def _held(self, lanes: int) -> int:
        """Lanes of the registers that hold sums of so many: a power of two that holds the widest of the block, for which an element of a is broadcast once."""
        if lanes == 1 or self.machine.a_form != "broadcast":
            return lanes
        return min(self.machine.lanes, 1 << (self.width - 1).bit_length())

    def _sums(self, columns: int) -> Sums:
        parts = pieces(self.width, self.machine.lanes)
        paired = columns > 1 and len(parts) > 1 and pairs_tails(parts[-1][1], self.machine)
        return Sums(parts, columns, paired)

    def _apart(self, sums: Sums, values: list[Value]) -> list[Value]:
        """The sums by column and part, none wider than its part."""
        half = self.machine.lanes // 2
        return [
            self._part(values[sums.number(r, v)], r % 2 * half if sums.shared(v) else 0, lanes)
            for r in range(sums.columns)
            for v, (_, lanes) in enumerate(sums.parts)
        ]

    def _twice(self, vector: Value, lanes: int) -> Value:
        """The first `lanes` elements in both halves of a whole vector."""
        e = self.low.emitter
        if lanes == 1:
            return e.splat(vector, self.machine.lanes)
        order = [*range(lanes), *[lanes] * (self.machine.lanes // 2 - lanes)]
        return e.shuffled(vector, vector, [*order, *order])

    def _part(self, total: Value, first: int, lanes: int) -> Value:
        same = lanes_of(total) == lanes
        return total if same else self.low.emitter.shuffled(total, total, range(first, first + lanes))

    def _store(self, point: Point, acc: Value) -> None:
        """The epilogue on a sum. What is added to all its terms comes last: the terms are rounded to their own size until then."""
        if self.stage.init is not None:
            acc = self.low.emitter.builder.fadd(acc, self.low.evaluate(self.stage.init, point))
        store_all(self.low, self.stage, point, acc)

    def _store_rows(
        self, point: Point, col: int, first: Coord, parts: list[tuple[int, int]], sums: list[Value], mr: int
    ) -> None:
        """A costly epilogue runs once in the code, over the rows of a copy on the stack: inlined per register it would spill."""
        e = self.low.emitter
        panel = e.scratch("float32", mr * self.width)
        for r in range(mr):
            for v, (offset, _) in enumerate(parts):
                e.store(
                    sums[r * len(parts) + v],
                    e.address(panel, "float32", Coord.at(r * self.width + offset)),
                    "float32",
                )

        def row(r: Coord, _: list[Value]) -> list[Value]:
            for offset, lanes in parts:
                at = (
                    point.at(col, first + r).at(self.place.lane, self.n + offset).over(self.place.lane, lanes)
                )
                acc = e.load(e.address(panel, "float32", r * self.width + offset), "float32", lanes)
                self._store(at, acc)
            return []

        e.loop(0, mr, 1, row)

    def _reduce(self, places: list[Point], layout: Sums) -> list[Value]:
        """Loops over the reduce axes in `k_order`, the innermost unrolled, carrying the sums."""
        e = self.low.emitter
        axes = [axis_of(self.stage, number) for number in self.place.k_order]
        dtype = self.stage.operands[0].expr.dtype
        held = [self._held(lanes) for _, lanes in layout.parts]
        whole = self.machine.lanes
        together = TOGETHER if self.machine.a_form == "lane" else 1
        widths = held[: layout.own] * len(places) + [whole] * (layout.count - layout.own * len(places))
        nothing = [None] * layout.count
        if not axes:
            return self._steps(places, layout, Coord.at(0), None, [0], nothing)
        zeros = [e.constant(0, dtype, lanes) for lanes in widths]
        following = self.n + self.width
        share = Share.of(self.low, self.stage, self.place, places[0], following) if self.place.ahead else None
        straight = len(axes) - 1
        while straight > 1 and prod(axis.extent for axis in axes[straight - 1 :]) <= STRAIGHT:
            straight -= 1

        def level(depth: int, fixed: dict[int, Coord], k: Coord, sums: Sequence[Value]) -> list[Value]:
            axis = axes[depth]

            def inner(i: Coord, carried: Sequence[Value]) -> list[Value]:
                return level(depth + 1, {**fixed, axis.id: i}, k * axis.extent + i, carried)

            if depth < len(axes) - 1:
                if depth < straight:
                    lo, hi = taps_inside(e, self._bounds(axis), places[0], axis)
                    return e.loop(lo, hi, 1, inner, sums, bounds=(0, axis.extent - 1))
                for i in range(axis.extent):
                    sums = inner(Coord.at(i), sums)
                return list(sums)
            here = [Point({**p.coords, **fixed}) for p in places]
            step = self.place.block.unroll if depth == 0 or axis.extent > STRAIGHT else axis.extent

            def run(i: Coord, carried: Sequence[Value | None], steps: int) -> list[Value]:
                if share is not None:
                    share.ask(k * axis.extent + i, steps)
                for at in range(0, steps, together):
                    k_first, count = i + at, range(min(together, steps - at))
                    points = [p.at(axis.id, k_first) for p in here]
                    if at or carried is nothing:
                        e.load_barrier()
                    carried = self._steps(points, layout, k * axis.extent + k_first, axis.id, count, carried)
                return list(carried)

            main, first = axis.extent // step * step, 0
            if len(axes) == len(here) == 1:
                streams = streams_of(axis.extent, layout.count, self.machine)
                first, sums = side_by_side(e, streams, axis.extent, step, sums, lambda i, own: run(i, own, 1))
            if len(axes) == 1 and self.machine.a_form == "lane" and main >= FIRST_APART * step:
                first, sums = step, run(Coord.at(0), nothing, step)
            sums = e.loop(first, main, step, lambda i, carried: run(i, carried, step), sums)
            return run(Coord.at(main), sums, axis.extent - main) if main < axis.extent else list(sums)

        return level(0, {}, Coord.at(0), zeros)

    def _steps(
        self,
        places: list[Point],
        layout: Sums,
        k: Coord,
        axis: int | None,
        steps: Sequence[int],
        sums: Sequence[Value | None],
    ) -> list[Value]:
        """`steps` consecutive k: load the vectors of b, then multiply each column's element of a into the sums, once there are any."""
        e = self.low.emitter
        a = self.stage.operands[0].inlined() if self.pads is None else self.pads.operand
        out, parts = list(sums), layout.parts
        ahead = self._ahead(places, axis, len(steps), a)
        for u in steps:
            start = places[0] if axis is None else places[0].at(axis, places[0].coords[axis] + u)
            vectors = [
                e.widened(self._weights(start, k + u, offset, lanes), self._held(lanes))
                for offset, lanes in parts
            ]
            tail = self._twice(vectors.pop(), parts[-1][1]) if layout.paired else None
            last: Value | None = None
            for r, place in enumerate(places):
                at = place if axis is None else place.at(axis, place.coords[axis] + u)
                scalar = ahead(r, u) if ahead else _splat_reader(e, self.low.evaluate(a, at))
                if tail is not None:
                    # hidden, for LLVM would make the halves of two broadcasts anew from their elements
                    element = e.hidden(scalar(lanes_of(tail)))
                    scalar = _same(element)
                    if r % 2 or r == len(places) - 1:
                        number = layout.number(r, len(vectors))
                        both = element if last is None else e.first_and_second_half(last, element)
                        out[number] = e.muladd(both, tail, out[number])
                    last = None if r % 2 else element
                for v, vector in enumerate(vectors):
                    number = layout.number(r, v)
                    out[number] = e.muladd(scalar(lanes_of(vector)), vector, out[number])
        return out

    def _ahead(
        self, places: list[Point], axis: int | None, steps: int, a: Expr
    ) -> Callable[[int, int], Callable[[int], Value]] | None:
        """For multiply-adds by lane: the elements of a by column and step, from vectors of up to four; None where that does not apply.

        Neighbouring columns of an image's rows read nearly the same elements: then one window of vectors serves them all.
        """
        e = self.low.emitter
        if (
            axis is None
            or self.machine.a_form != "lane"
            or not isinstance(a, Load)
            or a.map[0].coefficient(axis) != 1
        ):
            return None
        pointer, index = self.low.pointers[a.buffer], a.map[0]

        def vectors(place: Point, count: int) -> list[Value]:
            base = coordinate(e, index, place)
            return [
                e.load(e.address(pointer, a.dtype, base + at), a.dtype, lanes)
                for at, lanes in pieces(count, 4)
            ]

        apart = 0 if self.place.col is None else index.coefficient(self.place.col) or 0
        if 0 < apart <= NEAR:
            window = vectors(places[0], apart * (len(places) - 1) + steps)
            return lambda column, step: _lane_reader(e, window, apart * column + step)
        columns = [vectors(place, steps) for place in places]
        return lambda column, step: _lane_reader(e, columns[column], step)

    def _weights(self, point: Point, k: Coord, offset: int, lanes: int) -> Value:
        e, place = self.low.emitter, self.place
        b = self.stage.operands[1].inlined()
        if not place.packed:
            at = point.at(place.lane, self.n + offset).over(place.lane, lanes)
            if self._prefetches and isinstance(b, Load):
                self._ask_for(b, coordinate(e, b.map[0], at) + self.width, offset)
            return self.low.evaluate(b, at)
        assert isinstance(b, Load)
        batch = coordinate(e, packed_batch(self.stage, place), point)
        base = batch * self._depth + self.n * self._depth + k * self.width + offset
        if self._prefetches:
            self._ask_for(b, base + self._depth * self.width, offset)
        return e.load(e.address(self.low.pointers[b.buffer], b.dtype, base), b.dtype, lanes)

    def _ask_for(self, b: Load, element: Coord, offset: int) -> None:
        """Prefetch that element of b, for the vector at an offset of the lane block, once a cache line."""
        if offset % LINE_ELEMENTS == 0:
            e, near = self.low.emitter, 4 * self._depth * self.width <= self.machine.l1_bytes
            e.prefetch(e.address(self.low.pointers[b.buffer], b.dtype, element), near)


def _lane_reader(e: Emitter, vectors: list[Value], element: int) -> Callable[[int], Value]:
    """One element of consecutive vectors of four, in all lanes of a vector."""
    vector, index = vectors[element // 4], element % 4
    return lambda lanes: e.lane(vector, index, lanes) if lanes_of(vector) > 1 else e.splat(vector, lanes)


def _splat_reader(e: Emitter, scalar: Value) -> Callable[[int], Value]:
    return lambda lanes: e.splat(scalar, lanes)


def _same(vector: Value) -> Callable[[int], Value]:
    return lambda _: vector
