"""Schedule: which axes a stage walks as rows, columns and lanes, in which register blocks, and how its units are cut for threads.

Axes take their roles by how they are walked. What is then free is chosen for a `Signature`, by a schedule table or by arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Protocol

from .across_groups import across_groups
from .anchors.reduce import columns_together
from .anchors.region import axis_of
from .anchors.turned import turned_axis
from .choice import Choice, Signature, Tunable
from .expr import Const, Expr, Guard, Load, Lookup, const, cost, guard, loads
from .index import Axis, Bound, Index
from .kernel import Block, Place
from .stage import Operand, Stage
from .support import merge_supported
from .target import Machine


class Choose(Protocol):
    """Decides what is free in the schedule of a stage, for one machine."""

    @property
    def machine(self) -> Machine: ...

    def __call__(self, signature: Signature) -> Choice: ...


DUMMY = Axis(-2, 1)
"""Stands for rows where an output has none: a single dot product per lane."""

MOST_TAPS = 225
"""Of a window, 15 x 15, as straight code."""

MOST_LEFT_OVER = 8
"""One in so many rows may be left over."""

NO_ROW, NO_LANE = Axis(-3, 1), Axis(-4, 1)
"""Stand for rows and lanes where a stage has none."""


def addresses(expr: Expr) -> list[Load | Lookup]:
    """The Loads of an operand, the widest first: its layout is the operand's."""
    return sorted(loads(expr), key=lambda load: -len(load.map[0].axes))


def stride(operand: Operand, axis: int) -> int:
    """Elements between neighbours of the operand along an axis of the stage; 0 where it does not depend on it plainly."""
    found = addresses(operand.inlined())
    return (found[0].map[0].coefficient(axis) or 0) if found else 0


def signature_of(
    tunable: Tunable, stage: Stage, row: Axis, col: Axis | None, lane: Axis, depth: tuple[int, ...], order: Sequence[Axis] = (),
    packed: bool = False,
) -> Signature:  # fmt: skip
    """What the choice for a flat stage depends on, its axes' roles being given; `order` are a contraction's reduce axes, or a window's along rows."""
    read = addresses(stage.operands[0].inlined())[:1] if stage.operands else []
    value = stage.stores[0].value
    return Signature(
        tunable,
        row.extent,
        0 if col is None else col.extent,
        lane.extent,
        depth,
        tuple(_step(load.map[0], axis) for load in read for axis in (row, col, *order)),
        tuple(_step(stage.stores[0].map[0], axis) for axis in (row, col, lane)),
        cost(*(store.value for store in stage.stores)),
        packed,
        stage.operands[0].expr.dtype if stage.operands else value.dtype,
    )


def _step(address: Index, axis: Axis | None) -> int:
    return 0 if axis is None else address.coefficient(axis.id) or 0


def depends(operand: Operand, axis: int) -> bool:
    """Whether the operand varies along an axis of the stage."""
    return any(axis in index.axes for load in loads(operand.inlined()) for index in load.map) or any(
        axis in index.axes for index in operand.map
    )


def out_stride(stage: Stage, axis: int) -> int:
    """Elements between neighbours of the first output along an axis."""
    return stage.stores[0].map[0].coefficient(axis) or 0


def classify(stage: Stage) -> str:
    """The anchor that fits: products are depthwise where no operand varies along an axis of its own, else contractions."""
    if not stage.operands:
        return "pointwise"
    if len(stage.operands) == 2:
        a, b = stage.operands
        own = [axis for axis in stage.axes if depends(b, axis.id) and not depends(a, axis.id)]
        shared = [axis for axis in stage.axes if depends(a, axis.id) and depends(b, axis.id)]
        # A window takes its weights by channel; the phases of a transposed convolution are read at quotients.
        plain = all(any(index.coefficient(axis.id) for index in a.map) for axis in shared)
        return "depthwise" if shared and plain and not own else "contraction"
    windows = any(
        index.axes & {a.id for a in stage.reduce} and index.axes & {a.id for a in stage.axes}
        for index in stage.operands[0].map
    )
    return "pool" if windows and stage.reduce else "reduce"


def schedule_stage(
    stage: Stage,
    choose: Choose,
    constants: frozenset[str],
    row: int | None = None,
    kept: frozenset[int] = frozenset(),
    rows: tuple[Axis, ...] = (),
) -> tuple[Stage, Place]:
    """A flat stage with its axes merged but for those `kept` or shared as `rows`, its anchor chosen, and how it is computed."""
    fixed = bool(kept) and row is None
    window = across_groups(stage, constants, choose.machine, MOST_TAPS) if not kept and not rows else None
    # with lanes across groups axes stay as they are: merged, the operand would lose the coordinates that say which are its groups
    walked = rows if window is None else window.axes + window.reduce
    kept = kept | {axis.id for axis in walked}
    stage = merge_supported(_anchored(stage) if window is None else window, constants, kept, choose.machine)
    weights = stage.operands[1].expr if len(stage.operands) == 2 else None
    packed = isinstance(weights, Load) and weights.buffer in constants
    if rows:
        return _by_rows(stage, choose, rows, packed)
    return place_stage(stage, choose, packed, row, fixed)


def _anchored(stage: Stage) -> Stage:
    """The stage with its anchor; a window of very many taps, which are straight code, as a reduction, which loops over them."""
    anchor = classify(stage)
    if anchor not in ("depthwise", "pool") or prod(a.extent for a in stage.reduce) <= MOST_TAPS:
        return replace(stage, anchor=anchor)
    exprs = [operand.inlined() for operand in stage.operands]
    product = exprs[0] if len(exprs) == 1 else exprs[0] * exprs[1]
    if stage.init is not None:  # once, with the first tap
        first = tuple(Bound(Index.of(a), 0, 1) for a in stage.reduce)
        product = product + guard(first, stage.init, const(0, product.dtype))
    axes = stage.axes + stage.reduce
    return replace(
        stage,
        anchor="reduce",
        operands=(Operand(axes, product, tuple(map(Index.of, axes))),),
        init=None,
        support=(),
    )


def place_stage(
    stage: Stage, choose: Choose, packed: bool, row: int | None = None, fixed: bool = False
) -> tuple[Stage, Place]:
    """The stage, with a dummy row where it has none, and how it is computed.

    A stage of a band walks the axis `row` as rows; a window whose input has a `fixed` layout takes the contiguous axis as lanes.
    """
    match stage.anchor:
        case "contraction":
            return _contraction(stage, choose, packed, row)
        case "depthwise" | "pool":
            return _window(stage, choose, packed, fixed, row)
        case "reduce":
            return _reduce(stage, choose.machine)
    return _pointwise(stage, choose)


def _contraction(stage: Stage, choose: Choose, packed: bool, forced: int | None) -> tuple[Stage, Place]:
    if forced is None and _adjacent_in_rows(stage):
        stage, packed = replace(stage, operands=stage.operands[::-1]), False
    a, b = stage.operands
    lanes = [axis for axis in stage.axes if depends(b, axis.id) and not depends(a, axis.id)]
    if not lanes:
        lanes = [DUMMY]
        stage = replace(stage, axes=(*stage.axes, DUMMY))
    lane = max(lanes, key=lambda axis: (out_stride(stage, axis.id) == 1, axis.extent, -axis.id))
    free = sorted(
        (axis for axis in stage.axes if depends(a, axis.id) and not depends(b, axis.id)),
        key=lambda axis: stride(a, axis.id),
    )
    row: Axis | None = next((axis for axis in stage.axes if axis.id == forced), None)
    if row is None and forced is not None:
        row = replace(DUMMY, id=forced)
        stage = replace(stage, axes=(*stage.axes, row))
    inner = [axis for axis in free if axis is not row]
    if row is not None or any(slides(a, axis.id) for axis in free):
        col = inner[0] if inner else None
    else:
        col = max(inner[:2], key=lambda axis: axis.extent) if inner else None
    others = [axis for axis in (*free, *lanes) if axis not in (col, row, lane, DUMMY)]
    if row is None:
        row = next((axis for axis in others if slides(a, axis.id)), others[0] if others else col)
    if row is None:
        row = NO_ROW
        stage = replace(stage, axes=(*stage.axes, row))
    order = reduce_order(stage, None if col is None else col.id, choose.machine)
    depth = tuple(axis.extent for axis in order)
    signature = signature_of("contraction", stage, row, col, lane, depth, order, packed)
    choice = choose(signature)
    # the phases of a transposed convolution are unequal shares, and all read the same rows
    unequal = frozenset().union(*(bound.index.axes for bound in stage.support))
    outer = tuple(axis.id for axis in others if axis is not row and axis.id not in unequal)
    if choice.dot:
        stage = replace(stage, anchor="dot")
        order = reduce_order(stage, None, choose.machine)  # its taps may lie next to each other
        outer = tuple(number for number in outer if depends(a, number))
    return stage, Place(
        outer,
        row.id,
        None if col is None else col.id,
        lane.id,
        Block(choice.mr, choice.nv, choice.unroll, half=choice.half),
        tuple(axis.id for axis in order),
        packed,
        choice.row_epilogue,
        tiles=choice.tiles,
        signature=signature,
    )


def _adjacent_in_rows(stage: Stage) -> bool:
    """Whether neighbours in memory, of the output and of the first operand, are neighbours in its rows: planes, as in a single convolution's ONNX layout.

    Lanes then run along the rows and the operands change places; not where a prologue would be computed anew for every block of channels.
    """
    a, b = stage.operands
    if not in_place(a):
        return False
    own = [axis for axis in stage.axes if depends(a, axis.id) and not depends(b, axis.id)]
    return any(
        out_stride(stage, axis.id) == 1 and stride(a, axis.id) == 1 and axis.extent >= 8 for axis in own
    )


def reduce_order(stage: Stage, col: int | None, machine: Machine) -> list[Axis]:
    """The reduce axes of a contraction, outermost first: what slides with the columns, rows of rings, then by stride.

    Steps along an axis that slides with the columns, next to each other, read what the next column reads: LLVM would load such an element once
    and keep it in a register until the other column wants it, and there are not enough. Where multiply-adds read a lane, elements next to each
    other in memory are loaded as vectors, once for all columns.
    """
    a = stage.operands[0]

    def key(axis: Axis) -> tuple[bool, int]:
        vector = machine.a_form == "lane" and stride(a, axis.id) == 1
        shared = not vector and any({axis.id, col} <= index.axes for index in a.map)
        return not shared, -(stride(a, axis.id) or 1 << 40)

    return sorted(stage.reduce, key=key)


def slides(operand: Operand, axis: int) -> bool:
    """Whether windows of the operand slide along an axis of the stage."""
    return any(axis in index.axes and len(index.axes) > 1 for index in operand.map)


def _by_groups(operand: Operand, axis: Axis) -> bool:
    """Whether several neighbours along an axis read the same of the operand: the outputs of its groups."""
    return any(term.inner == axis and term.div > 1 for index in operand.map for term in index.terms)


def _window(
    stage: Stage, choose: Choose, packed: bool, fixed: bool, forced: int | None
) -> tuple[Stage, Place]:
    x = stage.operands[0]
    free = [axis for axis in stage.axes if axis.id != forced]
    channels = [
        axis for axis in free if _by_groups(x, axis) or (not slides(x, axis.id) and Index.of(axis) in x.map)
    ]
    # Every column of a block takes the same weights: these vary along lanes, rows or outer axes.
    weighted = [axis for axis in stage.axes if stage.operands[1:] and depends(stage.operands[1], axis.id)]
    channels = [axis for axis in channels if axis in weighted] or channels
    if fixed:
        channels = [axis for axis in channels if stride(x, axis.id) == 1]
    lane = min(channels, key=lambda axis: (out_stride(stage, axis.id) != 1, -axis.extent), default=None)
    if lane is None:
        lane = NO_LANE
        stage = replace(stage, axes=(*stage.axes, lane))
    sliding = sorted(
        (a for a in free if slides(x, a.id) and a not in weighted), key=lambda a: stride(x, a.id)
    )
    others = [a for a in free if a is not lane]
    packed = packed and weighted == [lane]
    col = (
        sliding[0]
        if sliding
        else min(
            (a for a in others if stride(x, a.id) and a not in weighted),
            key=lambda a: stride(x, a.id),
            default=None,
        )
    )
    rows = [a for a in others if a is not col]
    row = sliding[1] if len(sliding) > 1 else (rows[0] if rows else NO_ROW)
    row = next((a for a in stage.axes if a.id == forced), row)
    if row not in stage.axes:
        stage = replace(stage, axes=(*stage.axes, row))
    outer = tuple(a.id for a in rows if a is not row)
    width = prod(a.extent for a in stage.reduce if col and any({a.id, col.id} <= i.axes for i in x.map))
    depth = prod(a.extent for a in stage.reduce) // width, width
    tunable: Tunable = "depthwise" if stage.operands[1:] else "pool"
    # Where rows share input rows: along one axis of taps, with the same weights.
    taps = [a for a in stage.reduce if any({a.id, row.id} <= i.axes for i in x.map)]
    if len(taps) != 1 or depth[0] != taps[0].extent or row in weighted:
        taps = [NO_ROW]
    signature = signature_of(tunable, stage, row, col, lane, depth, taps, packed)
    choice = choose(signature)
    block, order = Block(choice.mr, choice.nv, rows=choice.rows), tuple(a.id for a in stage.reduce)
    columns = None if col is None else col.id
    return stage, Place(outer, row.id, columns, lane.id, block, order, packed, signature=signature)


def _reduce(stage: Stage, machine: Machine) -> tuple[Stage, Place]:
    x = stage.operands[0]
    kept = next((a for a in stage.axes if stride(x, a.id) == 1 and a.extent > 1), None)
    across = next((a for a in stage.reduce if stride(x, a.id) == 1), None)
    if kept is None and across is None:
        kept = min(
            (a for a in stage.axes if a.extent > 1),
            key=lambda a: out_stride(stage, a.id) or 1 << 60,
            default=None,
        )
        across = None if kept is not None else next(iter(stage.reduce), None)
    order = tuple(a.id for a in sorted(stage.reduce, key=lambda a: -stride(x, a.id)))
    stage = replace(stage, reduce=tuple(axis_of(stage, number) for number in order))
    row = max((a for a in stage.axes if a is not kept), key=lambda a: out_stride(stage, a.id), default=None)
    if row is None:
        row = NO_ROW
        stage = replace(stage, axes=(*stage.axes, row))
    lane = kept if kept is not None else across
    if lane is None:
        lane = NO_LANE
        stage = replace(stage, axes=(*stage.axes, lane))
    nv = columns_together(x.inlined(), machine) if lane is kept and stride(x, lane.id) == 1 else 1
    return stage, Place((), row.id, None, lane.id, Block(1, nv))


def _by_rows(stage: Stage, choose: Choose, rows: tuple[Axis, ...], packed: bool) -> tuple[Stage, Place]:
    """A stage of a row group: the unit fixes all of `rows` but the last, of which it computes a tile; those of a product are its columns."""
    if stage.anchor == "contraction":
        return _contraction(stage, choose, packed, None)
    numbers = tuple(axis.id for axis in rows)
    if _is_vectors(rows[-1].extent, choose.machine.lanes) and _lies_along(stage, rows[-1]):
        walked = tuple(axis for axis in stage.axes if axis.id not in numbers)
        return replace(stage, axes=(*rows, *walked)), Place(
            numbers[:-1], numbers[-1], None, numbers[-1], Block(1, 1)
        )
    within = replace(stage, axes=tuple(axis for axis in stage.axes if axis.id not in numbers))
    assert stage.anchor in ("reduce", "pointwise"), f"rows of a {stage.anchor} are not computed alone"
    within, place = (
        _reduce(within, choose.machine) if stage.anchor == "reduce" else _pointwise(within, choose)
    )
    own = tuple(axis for axis in within.axes if axis.id != NO_ROW.id)
    lane = numbers[-1] if place.lane == NO_ROW.id else place.lane
    return replace(within, axes=(*rows, *own)), replace(place, outer=numbers[:-1], row=numbers[-1], lane=lane)


def _is_vectors(rows: int, lanes: int) -> bool:
    """Whether few of so many rows, which would be computed one by one, are left over by whole vectors."""
    return rows >= lanes and rows % lanes * MOST_LEFT_OVER <= rows


def _lies_along(stage: Stage, row: Axis) -> bool:
    """Whether neighbours in memory are neighbours along the rows, not within one: in all that has several elements of a row, but for what is turned.

    What is the same for all rows, such as weights of channels, does not matter.
    """
    values = [store.value for store in stage.stores]
    inside = [axis for axis in (*stage.axes, *stage.reduce) if axis.extent > 1 and axis.id != row.id]
    read = [load.map[0] for load in loads(*values, *(operand.inlined() for operand in stage.operands))]
    if not stage.operands and turned_axis(values, row, inside) is not None:
        read = []
    touched = [store.map[0] for store in stage.stores] + [i for i in read if i.coefficient(row.id) != 0]
    wide = [index for index in touched if any(index.coefficient(axis.id) != 0 for axis in inside)]
    return bool(wide) and all(index.coefficient(row.id) == 1 for index in wide)


def _pointwise(stage: Stage, choose: Choose) -> tuple[Stage, Place]:
    axes = sorted(stage.axes, key=lambda a: out_stride(stage, a.id))
    if not axes:
        return replace(stage, axes=(NO_ROW,)), Place((), NO_ROW.id, None, NO_ROW.id, Block(1, 1))
    lane, row = axes[0], axes[-1]
    if len(axes) == 2 and turned_axis([store.value for store in stage.stores], lane, [row]) is not None:
        row = max(axes, key=lambda axis: axis.extent)  # threads share out the longer side of what is turned
    signature = signature_of("pointwise", stage, row, None, lane, ())
    return stage, Place((), row.id, None, lane.id, Block(1, choose(signature).nv), signature=signature)


def in_place(operand: Operand) -> bool:
    """Whether a window can read the operand where it lies: a load, or a load with a constant outside a box, forward along plain axes."""
    expr = operand.expr
    if isinstance(expr, Guard) and isinstance(expr.outside, Const):
        expr = expr.inside
    return isinstance(expr, Load) and all(t.linear and t.scale > 0 for index in expr.map for t in index.terms)
