"""Group to Kernel: memory layouts and the schedule decide where every stage's rows live and how the work is cut.

What an anchor cannot read in place (a prologue, the pads of a dense convolution, an earlier anchor of the group) becomes rows of a local
buffer: a panel for one tile, or a ring that keeps the rows which the next tile reads again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import ceil, prod
from typing import Literal

from .anchors.region import axis_of, balanced
from .anchors.window import FILL, fill_row
from .expr import Const, Expr, Guard, Load, loads, rewrite
from .flatten import Layout, dense, flatten_stage, inline_plain_operands, map_exprs, merge_axes
from .graph import Type
from .index import Axis, Index
from .kernel import TILE, Argument, Halo, Kernel, Local, Place, Schedule
from .schedule import addresses, classify, in_place, place_stage, slides, stride
from .stage import Group, Operand, Stage, Store
from .target import Machine, Target

Parallel = Literal["rows", "lanes"]


@dataclass(frozen=True)
class Binding:
    """What a kernel argument is: a buffer from `offset` elements on, or a constant packed for `stage` (its number in the kernel)."""

    buffer: str
    offset: int = 0
    packed_for: int | None = None


@dataclass(frozen=True)
class Lowered:
    """A kernel and what its arguments are bound to in this model."""

    kernel: Kernel
    bindings: tuple[Binding, ...]


def lower_group(
    group: Group,
    layouts: Mapping[str, Layout],
    types: Mapping[str, Type],
    constants: frozenset[str],
    target: Target,
    threads: int,
) -> Lowered:
    """The scheduled kernel of `group`; every buffer that it reads or writes outside has a layout."""
    machine = target.machine
    based = {name: Layout(layout.strides) for name, layout in layouts.items()}
    inner = {name: dense(type_.shape, (0, *range(2, len(type_.shape)), 1)) for name, type_ in group.rings}
    flat = inline_plain_operands(flatten_stage(group.root, {**based, **inner}))
    logical = flatten_stage(group.root, based)
    root = _schedulable(flat, machine, constants, None)
    stages, places, locals_ = [root[0]], [root[1]], []
    alone = len(group.stages) == 1 and _reads_in_place(*root)
    tile, parallel, units = _cut(root[0], root[1], machine, threads, alone)
    for number, operand in enumerate(root[0].operands):
        bands = [
            s
            for s in group.stages[:-1]
            if s.stores[0].buffer in {load.buffer for load in loads(operand.expr)}
        ]
        if not bands and (number > 0 or _reads_in_place(*root)):
            continue
        if bands:
            producer = inline_plain_operands(flatten_stage(bands[0], based))
            made = _ring(producer, logical.operands[number], root[1], tile, machine, constants)
        else:
            made = _panel(operand, root[0], root[1], tile, machine)
        stages.insert(0, made.stage)
        places.insert(0, made.place)
        locals_.append(made.local)
        stages[-1] = replace(
            stages[-1], operands=tuple(made.operand if o is operand else o for o in stages[-1].operands)
        )
        places[-1] = _resized(stages[-1], places[-1])
    for stage, place in zip(stages, places, strict=True):
        blank = fill_row(stage, place) if stage.anchor in ("depthwise", "pool") else None
        if blank is not None:
            locals_.append(Local(FILL, "float32", blank[0], "panel"))
    return _canonical(
        stages, places, locals_, Schedule(tuple(places), tile, units, parallel), layouts, types, target
    )


def _resized(stage: Stage, place: Place) -> Place:
    """`place` with its reduce axes in the order in which the operand now lies in memory."""
    if stage.anchor != "contraction":
        return place
    order = sorted(stage.reduce, key=lambda axis: -stride(stage.operands[0], axis.id))
    return replace(place, k_order=tuple(axis.id for axis in order))


def _schedulable(
    stage: Stage, machine: Machine, constants: frozenset[str], row: int | None
) -> tuple[Stage, Place]:
    stage = merge_axes(replace(stage, anchor=classify(stage)), constants)
    packed = (
        len(stage.operands) == 2
        and isinstance(stage.operands[1].expr, Load)
        and stage.operands[1].expr.buffer in constants
    )
    return place_stage(stage, machine, packed, row)


def _reads_in_place(stage: Stage, place: Place) -> bool:
    """Whether the anchor can read its first operand where it lies."""
    if not stage.operands:
        return True
    operand = stage.operands[0]
    if stage.anchor == "contraction":
        return isinstance(operand.expr, Load)
    if stage.anchor in ("depthwise", "pool"):
        return in_place(operand) and (
            stride(operand, place.lane) == 1 or axis_of(stage, place.lane).extent == 1
        )
    return True


def _cut(
    stage: Stage, place: Place, machine: Machine, threads: int, alone: bool
) -> tuple[int, Parallel, int]:
    """(rows or lane blocks per unit, what the threads share out, units)."""
    outer = prod(axis_of(stage, number).extent for number in place.outer)
    width = place.block.nv * machine.lanes
    lane_blocks = ceil(axis_of(stage, place.lane).extent / width)
    extent = axis_of(stage, place.row).extent
    rows = balanced(extent, place.block.mr)[0] if place.row == place.col else extent
    if stage.anchor == "reduce" and place.lane not in {a.id for a in stage.reduce}:
        return 1, "lanes", lane_blocks
    by_lanes = _evenness(lane_blocks, threads) > _evenness(rows, threads) + 0.05
    if stage.anchor == "contraction" and by_lanes and alone and outer == 1:
        return 1, "lanes", lane_blocks
    if place.row == place.lane:
        step = width * max(1, 2048 // width)
        return step, "rows", outer * ceil(rows / step)
    most = max(1, min(_rows_that_fit(stage, place, machine), ceil(rows * outer / threads)))
    tile = ceil(rows / ceil(rows / most))
    return tile, "rows", outer * ceil(rows / tile)


def _evenness(units: int, threads: int) -> float:
    """Share of the threads' time that is used when `units` equal pieces are dealt out."""
    return units / (threads * ceil(units / threads))


def _rows_that_fit(stage: Stage, place: Place, machine: Machine) -> int:
    """Rows of a tile: what a contraction reads of them stays in half the L2 cache while the weights go by."""
    others = prod(a.extent for a in stage.axes if a.id not in (place.row, place.lane, *place.outer))
    if stage.anchor == "contraction":
        depth = prod(
            a.extent for a in stage.reduce if not (stage.operands and slides_along(stage.operands[0], a))
        )
        rows = place.block.mr if place.row == place.col else others
        return max(1, machine.l2_bytes // 2 // max(1, 4 * rows * depth))
    inner = others * axis_of(stage, place.lane).extent
    if stage.anchor == "pointwise":
        return max(1, 4096 // inner)
    return 1


def slides_along(operand: Operand, axis: Axis) -> bool:
    """Whether a reduce axis steps through a window."""
    return slides(operand, axis.id)


@dataclass(frozen=True)
class _Made:
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
    scale = index.coefficient(place.row) or 1
    rest = Index(0, tuple(t for t in index.terms if place.row not in Index(0, (t,)).axes)).range[1]
    return (tile - 1) * scale + rest + 1, rest >= scale


def _panel(operand: Operand, stage: Stage, place: Place, tile: int, machine: Machine) -> _Made:
    """A pointwise stage that evaluates the operand, guards and prologue included, into rows of a local buffer."""
    outer = {number for number in place.outer}
    fixed = tuple(a.id for a, i in zip(operand.axes, operand.map, strict=True) if i.axes and i.axes <= outer)
    inner = [a for a in operand.axes if a.id not in fixed]
    source = addresses(operand.expr)
    if not any(
        place.row in index.axes for index in operand.map
    ):  # the operand is the same for every row: one row holds it
        row = replace(TILE, id=-5, extent=1)
        operand = replace(operand, axes=(*operand.axes, row), map=(*operand.map, Index(0)))
    else:
        row = _own_row(operand, place)
    tile_rows = tile * place.block.mr if place.row == place.col else tile
    rows, shared = _window_rows(operand, place, min(tile_rows, axis_of(stage, place.row).extent), row)
    rest = sorted(
        (a for a in inner if a is not row and a.extent > 1),
        key=lambda a: -(source[0].map[0].coefficient(a.id) or 0) if source else 0,
    )
    channel = next((a for a in rest if stage.anchor != "contraction" and Index.of(axis_of(stage, place.lane)) in operand.map
                    and operand.map[operand.axes.index(a)] == Index.of(axis_of(stage, place.lane))), None)  # fmt: skip
    if channel is not None:
        rest = [a for a in rest if a is not channel] + [channel]
    name, row_size = "panel", prod(a.extent for a in rest)
    address = Index(0)
    for axis in rest:
        address = address * axis.extent + Index.of(axis)
    if shared:
        address = address + (Index.of(row) % rows) * row_size
    else:
        index = operand.map[operand.axes.index(row)]
        scale = index.coefficient(place.row) or 1
        address = address + Index.of(row) * row_size + Index.of(TILE) * (-row_size * scale)
    local = Local(name, operand.expr.dtype, rows * row_size, "ring" if shared else "panel")
    axes = tuple(a for a in operand.axes if a.extent > 1 or a is row)
    made = Stage("pointwise", axes, (), "sum", (), None, (Store(operand.expr, name, (address,)),))
    made_place = place_stage(made, machine, False)[1]
    lane = (
        made_place.lane
        if made_place.lane != row.id or len(axes) == 1
        else next(a.id for a in axes if a is not row)
    )
    if rest:
        lane = min(rest, key=lambda a: address.coefficient(a.id) or 1 << 60).id
    made_place = replace(
        made_place,
        outer=fixed,
        row=row.id,
        lane=lane,
        local=name,
        halo=Halo(0, 0, row.extent, 1, row_size, 0.0, Index(0)),
    )
    return _Made(made, made_place, local, replace(operand, expr=Load(operand.expr.dtype, name, (address,))))


def _ring(
    inner: Stage, operand: Operand, place: Place, tile: int, machine: Machine, constants: frozenset[str]
) -> _Made:
    """An anchor of the group computed in bands: its rows go to a ring with the halo that its consumer expects around them."""
    expr = operand.expr
    fill = 0.0
    if isinstance(expr, Guard):
        assert isinstance(expr.outside, Const)
        fill, expr = float(expr.outside.value), expr.inside
    assert isinstance(expr, Load), "a band is read in place"
    _, channel, row, col = operand.axes
    top, left = -expr.map[2].const, -expr.map[3].const
    made_axes = _output_axes(inner)
    cols, depth = max(col.extent, left + made_axes[3].extent), channel.extent
    rows, _ = _window_rows(operand, place, tile, row)
    address = (Index.of(row) % rows) * (cols * depth) + Index.of(col) * depth + Index.of(channel)
    name = "band"
    local = Local(name, expr.dtype, rows * cols * depth, "ring")
    halo_rows, halo_cols, element = Axis(0, max(2, row.extent)), Axis(1, cols + 1), Axis(2, depth + 1)
    halo_address = (
        (Index.of(halo_rows) % rows) * (cols * depth) + Index.of(halo_cols) * depth + Index.of(element)
    )
    halo = Halo(top, left, row.extent, cols, depth, fill, halo_address)
    # the producer's output axes take the consumer's numbers, so that rows are rows on both sides
    own = {axis.id: other for axis, other in zip(made_axes, operand.axes, strict=True)}
    mapping = {
        axis.id: Index.of(replace(own[axis.id], extent=axis.extent) if axis.id in own else axis)
        for axis in inner.axes + inner.reduce
    }
    renamed = map_exprs(inner, lambda e: _renamed(e, mapping))
    inner = replace(
        renamed,
        axes=tuple(replace(own[a.id], extent=a.extent) if a.id in own else a for a in inner.axes),
        operands=tuple(_renamed_operand(o, mapping) for o in inner.operands),
    )
    shifted = {row.id: Index.of(replace(row, extent=inner_extent(inner, row))) + top, col.id: Index.of(replace(col, extent=inner_extent(inner, col))) + left,
               channel.id: Index.of(channel)}  # fmt: skip
    for axis in inner.axes:
        shifted.setdefault(axis.id, Index.of(axis))
    store = Store(inner.stores[0].value, name, (address.substitute(shifted),))
    stage, made = _schedulable(replace(inner, stores=(store,)), machine, constants, row.id)
    made = replace(made, local=name, halo=halo)
    return _Made(stage, made, local, replace(operand, expr=Load(expr.dtype, name, (address,))))


def inner_extent(stage: Stage, axis: Axis) -> int:
    """How far the stage itself runs along an axis."""
    return next((a.extent for a in stage.axes if a.id == axis.id), 1)


def _output_axes(stage: Stage) -> list[Axis]:
    """The axes of the first output, one per logical dimension of its value."""
    found: list[Axis] = []
    for number, index in enumerate(stage.stores[0].map):
        found.append(_axis_in(index, Axis(-100 - number, 1)))
    return found


def _renamed(expr: Expr, mapping: Mapping[int, Index]) -> Expr:
    return rewrite(expr, lambda _: None, mapping)


def _renamed_operand(operand: Operand, mapping: Mapping[int, Index]) -> Operand:
    """A plain operand's axes are the stage's own: they are renamed with them. A window keeps its own axes."""
    where = tuple(index.substitute(mapping) for index in operand.map)
    if any(Index.of(axis) != index for axis, index in zip(operand.axes, operand.map, strict=True)):
        return replace(operand, map=where)
    axes = tuple(_axis_in(index, axis) for axis, index in zip(operand.axes, where, strict=True))
    return Operand(axes, _renamed(operand.expr, mapping), where)


def _axis_in(index: Index, default: Axis) -> Axis:
    return next((t.inner for t in index.terms if isinstance(t.inner, Axis)), default)


def _canonical(
    stages: list[Stage], places: list[Place], locals_: list[Local], schedule: Schedule, layouts: Mapping[str, Layout],
    types: Mapping[str, Type], target: Target,
) -> Lowered:  # fmt: skip
    """Rename buffers in order of use; a packed constant is an argument of its own for every stage that reads it."""
    names: dict[str, str] = {local.name: local.name for local in locals_}
    arguments: list[Argument] = []
    bindings: list[Binding] = []

    def bind(buffer: str, dtype: str, size: int, offset: int, packed_for: int | None) -> str:
        name = f"b{len(arguments)}"
        arguments.append(Argument(name, dtype, size))
        bindings.append(Binding(buffer, offset, packed_for))
        return name

    def named(buffer: str, dtype: str) -> str:
        if buffer not in names:
            layout = layouts[buffer]
            names[buffer] = bind(
                buffer, dtype, Layout(layout.strides).size(types[buffer]), layout.offset, None
            )
        return names[buffer]

    out = []
    for number, (stage, place) in enumerate(zip(stages, places, strict=True)):
        packed: dict[int, Expr] = {}
        if place.packed:
            weight = stage.operands[1].expr
            assert isinstance(weight, Load)
            name = bind(weight.buffer, weight.dtype, types[weight.buffer].size, 0, number)
            packed[id(weight)] = Load(weight.dtype, name, weight.map)

        def leaf(node: Expr, packed: dict[int, Expr] = packed) -> Expr | None:
            if id(node) in packed:
                return packed[id(node)]
            return (
                Load(node.dtype, named(node.buffer, node.dtype), node.map) if isinstance(node, Load) else None
            )

        stage = map_exprs(stage, lambda expr: rewrite(expr, leaf))
        out.append(
            replace(
                stage, stores=tuple(replace(s, buffer=named(s.buffer, s.value.dtype)) for s in stage.stores)
            )
        )
    kernel = Kernel(target, tuple(out), schedule, tuple(arguments), tuple(locals_))
    return Lowered(kernel, tuple(bindings))
