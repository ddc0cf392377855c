"""Joint dot: the few outputs of a column in one vector, where sums are so short that adding up the lanes of each would take longer than they do.

    sums[col][n, i] = sum over k of a[col, k + i] * b[n, k + i]        k in steps of a part, i within a part

Every part of a vector belongs to one output, and all of them read the same part of `a`. What is left to add up are the lanes of a part; the
parts of neighbouring columns are then turned, which leaves a vector of columns for each output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from ..emit import Coord, Emitter, Value
from ..expr import Load
from ..index import Axis
from ..kernel import Place
from ..lower_expr import Lowering, Point, coordinate
from ..stage import Stage
from .region import axis_of, free_axes, packed_batch
from .turned import turned_parts

MOST_OUTPUTS = 4
"""Parts of a vector: of more outputs each has too few lanes."""

MOST_STEPS = 8
"""Parts of a sum: weights of all of them stay in registers."""


@dataclass(frozen=True)
class JointDot:
    """All outputs of a column, those of `axes`, the last of them the lanes; `part` lanes belong to each."""

    stage: Stage
    place: Place
    axes: tuple[Axis, ...]
    part: int
    along: Axis
    """The reduce axis through which `a` is read."""

    def points(self, point: Point) -> list[Point]:
        """Where the outputs of a column are, neighbours along the lanes next to each other."""
        where = product(*(range(axis.extent) for axis in self.axes))
        ids = [axis.id for axis in self.axes]
        coords = [dict(zip(ids, map(Coord.at, each), strict=True)) for each in where]
        return [Point({**point.coords, **each}) for each in coords]

    def totals(self, low: Lowering, columns: Sequence[Point]) -> list[Value]:
        """The sums of each output, a lane for each of the `columns`, which are no more than a vector has."""
        e, lanes = low.emitter, low.emitter.target.machine.lanes
        (a, _), parts = (operand.inlined() for operand in self.stage.operands), lanes // self.part
        zero = e.constant(0, a.dtype, lanes)
        sums = [zero] * len(columns)
        for k in range(0, self.along.extent, self.part):
            weights = self._weights(low, columns[0], k)
            for number, column in enumerate(columns):
                at = column.at(self.along.id, Coord.at(k)).over(self.along.id, self.part)
                element = low.evaluate(a, at)
                everywhere = e.shuffled(element, element, [*range(self.part)] * parts)
                sums[number] = e.muladd(everywhere, weights, sums[number])
        sums += [zero] * (lanes - len(columns))
        added = [_added_up(e, sums[i : i + self.part], self.part) for i in range(0, lanes, self.part)]
        totals = turned_parts(e, added, self.part)
        if len(columns) < lanes:
            totals = [e.shuffled(total, total, range(len(columns))) for total in totals]
        return totals[: prod(axis.extent for axis in self.axes)]

    def _weights(self, low: Lowering, point: Point, k: int) -> Value:
        """For each output its part of b from k on; a part that no output has is the last one's again."""
        e, b = low.emitter, self.stage.operands[1].inlined()
        assert isinstance(b, Load)
        pointer, depth, parts = low.pointers[b.buffer], self.along.extent, []
        for at in self.points(point):
            row = coordinate(e, packed_batch(self.stage, self.place), at) + at.coords[self.place.lane]
            parts.append(e.load(e.address(pointer, b.dtype, row * depth + k), b.dtype, self.part))
        parts += parts[-1:] * (e.target.machine.lanes // self.part - len(parts))
        while len(parts) > 1:
            parts = [e.joined(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]


def joint_dot(low: Lowering, stage: Stage, place: Place) -> JointDot | None:
    """How the outputs of `stage` share vectors; None where there are too many of them, or sums too long to gain by it, or of something computed."""
    lanes = low.emitter.target.machine.lanes
    a, axes = stage.operands[0].inlined(), (*free_axes(stage, place), axis_of(stage, place.lane))
    outputs = prod(axis.extent for axis in axes)
    if not isinstance(a, Load) or not 1 < outputs <= MOST_OUTPUTS or len(place.k_order) != 1:
        return None
    step, along = a.map[0].coefficient, axis_of(stage, place.k_order[0])
    part = lanes // (1 << (outputs - 1).bit_length())
    if step(along.id) != 1 or any(step(axis.id) != 0 for axis in axes):
        return None
    short = along.extent % part == 0 and along.extent <= MOST_STEPS * part
    return JointDot(stage, place, axes, part, along) if part > 1 and short else None


def _added_up(e: Emitter, vectors: Sequence[Value], part: int) -> Value:
    """The sums of every part of as many vectors as it has lanes, side by side in that part."""
    if len(vectors) == 1:
        return vectors[0]
    even, odd = (_added_up(e, vectors[at::2], part) for at in (0, 1))
    size = part * 2 // len(vectors)  # lanes that are still to be added up
    lanes, half = e.target.machine.lanes, size // 2
    low = [
        i + start
        for at in range(0, lanes, size)
        for start in (at, lanes + at)
        for i in range(half)
    ]  # fmt: skip
    high = [i + half for i in low]
    return e.builder.fadd(e.shuffled(even, odd, low), e.shuffled(even, odd, high))
