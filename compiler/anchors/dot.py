"""Dot: contractions with few outputs at a position, such as a head with one channel: lanes run along the reduction.

    out[row, col, n] = init[n] + sum over k of a[row, col, k] * b[n, k]

Each column of a block has one vector of partial sums. At the end the vectors of neighbouring columns are added up together, which leaves one vector
with a lane per column, and the epilogue runs on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from ..emit import Coord, Emitter, Value
from ..expr import Load
from ..kernel import Place
from ..lower_expr import Lowering, Point, coordinate
from ..stage import Stage
from .contraction import packed_batch
from .region import Region, axis_of, column_blocks, free_axes, nest, pieces, store_all

STRAIGHT = 4
"""Up to this many vectors of a sum are straight code instead of a loop."""


def emit_dot(low: Lowering, stage: Stage, place: Place, region: Region) -> None:
    """Every output of every block of columns, while the block's input is close."""
    e = low.emitter
    outputs = [*free_axes(stage, place), axis_of(stage, place.lane)]

    def block(point: Point, first: Coord, mr: int) -> None:
        nest(e, outputs, point, lambda at: _block(low, stage, place, at, first, mr))

    column_blocks(e, stage, place, region, region.point, block)


def _block(low: Lowering, stage: Stage, place: Place, point: Point, first: Coord, mr: int) -> None:
    """`mr` columns from `first` on."""
    e, col = low.emitter, place.col
    assert col is not None, "a dot has columns"
    sums = _sums(low, stage, place, [point.at(col, first + r) for r in range(mr)])
    for offset, lanes in pieces(mr, e.target.machine.lanes):
        at = point.at(col, first + offset).over(col, lanes)
        total = _added_up(e, sums[offset : offset + lanes])
        if stage.init is not None:
            total = e.builder.fadd(total, low.evaluate(stage.init, at))
        store_all(low, stage, at, total)


def _sums(low: Lowering, stage: Stage, place: Place, columns: list[Point]) -> list[Value]:
    """A vector of partial sums for every column."""
    e = low.emitter
    lanes = e.target.machine.lanes
    a, b = (operand.inlined() for operand in stage.operands)
    assert isinstance(b, Load)
    *outer, inner = (axis_of(stage, number) for number in place.k_order)
    depth = prod(axis_of(stage, number).extent for number in place.k_order)
    row = coordinate(e, packed_batch(stage, place), columns[0]) + columns[0].coords[place.lane]

    def step(points: list[Point], k: Coord, i: Coord, width: int, sums: Sequence[Value]) -> list[Value]:
        where = row * depth + k * inner.extent + i
        weights = e.widened(e.load(e.address(low.pointers[b.buffer], b.dtype, where), b.dtype, width), lanes)
        elements = (low.evaluate(a, p.at(inner.id, i).over(inner.id, width)) for p in points)
        return [e.muladd(e.widened(x, lanes), weights, s) for x, s in zip(elements, sums, strict=True)]

    def level(number: int, points: list[Point], k: Coord, sums: Sequence[Value]) -> list[Value]:
        if number < len(outer):
            axis = outer[number]

            def each(i: Coord, carried: list[Value]) -> list[Value]:
                return level(number + 1, [p.at(axis.id, i) for p in points], k * axis.extent + i, carried)

            return e.loop(0, axis.extent, 1, each, sums)
        whole = inner.extent // lanes * lanes if inner.extent > STRAIGHT * lanes else 0
        sums = e.loop(0, whole, lanes, lambda i, carried: step(points, k, i, lanes, carried), sums)
        for offset, width in pieces(inner.extent - whole, lanes):
            sums = step(points, k, Coord.at(whole + offset), width, sums)
        return list(sums)

    return level(0, columns, Coord.at(0), [e.constant(0, a.dtype, lanes)] * len(columns))


def _added_up(e: Emitter, vectors: Sequence[Value]) -> Value:
    """A vector whose lane i is the sum of all lanes of vector i: halves are folded onto each other, those of two vectors at a time."""
    lanes = e.target.machine.lanes
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
    lanes = e.target.machine.lanes
    low: list[int] = []
    owners: list[int] = []
    for number, (mine, other) in enumerate(zip(a_owners, b_owners, strict=True)):
        start = number * 2 * half
        low += [*range(start, start + half), *range(lanes + start, lanes + start + half)]
        owners += [mine, other]
    high = [i + half for i in low]
    return e.builder.fadd(e.shuffled(a, b, low), e.shuffled(a, b, high)), owners
