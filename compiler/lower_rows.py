"""Row group to Kernel: every stage computes the rows of one tile, into panels that later stages read.

Rows along several axes are fixed by the unit but for the innermost. Those of a product are its columns, all axes together: its register blocks want
more of them than a small map has along one axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, lcm, prod

from .anchors.ahead import elements_ahead
from .anchors.region import balanced
from .anchors.turned import rows_together
from .expr import Expr, Load, Lookup, rewrite
from .flatten import Layout, dense, flatten_stage, inline_plain_operands, map_exprs, merge_shared
from .graph import Type, item_bytes
from .index import Axis, Index
from .kernel import TILE, Local, Place, Schedule
from .lowered import Lowered, canonical
from .schedule import Choose, schedule_stage
from .stage import Group, Stage, Store
from .target import Machine, Target


@dataclass(frozen=True)
class _Panel:
    """Where stages leave a value for later ones: as if all its rows were stored, until `_relative` to the tile in progress."""

    local: str
    dtype: str
    layout: Layout
    row_size: int
    """Elements of one row."""


def lower_rows(
    group: Group,
    layouts: Mapping[str, Layout],
    types: Mapping[str, Type],
    constants: frozenset[str],
    target: Target,
    threads: int,
    choose: Choose,
) -> Lowered:
    """The scheduled kernel of a group of rows; every value that it touches has a layout."""
    machine = target.machine
    panels = _panels(group, layouts, types)
    known = {name: Layout(layout.strides) for name, layout in layouts.items()}
    known |= {panel.local: panel.layout for panel in panels.values()}
    stages = [
        inline_plain_operands(flatten_stage(_through_panels(stage, panels, group), known))
        for stage in group.stages
    ]
    scheduled, rows, size = (
        _walked_as_one(stages, panels, group.rows, choose, constants, threads)
        if any(stage.anchor == "contraction" for stage in stages)
        else _outer_rows_fixed(stages, panels, group.rows, choose, constants)
    )
    earlier = [replace(place, local=stage.stores[0].buffer) for stage, place in scheduled[:-1]]
    places = (*earlier, scheduled[-1][1])
    vector = lcm(*(_together(stage, place, machine) for stage, place in scheduled))
    row_bytes = size * sum(panel.row_size * item_bytes(panel.dtype) for panel in panels.values())
    streamed = sum(
        4 * types[load.buffer].size
        for stage in stages
        for load in stage.loads()
        if load.buffer in constants and stage.anchor == "contraction"
    )
    tile = _tile(rows, row_bytes, streamed, vector, machine, threads)
    places = tuple(
        replace(place, ahead=elements_ahead(stage, place, machine, tile))
        for (stage, _), place in zip(scheduled, places, strict=True)
    )
    units = prod(axis.extent for axis in rows[:-1]) * ceil(rows[-1].extent / tile)
    locals_ = [
        Local(panel.local, panel.dtype, tile * size * panel.row_size, "panel") for panel in panels.values()
    ]
    return canonical(
        [stage for stage, _ in scheduled],
        places,
        locals_,
        Schedule(places, tile, units),
        layouts,
        types,
        target,
    )


_Scheduled = tuple[list[tuple[Stage, Place]], Sequence[Axis], int]
"""Stages with their places, the axes whose last one units cut into tiles, and rows of a step along it."""


def _outer_rows_fixed(
    stages: Sequence[Stage],
    panels: Mapping[str, _Panel],
    rows: Sequence[Axis],
    choose: Choose,
    constants: frozenset[str],
) -> _Scheduled:
    """A unit is a tile of the innermost row axis."""
    merged, left = merge_shared(stages, rows, constants)
    outer = frozenset(axis.id for axis in left[:-1])
    placed = [
        schedule_stage(_relative(stage, panels, outer), choose, constants, rows=left) for stage in merged
    ]
    return placed, left, 1


def _walked_as_one(
    stages: Sequence[Stage],
    panels: Mapping[str, _Panel],
    rows: Sequence[Axis],
    choose: Choose,
    constants: frozenset[str],
    threads: int,
) -> _Scheduled:
    """A unit is a tile of the rows along all axes together, in blocks of the product's columns."""
    placed, counted, size = [], Axis(0, 1), 1
    for stage in stages:
        (stage,), left = merge_shared([stage], rows, constants)
        stage, place = schedule_stage(_relative(stage, panels, frozenset()), choose, constants, rows=left)
        if place.row == place.col:  # a product
            block = place.block
            mr = min(block.mr, ceil(left[0].extent / threads))  # every thread has blocks of its own
            # Its steps are all alike: twice as many together are nothing but less of a loop, which has to remain one.
            long = prod(axis.extent for axis in stage.reduce) >= 4 * block.unroll
            place = replace(place, block=replace(block, mr=mr, unroll=block.unroll * (2 if long else 1)))
            blocks, _, size = balanced(left[0].extent, mr)
            counted = replace(left[0], extent=blocks)
        elif place.outer:
            place = replace(place, outer=(), walked=(*place.outer, place.row))
        placed.append((stage, place))
    return placed, (counted,), size


def _together(stage: Stage, place: Place, machine: Machine) -> int:
    """Rows that a stage computes together."""
    if stage.anchor == "pointwise":
        return rows_together(stage, place, machine)
    return machine.lanes if place.row == place.lane else 1


def _tile(
    rows: Sequence[Axis], row_bytes: int, streamed: int, vector: int, machine: Machine, threads: int
) -> int:
    """Rows of a unit: work for every thread, whole vectors where these run along the rows, and little traffic between caches.

    Weights are `streamed` past once a tile. Without any, all panels stay in half the first-level cache; otherwise, as many rows as make panels that
    leave the second level cheaper than weights that come by again.
    """
    extent, outer = rows[-1].extent, prod(axis.extent for axis in rows[:-1])
    share = ceil(extent * outer / threads)
    most = max(1, min(machine.l1_bytes // 2 // row_bytes, share))
    if streamed:

        def traffic(tile: int) -> int:
            spilled = 2 * row_bytes * extent if tile * row_bytes > machine.l2_bytes else 0
            return ceil(extent / tile) * streamed + spilled

        most = min(range(1, min(extent, share) + 1), key=traffic)
    return ceil(ceil(extent / ceil(extent / most)) / vector) * vector


def _panels(group: Group, layouts: Mapping[str, Layout], types: Mapping[str, Type]) -> dict[str, _Panel]:
    """A panel for every value that one stage makes and another reads."""
    rows = {axis.id for axis in group.rows}
    read = {load.buffer for stage in group.stages for load in stage.loads()}
    panels: dict[str, _Panel] = {}
    for store in (store for stage in group.stages for store in stage.stores):
        if store.buffer not in read or store.buffer in panels:
            continue
        shape, strides = types[store.buffer].shape, layouts[store.buffer].strides
        outside = [dim for dim, index in enumerate(store.map) if index.axes and index.axes <= rows]
        inside = [dim for dim in range(len(shape)) if dim not in outside]
        outside.sort(key=lambda dim: min(store.map[dim].axes))
        inside.sort(key=lambda dim: -strides[dim])
        panels[store.buffer] = _Panel(
            f"rows{len(panels)}",
            store.value.dtype,
            dense(shape, (*outside, *inside)),
            prod(shape[dim] for dim in inside),
        )
    return panels


def _through_panels(stage: Stage, panels: Mapping[str, _Panel], group: Group) -> Stage:
    """The stage with values of the group written to and read from panels; what is needed outside is written to memory as well."""
    inner = {name for name, _ in group.inner}

    def leaf(node: Expr) -> Expr | None:
        if isinstance(node, Load | Lookup) and node.buffer in panels:
            return replace(node, buffer=panels[node.buffer].local)
        return None

    stage = map_exprs(stage, lambda expr: rewrite(expr, leaf))
    stores = [replace(s, buffer=panels[s.buffer].local) for s in stage.stores if s.buffer in panels]
    return replace(stage, stores=(*stores, *(s for s in stage.stores if s.buffer not in inner)))


def _relative(stage: Stage, panels: Mapping[str, _Panel], outer: frozenset[int]) -> Stage:
    """The stage with the addresses of panels counted from the first row of the tile in progress; its unit fixes the axes `outer`."""
    size = {panel.local: panel.row_size for panel in panels.values()}

    def moved(index: Index, buffer: str) -> Index:
        inside = Index(index.const, tuple(t for t in index.terms if not Index(0, (t,)).axes & outer))
        return inside + Index.of(TILE) * -size[buffer]

    def leaf(node: Expr) -> Expr | None:
        if isinstance(node, Load | Lookup) and node.buffer in size:
            return replace(node, map=(moved(node.map[0], node.buffer),))
        return None

    def store(s: Store) -> Store:
        return replace(s, map=(moved(s.map[0], s.buffer),)) if s.buffer in size else s

    stage = map_exprs(stage, lambda expr: rewrite(expr, leaf))
    return replace(stage, stores=tuple(map(store, stage.stores)))
