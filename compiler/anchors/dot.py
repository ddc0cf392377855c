"""Dot: contractions with few outputs at a position, such as a head with one channel: lanes run along the reduction.

    out[row, col, n] = init[n] + sum over k of a[row, col, k] * b[n, k]

Lanes go on from the channels of one tap to those of the next where these follow each other in memory. Each column of a block has one vector of partial sums. At the end the vectors of neighbouring columns are added up together, which leaves one vector
with a lane per column, and the epilogue runs on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..emit import Coord, Emitter, Value, lanes_of
from ..expr import Load
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point, coordinate
from ..stage import Stage
from .joint_dot import JointDot, joint_dot
from .region import Region, axis_of, column_blocks, free_axes, nest, packed_batch, pieces, store_all

STRAIGHT = 8
"""Up to this many vectors of a sum are straight code instead of a loop."""


def emit_dot(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Every output of every block of columns, while the block's input is close."""
    e, lane, col = low.emitter, axis_of(stage, place.lane), place.col
    assert col is not None, "a dot has columns"
    addresses = [store.map[0] for store in stage.stores]
    joined = all(side_by_side(lane.extent, a.coefficient(col), a.coefficient(lane.id)) for a in addresses)
    beside = lane.extent if joined else 1
    outputs = [*free_axes(stage, place), *([lane] if beside == 1 else [])]
    joint = joint_dot(low, stage, place)

    def block(point: Point, first: Coord, mr: int) -> None:
        if joint is not None:
            return _joint_block(low, joint, point, first, mr, beside)
        nest(e, outputs, point, lambda at: _block(low, stage, place, at, first, mr, beside))

    column_blocks(e, stage, place, region, region.point, block)


def side_by_side(outputs: int, column_step: int | None, output_step: int | None) -> bool:
    """Whether the numbers of neighbouring columns lie side by side, all of a column, then all of the next, as many as a power of two."""
    return outputs.bit_count() == 1 < outputs and (column_step, output_step) == (outputs, 1)


def _block(
    low: Lowering, stage: Stage, place: Place, point: Point, first: Coord, mr: int, beside: int
) -> None:
    """`mr` columns from `first` on: one output of each, or so many that lie side by side."""
    e, col = low.emitter, place.col
    assert col is not None, "a dot has columns"
    points = [point.at(place.lane, Coord.at(n)) for n in range(beside)] if beside > 1 else [point]
    sums = [_sums(low, stage, place, [p.at(col, first + r) for r in range(mr)]) for p in points]
    for offset, lanes in pieces(mr, e.target.machine.lanes):
        places = [p.at(col, first + offset).over(col, lanes) for p in points]
        totals = [_added_up(e, each[offset : offset + lanes]) for each in sums]
        _store_totals(low, stage, places, totals, beside)


def _joint_block(low: Lowering, joint: JointDot, point: Point, first: Coord, mr: int, beside: int) -> None:
    """`mr` columns from `first` on: all outputs of each."""
    col = joint.place.col
    assert col is not None, "a dot has columns"
    points = joint.points(point)
    for offset, lanes in pieces(mr, low.emitter.target.machine.lanes):
        totals = joint.totals(low, [points[0].at(col, first + (offset + r)) for r in range(lanes)])
        places = [p.at(col, first + offset).over(col, lanes) for p in points]
        for at in range(0, len(points), beside):
            _store_totals(low, joint.stage, places[at : at + beside], totals[at : at + beside], beside)


def _store_totals(low: Lowering, stage: Stage, places: list[Point], totals: list[Value], beside: int) -> None:
    """The bias and the epilogue on a vector of columns for each output, of which so many lie side by side."""
    if stage.init is not None:
        init, add = stage.init, low.emitter.builder.fadd
        totals = [add(total, low.evaluate(init, p)) for total, p in zip(totals, places, strict=True)]
    if beside > 1 and places[0].lanes > 1:
        return _store_beside(low, stage, places, totals)
    for at, total in zip(places, totals, strict=True):
        store_all(low, stage, at, total)


def _store_beside(low: Lowering, stage: Stage, places: list[Point], totals: list[Value]) -> None:
    """The epilogue on a vector of columns for each of the outputs, and the results side by side."""
    e, values = low.emitter, [store.value for store in stage.stores]
    written = [[*low.written(values, at, total)] for at, total in zip(places, totals, strict=True)]
    for number, store in enumerate(stage.stores):
        vectors = [value for each in written if (value := each[number]) is not None]
        assert len(vectors) == len(places), "a dot stores all of its outputs"
        first = coordinate(e, store.map[0], places[0])
        for at, vector in enumerate(_interleaved(e, vectors)):
            where = first + at * places[0].lanes
            e.store(
                vector, e.address(low.pointers[store.buffer], store.value.dtype, where), store.value.dtype
            )


def _interleaved(e: Emitter, vectors: Sequence[Value]) -> list[Value]:
    """The first elements of all vectors, then the second ones and so on, in vectors of the same width; there are a power of two of them."""
    if len(vectors) == 1:
        return [*vectors]
    half, width = len(vectors) // 2, lanes_of(vectors[0])
    order = [i // 2 + width * (i % 2) for i in range(2 * width)]
    pairs = list(zip(vectors[:half], vectors[half:], strict=True))
    return [
        *_interleaved(e, [e.shuffled(a, b, order[:width]) for a, b in pairs]),
        *_interleaved(e, [e.shuffled(a, b, order[width:]) for a, b in pairs]),
    ]


def _sums(low: Lowering, stage: Stage, place: Place, columns: list[Point]) -> list[Value]:
    """A vector of partial sums for every column."""
    e = low.emitter
    lanes = place.block.machine(e.target.machine).lanes
    a, b = (operand.inlined() for operand in stage.operands)
    assert isinstance(b, Load)
    outer, run = runs_of(stage, place)
    # the last axis of a run counts through all of it, from where the others are 0
    inner, along = run[-1].id, prod(axis.extent for axis in run)
    starts = [Point({**p.coords, **{axis.id: Coord.at(0) for axis in run}}) for p in columns]
    depth = prod(axis_of(stage, number).extent for number in place.k_order)
    row = coordinate(e, packed_batch(stage, place), columns[0]) + columns[0].coords[place.lane]

    def step(points: list[Point], k: Coord, i: Coord, width: int, sums: Sequence[Value]) -> list[Value]:
        where = row * depth + k * along + i
        weights = e.widened(e.load(e.address(low.pointers[b.buffer], b.dtype, where), b.dtype, width), lanes)
        elements = (low.evaluate(a, p.at(inner, i).over(inner, width)) for p in points)
        return [e.muladd(e.widened(x, lanes), weights, s) for x, s in zip(elements, sums, strict=True)]

    def level(number: int, points: list[Point], k: Coord, sums: Sequence[Value]) -> list[Value]:
        if number < len(outer):
            axis = outer[number]

            def each(i: Coord, carried: list[Value]) -> list[Value]:
                return level(number + 1, [p.at(axis.id, i) for p in points], k * axis.extent + i, carried)

            return e.loop(0, axis.extent, 1, each, sums)
        whole = along // lanes * lanes if along > STRAIGHT * lanes else 0
        sums = e.loop(0, whole, lanes, lambda i, carried: step(points, k, i, lanes, carried), sums)
        for offset, width in pieces(along - whole, lanes):
            if width < lanes:  # loaded anew, not cut out of a vector that another column would have to keep
                e.load_barrier()
            sums = step(points, k, Coord.at(whole + offset), width, sums)
        return list(sums)

    return level(0, starts, Coord.at(0), [e.constant(0, a.dtype, lanes)] * len(columns))


def runs_of(stage: Stage, place: Place) -> tuple[list[Axis], list[Axis]]:
    """Reduce axes to loop over, and those, outermost first, along which one element follows the other: channels, and the columns of a window around them."""
    outer = [axis_of(stage, number) for number in place.k_order]
    a, run = stage.operands[0].inlined(), [outer.pop()]
    if isinstance(a, Load) and a.map[0].coefficient(run[-1].id) == 1:
        while outer and a.map[0].coefficient(outer[-1].id) == prod(axis.extent for axis in run):
            run.insert(0, outer.pop())
    return outer, run


def _added_up(e: Emitter, vectors: Sequence[Value]) -> Value:
    """A vector whose lane i is the sum of all lanes of vector i: halves are folded onto each other, those of two vectors at a time."""
    lanes = lanes_of(vectors[0])
    if len(vectors) > lanes:  # of half a register, for a block as wide as a whole one
        assert len(vectors) <= 2 * lanes
        return e.joined(_added_up(e, vectors[:lanes]), _added_up(e, vectors[lanes:]))
    zero = e.constant(0, "float32", lanes)
    # each entry: a vector, and for its parts of equal size the number of the vector that they belong to
    parts = [(v, [i]) for i, v in enumerate([*vectors, *[zero] * (lanes - len(vectors))])]
    size = lanes
    while size > 1:
        half = size // 2
        parts = [
            _folded(e, *left, *right, half)
            for left, right in zip(parts[: len(parts) // 2], parts[len(parts) // 2 :], strict=True)
        ]
        size = half
    ((total, owners),) = parts
    return e.shuffled(total, total, [owners.index(i) for i in range(len(vectors))])


def _folded(
    e: Emitter, a: Value, a_owners: list[int], b: Value, b_owners: list[int], half: int
) -> tuple[Value, list[int]]:
    """Two vectors with the halves of their parts added: each part shrinks to `half` lanes, which leaves room for the parts of the other."""
    lanes = lanes_of(a)
    low: list[int] = []
    owners: list[int] = []
    for number, (mine, other) in enumerate(zip(a_owners, b_owners, strict=True)):
        start = number * 2 * half
        low += [*range(start, start + half), *range(lanes + start, lanes + start + half)]
        owners += [mine, other]
    high = [i + half for i in low]
    return e.builder.fadd(e.shuffled(a, b, low), e.shuffled(a, b, high)), owners
