"""Region: the part of a stage's output that an anchor is asked for, and the loops that all anchors share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil

from ..emit import Coord, Emitter, Value
from ..expr import loads
from ..index import Axis, Index
from ..kernel import Place
from ..lower_expr import Loaded, Lowering, Point, split_points
from ..stage import Stage

LINE_ELEMENTS = 16
"""float32 elements of a cache line."""

MOST_SPANS = 4
"""Times that the code of a lane block is written out at most for guards that change along the lanes, in each block of columns that is code of its own; with more changes none of them is cut at."""


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


def store_all(
    low: Lowering, stage: Stage, point: Point, acc: Value | None, loaded: Loaded | None = None
) -> None:
    """Run the epilogue on `acc` at `point` and write every output.

    Where the outputs read more than registers hold, as the 36 elements of Winograd's tiles, those that share no operation follow each other, each is stored as soon as it is there,
    and what several read is loaded again: LLVM would spill it. Not where multiply-adds read a lane, for there a load is an instruction of its own.
    """
    machine = low.emitter.target.machine
    crowded = (
        machine.a_form == "broadcast"
        and bool(stage.read_again)
        and len(loads(*(store.value for store in stage.stores))) > machine.registers
    )
    for stores in stage.independent_stores if crowded else (stage.stores,):
        own = _afresh(low, stage.read_again) if crowded else low
        values = own.written([store.value for store in stores], point, acc, loaded)
        for store, value in zip(stores, values if crowded else [*values], strict=True):
            if value is not None:
                low.store(value, store.value.dtype, store.buffer, store.map[0], point)


def _afresh(low: Lowering, buffers: frozenset[str]) -> Lowering:
    """The same with buffers at addresses which LLVM takes for others, so that it loads from them again."""
    hidden = {name: low.emitter.hidden(low.pointers[name]) for name in sorted(buffers)}
    return replace(low, pointers={**low.pointers, **hidden})


def free_axes(stage: Stage, place: Place) -> list[Axis]:
    """Output axes that neither the unit, nor rows, columns or lanes walk: plain outer loops."""
    taken = {*place.outer, *place.walked, place.row, place.col, place.lane}
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


def row_blocks(
    e: Emitter, axis: Axis, region: Region, height: int, body: Callable[[Coord, int], None]
) -> None:
    """Call ``body(first row, rows)`` for every block of `height` rows of the region, then for each row that is left.

    Regions are whole blocks but for the last one of an extent that is none.
    """
    if height == 1:
        return rows(e, axis, region, lambda y: body(y, 1))

    def block(y: Coord, _: list[Value]) -> list[Value]:
        body(y, height)
        return []

    lo, hi = e.i64(region.row_lo), e.i64(region.row_hi)
    whole = e.builder.mul(e.builder.sdiv(e.builder.sub(hi, lo), e.i64(height)), e.i64(height))
    end = e.builder.add(lo, whole)
    e.loop(lo, end, height, block, bounds=(0, axis.extent - height))
    if axis.extent % height:
        rows(e, axis, replace(region, row_lo=end), lambda y: body(y, 1))


def lane_blocks(
    e: Emitter, stage: Stage, place: Place, region: Region, block: Callable[[Coord, int], None]
) -> None:
    """Call ``block(first lane, lanes)`` for every block of lanes of the region, the last of which may be narrower; by code of its own where a guard changes along them."""
    axis, width = axis_of(stage, place.lane), place.block.width(e.target.machine)
    whole, rest = divmod(axis.extent, width)

    def full(first: Coord, _: list[Value]) -> list[Value]:
        block(first, width)
        return []

    def lanes(blocks: Value | int) -> Value | int:
        return (
            blocks * width if isinstance(blocks, int) else e.builder.mul(blocks, e.i64(width), flags=["nsw"])
        )

    for start, end in pairwise(_lane_cuts(stage, axis, width)):
        first_block = region.lane_lo if start == 0 else e.maximum(region.lane_lo, start)
        end_block = e.minimum(region.lane_hi, end)
        bounds = (start * width, (end - 1) * width)
        e.loop(lanes(first_block), lanes(end_block), width, full, bounds=bounds, align=width)
    if rest:
        tail = Coord.at(whole * width)
        if isinstance(region.lane_hi, int):
            block(tail, rest)
        else:
            e.when(e.builder.icmp_signed(">", region.lane_hi, e.i64(whole)), lambda: block(tail, rest))


def _lane_cuts(stage: Stage, axis: Axis, width: int) -> list[int]:
    """Where to cut the whole blocks of `width` lanes, both ends included: where a guard changes along them, and around a block within which one does.

    Then every guard is decided where the code is made. No cuts at all where that would be too much code.
    """
    whole, exprs = axis.extent // width, [operand.inlined() for operand in stage.operands]
    exprs += [store.value for store in stage.stores]
    if stage.init is not None:
        exprs.append(stage.init)
    edges = split_points(tuple(exprs), axis)
    cuts = {min(near, whole) for at in edges for near in (at // width, ceil(at / width))}
    return sorted(cuts) if len(cuts) <= MOST_SPANS + 1 else [0, whole]


def column_blocks(
    e: Emitter,
    stage: Stage,
    place: Place,
    region: Region,
    point: Point,
    emit: Callable[[Point, Coord, int], None],
    inner: range | None = None,
) -> None:
    """Call ``emit(point, first column, columns)`` for every block of columns: of each row, or where rows are the columns, of the region.

    Of rows, those columns are known when the code is made that are not `inner`; by default all are.
    """
    assert place.col is not None
    extent = axis_of(stage, place.col).extent
    if place.row == place.col:
        return _region_blocks(e, extent, place.block.mr, region, lambda first, mr: emit(point, first, mr))
    inner = range(extent) if inner is None else inner

    def line(y: Coord) -> None:
        at = point.at(place.row, y)
        edge_blocks(e, extent, place.block.mr, inner, lambda first, mr: emit(at, first, mr))

    rows(e, axis_of(stage, place.row), region, line)


def _region_blocks(
    e: Emitter, extent: int, size: int, region: Region, block: Callable[[Coord, int], None]
) -> None:
    """Call ``block(first, columns)`` for the blocks of the region, whose rows are blocks of the `extent` columns."""
    count, large, size = balanced(extent, size)

    def big(number: Coord, _: list[Value]) -> list[Value]:
        block(number * size, size)
        return []

    def small(number: Coord, _: list[Value]) -> list[Value]:
        block(number * (size - 1) + large, size - 1)
        return []

    e.loop(region.row_lo, e.minimum(region.row_hi, large), 1, big, bounds=(0, large - 1))
    if size > 1 and count > large:
        e.loop(e.maximum(region.row_lo, large), region.row_hi, 1, small, bounds=(large, count - 1))


def edge_blocks(
    e: Emitter, extent: int, size: int, inner: range, block: Callable[[Coord, int], None]
) -> None:
    """Call ``block(first, columns)`` for blocks of at most `size` of `extent` columns: those with a column outside `inner` are code of their own, those between
    them a loop."""
    count, large, size = balanced(extent, size)
    starts = [number * size - max(0, number - large) for number in range(count + 1)]
    whole = [n for n in range(count) if inner.start <= starts[n] and starts[n + 1] <= inner.stop]
    first, last = (whole[0], whole[-1] + 1) if whole else (count, count)

    def static(numbers: range) -> None:
        for number in numbers:
            block(Coord.at(starts[number]), starts[number + 1] - starts[number])

    def looped(begin: int, end: int, width: int, shift: int) -> None:
        """Blocks of one width, block number times width plus a shift."""

        def step(number: Coord, _: list[Value]) -> list[Value]:
            block((number * width + shift).within(starts[begin], starts[end - 1]), width)
            return []

        if begin < end:
            e.loop(begin, end, 1, step)

    static(range(first))
    looped(first, min(last, large), size, 0)
    looped(max(first, large), last, size - 1, large)
    static(range(last, count))


def columns_inside(extent: int, inside: Callable[[Coord], bool]) -> range:
    """From the first to the last of so many columns of which all taps are inside the input, as `inside` says; an empty range at the end where none are."""
    good = [c for c in range(extent) if inside(Coord.at(c))]
    return range(good[0], good[-1] + 1) if good else range(extent, extent)


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


def packed_batch(stage: Stage, place: Place) -> Index:
    """How many lanes of packed weights lie before those of the current batch axes: the groups of a grouped convolution."""
    lanes = axis_of(stage, place.lane).extent
    total = Index(0)
    for axis in batch_axes(stage, place):
        total = total * axis.extent + Index.of(axis)
    return total * lanes


def batch_axes(stage: Stage, place: Place) -> list[Axis]:
    """Output axes besides the lanes that operand 1 varies along: groups, and the phases of a transposed convolution."""
    used = frozenset().union(*(i.axes for load in loads(stage.operands[1].inlined()) for i in load.map))
    return [axis for axis in stage.axes if axis.id in used and axis.id != place.lane]


def in_window(stage: Stage, place: Place, axis: Axis) -> bool:
    """Whether a reduce axis steps through a window of operand 0, and not through its channels, those of a group or all."""
    groups = {axis.id for axis in batch_axes(stage, place)}
    return any(axis.id in index.axes and len(index.axes - groups) > 1 for index in stage.operands[0].map)
