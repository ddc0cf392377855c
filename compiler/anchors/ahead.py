"""Ahead: a contraction asks for the weights of its next lane block while those of this one are used again and again.

Weights were last used an inference ago and come from beyond the second-level cache. One block of columns that asked for all of them would wait, for memory
answers slower than it asks. So every block of columns asks for its share, a little with each step of its sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod

from ..emit import Coord
from ..expr import Load
from ..index import Index
from ..kernel import TILE, Place
from ..lower_expr import Lowering, Point, coordinate
from ..stage import Stage
from ..target import Machine
from .region import LINE_ELEMENTS, axis_of, balanced, batch_axes, packed_batch

MOST_COLUMNS = 512
"""Of a unit. With more, asking takes as long as the wait for weights that it saves."""


def elements_ahead(stage: Stage, place: Place, machine: Machine, rows: int) -> int:
    """`Place.ahead` where a unit has so many rows, or so many blocks of columns if these are its rows.

    0 for weights that stay in the caches, that nobody packed, or that one block of columns uses alone.
    """
    if stage.anchor != "contraction" or not (place.packed and place.k_order):
        return 0
    if not _gains(stage, place, machine):
        return 0
    assert place.col is not None
    columns, depth, width = axis_of(stage, place.col).extent, _depth(stage), place.block.width(machine)
    _, _, size = balanced(columns, place.block.mr)
    visited = min(columns, rows * size) if place.row == place.col else rows * columns
    lanes = _packed_lanes(stage, place)
    stays = lanes <= width or 4 * lanes * depth <= machine.l2_bytes // 8
    return 0 if stays or not size < visited <= MOST_COLUMNS else ceil(depth * width / visited)


def asks_with_its_own(stage: Stage, place: Place, machine: Machine) -> bool:
    """Whether every block of columns asks for the whole of the next lane block, as it reads its own: where it takes no share, and the L2 does not hold all of the operand."""
    b = stage.operands[1].inlined()
    if place.ahead or not _gains(stage, place, machine) or not isinstance(b, Load):
        return False
    if not place.packed and b.map[0].coefficient(place.lane) != 1:
        return False
    lanes = _packed_lanes(stage, place) if place.packed else axis_of(stage, place.lane).extent
    return 4 * _depth(stage) * lanes > machine.l2_bytes


def _gains(stage: Stage, place: Place, machine: Machine) -> bool:
    """Whether several blocks of columns use a lane block, and the cache has room for two of these."""
    if place.col is None or machine.a_form != "broadcast":
        return False
    block = 4 * _depth(stage) * place.block.width(machine)
    return axis_of(stage, place.col).extent > place.block.mr and block <= machine.l2_bytes // 4


def _packed_lanes(stage: Stage, place: Place) -> int:
    """Lanes of all batches, such as groups: packed weights follow each other through them."""
    return axis_of(stage, place.lane).extent * prod(axis.extent for axis in batch_axes(stage, place))


def _depth(stage: Stage) -> int:
    return prod(axis.extent for axis in stage.reduce)


@dataclass(frozen=True)
class Share:
    """What a block of columns asks for, of packed weights. Steps that its sums leave out, as over pads, ask for nothing."""

    low: Lowering
    buffer: str
    dtype: str
    first: Coord
    """The element asked for in the first step."""
    pace: int
    """Elements a step."""

    @staticmethod
    def of(low: Lowering, stage: Stage, place: Place, point: Point, lane: Coord) -> Share:
        """The share of the block that begins at `point`; the next lane block begins with `lane`."""
        b, depth = stage.operands[1].inlined(), _depth(stage)
        assert isinstance(b, Load) and place.col is not None
        rows, columns = axis_of(stage, place.row), axis_of(stage, place.col)
        before = Index.of(rows) + Index.of(TILE) * -1
        if rows != columns:
            before = before * columns.extent + Index.of(columns)
        _, _, most = balanced(columns.extent, place.block.mr)
        batch = coordinate(low.emitter, packed_batch(stage, place), point)
        first = (batch + lane) * depth + coordinate(low.emitter, before, point) * place.ahead
        return Share(low, b.buffer, b.dtype, first, ceil(place.ahead * most / depth))

    def ask(self, step: Coord, steps: int) -> None:
        """For what belongs to so many steps of the reduction from `step` on."""
        e = self.low.emitter
        for at in range(0, steps * self.pace, LINE_ELEMENTS):
            element = self.first + step * self.pace + at
            e.prefetch(e.address(self.low.pointers[self.buffer], self.dtype, element), near=False)
