"""Group to Kernel: memory layouts and the schedule decide where every stage's rows live and how the work is cut.

What an anchor cannot read in place (a prologue, pads that a dense convolution cannot leave out, an earlier anchor of the group) becomes rows of a local
buffer: a panel for one tile, or a ring that keeps the rows which the next tile reads again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil, prod
from typing import Literal

from .anchors.ahead import elements_ahead
from .anchors.lane_groups import lane_groups
from .anchors.pads import bounds_on, pads_of
from .anchors.reduce import neutral
from .anchors.region import LINE_ELEMENTS, axis_of, balanced, in_window
from .anchors.turned import rows_together
from .anchors.window import FILL, fill_row, window_axes
from .choice import MOST_ROWS
from .expr import Const, Guard, Load, loads
from .flatten import Layout, dense, flatten_stage, inline_plain_operands, windows_overlap
from .graph import Type
from .index import Axis
from .kernel import Local, Place, Schedule
from .local_buffer import Inner, make_panel, make_ring
from .lower_rows import lower_rows
from .lowered import Lowered, canonical
from .schedule import (
    NO_ROW,
    Choose,
    classify,
    depends,
    in_place,
    reduce_order,
    schedule_stage,
    stride,
)
from .stage import Group, Operand, Stage
from .support import left_out
from .target import Machine, Target

Parallel = Literal["rows", "lanes"]

MANY_BLOCKS = 4
"""Blocks of columns from which on it pays to copy what they read element by element."""

MANY_TAPS = 16
"""Of a window, from which on a depthwise convolution gains by taking few channels at a time."""

UNEVEN = 1.1
"""Times the rows or vectors of its share that a thread may have before the blocks of a window, or of a reduction, are made smaller."""


def lower_group(
    group: Group,
    layouts: Mapping[str, Layout],
    types: Mapping[str, Type],
    constants: frozenset[str],
    target: Target,
    threads: int,
    choose: Choose,
) -> Lowered:
    """The scheduled kernel of `group`; every buffer that it reads or writes outside has a layout."""
    if group.rows:
        return lower_rows(group, layouts, types, constants, target, threads, choose)
    chain = _Stages(group, layouts, constants, target.machine, choose)
    stage, place = chain.root(threads)
    alone = len(group.stages) == 1 and all(chain.reads_in_place(stage, place, o) for o in stage.operands)
    tile, parallel, units = _cut(stage, place, target.machine, threads, alone, bool(group.inner))
    together = tile if parallel == "rows" else axis_of(stage, place.row).extent
    place = replace(place, ahead=elements_ahead(stage, place, target.machine, together))
    chain.lower(stage, place, chain.inner(group.root), tile, is_root=True)
    stages, places = [list(each) for each in zip(*chain.done, strict=True)]
    locals_ = chain.locals
    for stage, place in chain.done:
        blank = fill_row(stage, place) if stage.anchor in ("depthwise", "pool") else None
        if blank is not None:
            locals_.append(Local(FILL, "float32", blank[0], "panel"))
    return canonical(
        stages, places, locals_, Schedule(tuple(places), tile, units, parallel), layouts, types, target
    )


class _Stages:
    """The stages of a group with what makes the rows of local buffers for them, in the order in which a unit runs them."""

    def __init__(
        self, group: Group, layouts: Mapping[str, Layout], constants: frozenset[str], machine: Machine, choose: Choose,
    ) -> None:  # fmt: skip
        self._group, self._constants, self._machine, self._choose = group, constants, machine, choose
        self._based = {name: Layout(layout.strides) for name, layout in layouts.items()}
        self._made_inside = {
            name: dense(type_.shape, (0, *range(2, len(type_.shape)), 1)) for name, type_ in group.inner
        }
        self._copied: Operand | None = None
        self.done: list[tuple[Stage, Place]] = []
        self.locals: list[Local] = []

    def inner(self, stage: Stage) -> Inner:
        """A stage of the group with flat addresses of what lies in memory."""
        logical = flatten_stage(stage, self._based)
        if not any(load.buffer in self._made_inside for load in stage.loads()):
            logical = inline_plain_operands(logical)
            return Inner(logical, logical)
        return Inner(
            inline_plain_operands(flatten_stage(stage, {**self._based, **self._made_inside})), logical
        )

    def root(self, threads: int) -> tuple[Stage, Place]:
        """The root scheduled."""
        flat = self.inner(self._group.root).flat
        kept = frozenset(axis.id for axis in flat.axes) if self._group.inner else frozenset()
        row = None
        if kept and classify(flat) == "contraction":
            (row,) = self._group.root.operands[0].map[2].axes
        stage, place = schedule_stage(flat, self._choose, self._constants, row, kept)
        if _read_across(stage, place, threads):
            self._copied = stage.operands[1]
            place = replace(place, outer=(*(axis.id for axis in _batches(stage)), *place.outer))
        return stage, _even(stage, place, self._machine, threads)

    def reads_in_place(self, stage: Stage, place: Place, operand: Operand) -> bool:
        """Whether the anchor reads an operand where it lies."""
        return operand is not self._copied and _reads_in_place(stage, place, operand, self._machine)

    def lower(self, stage: Stage, place: Place, inner: Inner, tile: int, is_root: bool) -> None:
        """`stage`, of which a tile has so many rows, and before it what makes the rows that it reads."""
        for number, operand in enumerate(stage.operands):
            values = {load.buffer for load in loads(operand.expr)} & self._made_inside.keys()
            if values:
                reader = self._band(next(iter(values)), inner.logical.operands[number], place, tile, is_root)
            elif not self.reads_in_place(stage, place, operand):
                reader = self._panel(operand, stage, place, tile, is_root)
            else:
                continue
            stage = replace(stage, support=(*stage.support, *left_out(stage, place, operand)))
            stage = replace(stage, operands=tuple(reader if o is operand else o for o in stage.operands))
            place = _resized(stage, place, self._machine)
        self.done.append((stage, _taps_first(stage, place, self._machine)))

    def _band(self, value: str, operand: Operand, place: Place, tile: int, for_root: bool) -> Operand:
        """The operand that reads the stage of the group which makes `value`, and that stage before it."""
        producer = next(s for s in self._group.stages if s.stores[0].buffer == value)
        name = self._new("band")
        made, logical, rows = make_ring(
            name, self.inner(producer), operand, place, tile, self._choose, self._constants
        )
        block, halo = made.place.block, made.place.halo
        extent = axis_of(made.stage, made.place.row).extent
        assert halo is not None
        plain = for_root and rows == tile and halo.top == 0 and halo.rows >= extent
        if not plain or tile % block.rows:  # then a unit may begin or end within a block
            block = replace(block, rows=1)
        self.locals.append(made.local)
        inner = Inner(made.stage, logical)
        self.lower(made.stage, replace(made.place, block=block), inner, min(rows, extent), is_root=False)
        return made.operand

    def _panel(self, operand: Operand, stage: Stage, place: Place, tile: int, is_root: bool) -> Operand:
        made = make_panel(self._new("panel"), operand, stage, place, tile, self._choose, is_root)
        self.locals.append(made.local)
        self.done.append((made.stage, made.place))
        return made.operand

    def _new(self, kind: str) -> str:
        number = sum(local.name.startswith(kind) for local in self.locals)
        return kind + (str(number) if number else "")


def _resized(stage: Stage, place: Place, machine: Machine) -> Place:
    """`place` with its reduce axes in the order in which the operand now lies in memory."""
    if stage.anchor not in ("contraction", "dot"):
        return place
    col = None if stage.anchor == "dot" else place.col  # the taps of a dot may lie next to each other
    return replace(place, k_order=tuple(axis.id for axis in reduce_order(stage, col, machine)))


def _taps_first(stage: Stage, place: Place, machine: Machine) -> Place:
    """The place with the taps outermost of which a contraction leaves some out: only a loop over others can be shorter."""
    if stage.anchor != "contraction" or not place.k_order:
        return place
    pads, first = pads_of(stage, place, machine), place.k_order[-1]
    if pads is not None and pads.tap is not None:
        first = pads.tap
    elif machine.a_form == "lane" or not bounds_on(stage, place, axis_of(stage, first)):
        return place  # where multiply-adds read a lane, the innermost steps are a vector
    return replace(place, k_order=(first, *(number for number in place.k_order if number != first)))


def _reads_in_place(stage: Stage, place: Place, operand: Operand, machine: Machine) -> bool:
    """Whether the anchor can read an operand where it lies."""
    if stage.anchor in ("contraction", "dot"):
        if isinstance(operand.expr, Load):
            return True
        if operand is stage.operands[1]:
            return not windows_overlap(stage, operand)
        return in_place(operand) and pads_of(stage, place, machine) is not None
    if stage.anchor in ("depthwise", "pool") and operand is stage.operands[0]:
        return (
            in_place(operand)
            and (
                stride(operand, place.lane) == 1
                or axis_of(stage, place.lane).extent == 1
                or lane_groups(stage, place.lane) is not None
            )
            and _leaves_pads_out(stage, place, operand)
        )
    return True


def _read_across(stage: Stage, place: Place, threads: int) -> bool:
    """Whether vectors of operand 1 would be put together from single elements for many blocks of columns: the keys of an attention.

    A copy, which each thread makes of what its columns read, then pays.
    """
    if stage.anchor != "contraction" or place.packed:
        return False
    keys = stage.operands[1]
    contiguous = stride(keys, place.lane) == 1 or axis_of(stage, place.lane).extent == 1
    columns = prod(axis.extent for axis in stage.axes if not depends(keys, axis.id))
    batches = prod(axis.extent for axis in _batches(stage))
    return not contiguous and columns * min(1, batches / threads) > MANY_BLOCKS * place.block.mr


def _batches(stage: Stage) -> list[Axis]:
    """Axes along which both operands of a product vary: the heads of an attention."""
    return [axis for axis in stage.axes if all(depends(operand, axis.id) for operand in stage.operands)]


def _leaves_pads_out(stage: Stage, place: Place, operand: Operand) -> bool:
    """Whether a window gives the right answer without the elements of its pads: they change no sum or maximum, and none lie along the lanes."""
    expr = operand.inlined()
    if not isinstance(expr, Guard):
        return True
    return (
        isinstance(expr.outside, Const)
        and expr.outside.value == neutral(stage.combine, expr.dtype)
        and not any(place.lane in bound.index.axes for bound in expr.box)
    )


def _even(stage: Stage, place: Place, machine: Machine, threads: int) -> Place:
    """The place with blocks of single rows, or of fewer vectors, where several together would leave threads waiting."""
    block = place.block
    if _shares_columns(stage, place):
        vectors = ceil(axis_of(stage, place.lane).extent / machine.lanes)
        sizes = (block.nv >> half for half in range(block.nv.bit_length()))
        nv = next(size for size in sizes if size == 1 or _is_even(vectors, size, threads))
        return replace(place, block=replace(block, nv=nv))
    rows = axis_of(stage, place.row).extent * prod(axis_of(stage, number).extent for number in place.outer)
    return place if _is_even(rows, block.rows, threads) else replace(place, block=replace(block, rows=1))


def _is_even(extent: int, size: int, threads: int) -> bool:
    """Whether blocks of `size` give no thread much more than its share of so many rows or vectors."""
    busiest = min(extent, size * ceil(ceil(extent / size) / threads))
    return busiest <= UNEVEN * ceil(extent / threads)


def _shares_columns(stage: Stage, place: Place) -> bool:
    """Whether threads share out the lane blocks of a reduction: the columns of a single image."""
    return (
        stage.anchor == "reduce" and place.row == NO_ROW.id and place.lane not in {a.id for a in stage.reduce}
    )


def _cut(
    stage: Stage, place: Place, machine: Machine, threads: int, alone: bool, banded: bool
) -> tuple[int, Parallel, int]:
    """(rows or lane blocks per unit, what the threads share out, units)."""
    outer = prod(axis_of(stage, number).extent for number in place.outer)
    width = place.block.width(machine)
    lane_blocks = ceil(axis_of(stage, place.lane).extent / width)
    extent = axis_of(stage, place.row).extent
    rows = balanced(extent, place.block.mr)[0] if place.row == place.col else extent
    if _shares_columns(stage, place):
        return 1, "lanes", lane_blocks
    shared_rows = _evenness(rows, threads)
    if stage.anchor == "depthwise" and alone and outer == 1:
        few = _lanes_that_fit(stage, place, machine) // width
        if few and _evenness(ceil(lane_blocks / few), threads) + 0.05 > shared_rows:
            return few, "lanes", ceil(lane_blocks / few)
    by_lanes = _evenness(lane_blocks, threads) > shared_rows + 0.05
    if stage.anchor == "contraction" and alone and outer == 1 and by_lanes:
        return 1, "lanes", lane_blocks
    together = rows_together(stage, place, machine) if stage.anchor == "pointwise" else 1
    if place.row == place.lane and stage.anchor == "pointwise":
        others = prod(axis.extent for axis in stage.axes if axis.id not in (place.lane, *place.outer))
        step = together * max(1, 2048 // (together * others))
        return step, "rows", outer * ceil(rows / step)
    fit = ceil(rows / place.tiles) if place.tiles else _rows_that_fit(stage, place, machine, banded)
    most = max(1, min(fit, ceil(rows * outer / threads)))
    tile = ceil(rows / ceil(rows / most))
    if banded and stage.anchor in ("contraction", "dot"):  # whole blocks of a window before it
        tile += -tile % MOST_ROWS
    tile += -tile % together
    return tile, "rows", outer * ceil(rows / tile)


def _evenness(units: int, threads: int) -> float:
    """Share of the threads' time that is used when `units` equal pieces are dealt out."""
    return units / (threads * ceil(units / threads))


def _rows_that_fit(stage: Stage, place: Place, machine: Machine, banded: bool) -> int:
    """Rows of a tile: what a contraction reads of them stays in half the L2 cache while the weights go by; a copy of them in half of the first cache that holds the weights.

    Rows that a band leaves for it share the L2 with those of the stages before.
    """
    others = prod(a.extent for a in stage.axes if a.id not in (place.row, place.lane, *place.outer))
    if stage.anchor in ("contraction", "dot"):
        depth = prod(a.extent for a in stage.reduce if not in_window(stage, place, a))
        if banded:
            return max(MOST_ROWS, machine.l2_bytes // 8 // _copied_row_bytes(stage, place))
        cache = _holds_weights(stage, machine)
        if cache and not _reads_in_place(stage, place, stage.operands[0], machine):
            return max(1, cache // 2 // _copied_row_bytes(stage, place))
        rows = place.block.mr if place.row == place.col else others
        return max(1, machine.l2_bytes // 2 // max(1, 4 * rows * depth))
    inner = others * axis_of(stage, place.lane).extent
    if stage.anchor in ("pointwise", "reduce"):
        return max(1, 4096 // inner)
    return place.block.rows


def _lanes_that_fit(stage: Stage, place: Place, machine: Machine) -> int:
    """Channels of a depthwise convolution with large windows whose weights, and input rows under a window, stay in the L1 cache while all rows go by; two cache lines at least.

    0 where half of that cache holds all weights, and where a window has so few taps that reading the image as it lies counts for more.
    """
    x, weights = stage.operands[:2]
    _, across = window_axes(stage, place)
    taps = prod(axis.extent for axis in stage.reduce)
    channels = [axis for axis in stage.axes if depends(weights, axis.id)]
    others = [
        axis for axis in stage.axes if axis.id not in (place.row, place.col, place.lane) and axis.extent > 1
    ]
    plain = [axis.id for axis in channels] == [place.lane] and not others
    if not plain or taps < MANY_TAPS or 4 * taps * channels[0].extent <= machine.l1_bytes // 2:
        return 0
    height = taps // prod(axis_of(stage, number).extent for number in across)
    spans = [index.range for index in x.map if place.col in index.axes]
    width = prod(hi + 1 - lo for lo, hi in spans)
    fit = machine.l1_bytes // (4 * (taps + height * width))
    return max(2, fit // LINE_ELEMENTS) * LINE_ELEMENTS


def _holds_weights(stage: Stage, machine: Machine) -> int:
    """The size of the first cache half of which holds the weights of a contraction; 0 where none does."""
    b = stage.operands[1]
    weights = 4 * prod(axis.extent for axis in stage.axes + stage.reduce if depends(b, axis.id))
    return next((size for size in (machine.l1_bytes, machine.l2_bytes) if weights <= size // 2), 0)


def _copied_row_bytes(stage: Stage, place: Place) -> int:
    """What the rows of an operand take that one row of the output, or one block of rows, is the first to read."""
    operand = stage.operands[0]
    elements = place.block.mr if place.row == place.col else 1
    for axis, index in zip(operand.axes, operand.map, strict=True):
        if place.row in index.axes:
            elements *= index.coefficient(place.row) or 1
        elif not index.axes & set(place.outer):
            elements *= axis.extent
    return 4 * elements
