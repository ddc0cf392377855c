"""Pads: zeros around the input of a convolution of few channels, left out of its sums, so that no copy has to hold them.

Of a row at the edge only the taps inside are summed; columns at the edges are known when the code is made. Loops over taps are shortened alike by what
else a stage's support leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod

from ..emit import Coord, Emitter, Value
from ..expr import Const, Expr, Guard
from ..index import Axis, Bound
from ..kernel import Place
from ..lower_expr import Point, bound_verdict, coordinate
from ..stage import Stage
from ..target import Machine
from .region import axis_of, columns_inside, in_window

FEW_CHANNELS = 4
"""Of more channels the sums are worth a copy: LLVM makes branches of the test whether a tap at an edge is inside, and spills in a loop over channels."""


@dataclass(frozen=True)
class Pads:
    """The pads of operand 0."""

    operand: Expr
    """Operand 0 without its bounds on rows."""
    rows: tuple[Bound, ...]
    columns: tuple[Bound, ...]
    tap: int | None
    """The reduce axis along rows, which has to be the outermost; None where rows have no pads."""

    def inner_columns(self, e: Emitter, stage: Stage, place: Place) -> range | None:
        """The columns whose taps are all inside; None where no column has others."""
        col = place.col
        if col is None or not self.columns:
            return None
        taps = {a.id: Coord(0, (), 0, a.extent - 1) for a in stage.reduce}

        def inside(column: Coord) -> bool:
            return all(bound_verdict(e, bound, Point({col: column, **taps})) for bound in self.columns)

        return columns_inside(axis_of(stage, col).extent, inside)


def bounds_on(stage: Stage, place: Place, tap: Axis) -> tuple[Bound, ...]:
    """The bounds of the stage's support that say which steps of the reduce axis `tap` a register block can leave out, the same for all of its columns."""
    inner = {axis.id for axis in stage.reduce if axis is not tap} | {place.lane, place.col}
    return tuple(b for b in stage.support if b.index.coefficient(tap.id) and not b.index.axes & inner)


def taps_inside(
    e: Emitter, bounds: Iterable[Bound], point: Point, tap: Axis
) -> tuple[Value | int, Value | int]:
    """First and end of the steps of `tap` that are inside, seen from `point`."""
    lo: Value | int = 0
    hi: Value | int = tap.extent
    for bound in bounds:
        first, end = (coordinate(e, index, point) for index in bound.ends(tap))
        lo = e.maximum(lo, first.const if first.static else e.materialise(first))
        hi = e.minimum(hi, end.const if end.static else e.materialise(end))
    return lo, hi


def pads_of(stage: Stage, place: Place, machine: Machine) -> Pads | None:
    """The pads that a contraction of few channels can leave out: around rows and columns, of a window that is not dilated along rows.

    Not where multiply-adds read a lane: elements are loaded as vectors there, which could lie across an edge.
    """
    if stage.anchor != "contraction" or machine.a_form == "lane" or place.row == place.col:
        return None
    a = stage.operands[0].inlined()
    if not (isinstance(a, Guard) and isinstance(a.outside, Const) and a.outside.value == 0):
        return None
    if prod(axis.extent for axis in stage.reduce if not in_window(stage, place, axis)) > FEW_CHANNELS:
        return None
    reduce = {axis.id for axis in stage.reduce}
    rows = tuple(bound for bound in a.box if place.row in bound.index.axes)
    columns = tuple(bound for bound in a.box if bound not in rows)
    if any(place.col not in bound.index.axes or bound.index.axes - {place.col} - reduce for bound in columns):
        return None
    if not rows:
        return Pads(a, rows, columns, None)
    taps = {axis for bound in rows for axis in bound.index.axes} & reduce
    if len(taps) != 1 or len(reduce) == 1:  # under the loop over these taps is another one
        return None
    (tap,) = taps
    plain = all(
        bound.index.axes == {place.row, tap}
        and bound.index.coefficient(tap) == 1
        and bound.index.coefficient(place.row) is not None
        for bound in rows
    )
    return Pads(replace(a, box=columns) if columns else a.inside, rows, columns, tap) if plain else None
