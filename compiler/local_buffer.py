"""Local buffers: what an anchor cannot read in place becomes rows in memory of the thread's own.

A *panel* is a prologue, guards and all, evaluated once per element for the rows of one tile. A *ring* keeps the rows of a sliding window: of a
prologue whose rows neighbouring tiles share, or of an earlier anchor of the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod

from .anchors.region import axis_of
from .expr import Const, Guard, Load, substitute
from .flatten import map_exprs, merge_axes
from .index import Axis, Index, flatten
from .kernel import TILE, Halo, Local, Place
from .schedule import Choose, addresses, out_stride, place_stage, schedule_stage
from .stage import Operand, Stage, Store

MANY_CHANNELS = 8
"""From here on a panel's channels are worth storing side by side."""


@dataclass(frozen=True)
class Made:
    """A stage that fills a local buffer, and the operand that reads it."""

    stage: Stage
    place: Place
    local: Local
    operand: Operand


def _own_row(operand: Operand, place: Place) -> Axis:
    """The operand's axis along which its consumer's rows move."""
    return next(
        axis for axis, index in zip(operand.axes, operand.map, strict=True) if place.row in index.axes
    )


def _window_rows(operand: Operand, place: Place, tile: int, row: Axis) -> tuple[int, bool]:
    """(rows that a tile reads, whether tiles share some)."""
    index = operand.map[operand.axes.index(row)]
    scale = index.coefficient(place.row) or 0
    rest = index.without(place.row).range[1] - index.const
    return (tile - 1) * scale + rest + 1, 0 < scale <= rest


def make_panel(
    name: str, operand: Operand, stage: Stage, place: Place, tile: int, choose: Choose, is_root: bool
) -> Made:
    """A pointwise stage that evaluates the operand, guards and prologue included, into rows of a local buffer.

    Those for a stage before the root are a ring: that stage runs on from where it was, not from the tile's first row.
    """
    outer = frozenset(place.outer)
    fixed = tuple(a.id for a, i in zip(operand.axes, operand.map, strict=True) if i.axes and i.axes <= outer)
    if not any(place.row in index.axes for index in operand.map):  # the same for every row: one row holds it
        row = Axis(-5, 1)
        operand = replace(operand, axes=(*operand.axes, row), map=(*operand.map, Index(0)))
    else:
        row = _own_row(operand, place)
    tile_rows = tile * place.block.mr if place.row == place.col else tile
    rows, shared = _window_rows(operand, place, min(tile_rows, axis_of(stage, place.row).extent), row)
    shared = shared or not is_root
    if shared and rows < row.extent:
        rows = 1 << (rows - 1).bit_length()  # a row's place is found in the loops over taps: by a mask
    inner = _panel_order(
        operand, stage, place, [a for a in operand.axes if a.id not in fixed and a is not row]
    )
    row_size = prod(a.extent for a in inner)
    address = flatten(tuple(Index.of(a) for a in inner), tuple(a.extent for a in inner))
    if shared:
        address = address + (Index.of(row) % rows) * row_size
    else:
        index = operand.map[operand.axes.index(row)]
        scale = index.coefficient(place.row)
        assert scale is not None, "rows of a panel are plain multiples of the root's"
        first = Index.of(TILE) * scale + index.without(place.row).range[0]
        address = address + Index.of(row) * row_size + first * -row_size
    local = Local(name, operand.expr.dtype, rows * row_size, "ring" if shared else "panel")
    axes = tuple(a for a in operand.axes if a.extent > 1)
    made = Stage("pointwise", axes, (), "sum", (), None, (Store(operand.expr, name, (address,)),))
    made = merge_axes(made, frozenset(), frozenset({row.id, *fixed}))
    if row.extent == 1:
        made = replace(made, axes=(*made.axes, row))
    halo = Halo(0, 0, row.extent, 1, row_size, 0.0, Index(0))
    lane = next((a.id for a in made.axes if out_stride(made, a.id) == 1), row.id)
    made_place = replace(
        place_stage(made, choose, False)[1], outer=fixed, row=row.id, lane=lane, local=name, halo=halo
    )
    return Made(made, made_place, local, replace(operand, expr=Load(operand.expr.dtype, name, (address,))))


def _panel_order(operand: Operand, stage: Stage, place: Place, axes: list[Axis]) -> list[Axis]:
    """A row's axes, outermost first: as its source has them, but for those that the anchor wants adjacent.

    Those are its lanes, or the channels that a contraction sums over where they are many: few are read as they come.
    """
    source = addresses(operand.expr)
    axes = sorted(
        (a for a in axes if a.extent > 1),
        key=lambda a: -(source[0].map[0].coefficient(a.id) or 0) if source else 0,
    )
    index_of = dict(zip(operand.axes, operand.map, strict=True))
    adjacent = [a for a in axes if place.lane in index_of[a].axes]
    if not adjacent:
        summed = [Index.of(a) for a in stage.reduce if a.extent >= MANY_CHANNELS]
        adjacent = [a for a in axes if index_of[a] in summed]
    return sorted(axes, key=lambda a: a in adjacent)


@dataclass(frozen=True)
class Inner:
    """A stage of a group, over axes of its own.

    `flat` has flat addresses, as if all that it reads lay in memory; what other stages of the band leave for it still has logical
    coordinates in `logical`.
    """

    flat: Stage
    logical: Stage


def make_ring(
    name: str,
    inner: Inner,
    operand: Operand,
    place: Place,
    tile: int,
    choose: Choose,
    constants: frozenset[str],
) -> tuple[Made, Stage, int]:
    """An anchor of the group computed in bands: its rows go to a ring with the halo that its consumer expects around them.

    Returned with it are its stage in `logical` form over the same axes, and how many of its rows a tile of the root needs.
    """
    expr = operand.expr
    fill = 0.0
    if isinstance(expr, Guard):
        assert isinstance(expr.outside, Const)
        fill, expr = float(expr.outside.value), expr.inside
    assert isinstance(expr, Load), "a band is read in place"
    _, channel, row, col = operand.axes
    top, left = -expr.map[2].const, -expr.map[3].const
    made_axes = _output_axes(inner.logical)
    cols, depth = max(col.extent, left + made_axes[3].extent), channel.extent
    rows, _ = _window_rows(operand, place, tile, row)
    address = (Index.of(row) % rows) * (cols * depth) + Index.of(col) * depth + Index.of(channel)
    local = Local(name, expr.dtype, rows * cols * depth, "ring")
    halo_rows, halo_cols, element = Axis(0, max(2, row.extent)), Axis(1, cols + 1), Axis(2, depth + 1)
    halo_address = (
        (Index.of(halo_rows) % rows) * (cols * depth) + Index.of(halo_cols) * depth + Index.of(element)
    )
    halo = Halo(top, left, row.extent, cols, depth, fill, halo_address)
    # the producer's output axes take the consumer's numbers, so that rows are rows on both sides
    own = {axis.id: other for axis, other in zip(made_axes, operand.axes, strict=True)}
    flat, logical = (_with_axes(stage, own) for stage in (inner.flat, inner.logical))
    shifted = {axis.id: Index.of(axis) for axis in flat.axes}
    for axis, shift in ((row, top), (col, left)):
        shifted[axis.id] = Index.of(replace(axis, extent=inner_extent(flat, axis))) + shift
    store = Store(flat.stores[0].value, name, (address.substitute(shifted),))
    fixed = {row.id} if flat == logical else {axis.id for axis in flat.axes}
    stage, made = schedule_stage(replace(flat, stores=(store,)), choose, constants, row.id, frozenset(fixed))
    assert made.row == row.id and not made.outer, "rows of a band are rows of all its stages"
    made = replace(made, local=name, halo=halo)
    reader = replace(operand, expr=Load(expr.dtype, name, (address,)))
    return Made(stage, made, local, reader), logical, rows


def _with_axes(stage: Stage, own: Mapping[int, Axis]) -> Stage:
    """The stage with its output axes renumbered as those of `own`; the operands' own axes are numbered apart from them."""
    mapping = {
        axis.id: Index.of(replace(own[axis.id], extent=axis.extent) if axis.id in own else axis)
        for axis in stage.axes + stage.reduce
    }
    renamed = map_exprs(stage, lambda e: substitute(e, mapping))
    first = max(axis.id for axis in own.values()) + 1
    return replace(
        renamed,
        axes=tuple(replace(own[a.id], extent=a.extent) if a.id in own else a for a in stage.axes),
        operands=tuple(_renamed_operand(o, mapping, first) for o in stage.operands),
        support=tuple(bound.substitute(mapping) for bound in stage.support),
    )


def inner_extent(stage: Stage, axis: Axis) -> int:
    """How far the stage itself runs along an axis."""
    return next((a.extent for a in stage.axes if a.id == axis.id), 1)


def _output_axes(stage: Stage) -> list[Axis]:
    """The axes of the first output, one per logical dimension of its value."""
    found: list[Axis] = []
    for number, index in enumerate(stage.stores[0].map):
        found.append(_axis_in(index, Axis(-100 - number, 1)))
    return found


def _renamed_operand(operand: Operand, mapping: Mapping[int, Index], first: int) -> Operand:
    """A plain operand's axes are the stage's own: they are renamed with them. A window's own axes are numbered from `first` on."""
    where = tuple(index.substitute(mapping) for index in operand.map)
    if all(Index.of(axis) == index for axis, index in zip(operand.axes, operand.map, strict=True)):
        axes = tuple(_axis_in(index, axis) for axis, index in zip(operand.axes, where, strict=True))
        return Operand(axes, substitute(operand.expr, mapping), where)
    axes = tuple(replace(axis, id=first + number) for number, axis in enumerate(operand.axes))
    own = {old.id: Index.of(new) for old, new in zip(operand.axes, axes, strict=True)}
    return Operand(axes, substitute(operand.expr, own), where)


def _axis_in(index: Index, default: Axis) -> Axis:
    return next((t.inner for t in index.terms if isinstance(t.inner, Axis)), default)
