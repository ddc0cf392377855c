"""Winograd: 3x3 convolutions by tiles of 4x4 outputs, 36 products for each tile and channel where the direct way takes 144.

    Y = A' [ (G g G') * (B' d B) ] A        d: 6x6 inputs, g: the 3x3 kernel, Y: 4x4 outputs, ' transposed

F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). The group of a convolution becomes a row group of three
stages: inputs transformed, with the group's prologue and the pads; one product per element of a transformed tile; sums transformed back, with the
group's epilogue. Kernels are transformed at compile time, in float64.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np

from .choice import Signature
from .expr import NOTHING, Acc, Const, Expr, Guard, Load, const, cost, guard, op, rewrite, substitute
from .fusion import Fused
from .graph import Graph, Type, free_name
from .index import Axis, Bound, Index
from .planes import has_tiles
from .schedule import NO_ROW
from .schedule_table import ScheduleTable
from .stage import Decision, Group, Operand, Stage, Store
from .target import Machine, Target

OUT, KERNEL = 4, 3
SIDE = OUT + KERNEL - 1
"""Of a tile of inputs, and of the transformed tile."""

G = np.array(
    [[1 / 4, 0, 0], [-1 / 6, -1 / 6, -1 / 6], [-1 / 6, 1 / 6, -1 / 6], [1 / 24, 1 / 12, 1 / 6], [1 / 24, -1 / 12, 1 / 6], [0, 0, 1]]
)  # fmt: skip

WORTHWHILE = 1 << 21
"""Multiplications of a direct convolution below which nothing worth the larger code is gained: some 50 microseconds on a board."""

INPUT_OPS, OUTPUT_OPS = 144, 100
"""Additions and multiply-adds that transform a tile of inputs, and a tile of sums."""

BYTES_PER_CYCLE = 8
"""At which kernels come from a cache beyond the first."""

CLEARLY = 0.8
"""Share of the direct way's cycles that the transformed one may take: it writes more code and rounds more."""

CHEAP = 12
"""Primitives of a prologue that may be computed for each of the 36 inputs of a tile of 16."""


@dataclass(frozen=True)
class _Convolution:
    """What the transformed stages need to know of a direct one."""

    stage: Stage
    weights: str
    batch: Axis
    outputs: Axis
    rows: Axis
    cols: Axis
    channels: Axis


def gains(group: Group, graph: Graph, fused: Fused, target: Target, table: ScheduleTable) -> bool:
    """Whether a group is a 3x3 convolution that gains by Winograd's algorithm once planes are turned; of few channels turning them costs more."""
    left = frozenset(value for value in (*graph.inputs, *graph.outputs) if not has_tiles(graph, value))
    conv = _convolution(group, {**graph.constants, **fused.constants}, left)
    if conv is None or min(conv.channels.extent, conv.outputs.extent) < target.machine.lanes:
        return False
    return _wanted(conv, _signature(conv), target.machine, table)


def form_winograd(graph: Graph, fused: Fused, target: Target, table: ScheduleTable) -> Fused:
    """`fused` with the groups of 3x3 convolutions that gain by it, or that `table` names, as row groups of three stages."""
    constants = {**graph.constants, **fused.constants}
    groups, ledger, extra = list(fused.groups), list(fused.ledger), dict(fused.constants)
    outside = frozenset((*graph.inputs, *graph.outputs))
    for number, group in enumerate(fused.groups):
        conv = _convolution(group, constants, outside)
        if conv is None:
            continue
        signature = _signature(conv)
        group = groups[number] = replace(group, signature=signature)
        if not _wanted(conv, signature, target.machine, table):
            continue
        name = free_name(f"{conv.weights}/winograd", graph.types)
        extra[name] = transformed(constants[conv.weights])
        groups[number] = _row_group(group, conv, name, graph.types)
        ledger.append(Decision(True, group.nodes[0], group.nodes[0], "computed by Winograd's F(4x4, 3x3)"))
    return replace(fused, groups=tuple(groups), constants=extra, ledger=tuple(ledger))


def transformed(weights: np.ndarray) -> np.ndarray:
    """Kernels (outputs, channels, 3, 3) as (36, channels, outputs)."""
    wide = np.einsum("ik,nckl,jl->ijcn", G, weights.astype(np.float64), G)
    return np.ascontiguousarray(wide.reshape(SIDE * SIDE, *wide.shape[2:]).astype(np.float32))


def _wanted(conv: _Convolution, signature: Signature, machine: Machine, table: ScheduleTable) -> bool:
    chosen = table.choice(signature)
    return _pays(conv, machine) if chosen is None else chosen.winograd


def _convolution(
    group: Group, constants: Mapping[str, np.ndarray], outside: frozenset[str]
) -> _Convolution | None:
    """The group's convolution, where it is one of 3x3 with constant weights, dense, without stride, and touches nothing `outside`.

    What lies there is in planes, which the transforms would read and write element by element.
    """
    stage = group.root
    if "Conv" not in group.ops or len(group.stages) > 1 or len(stage.axes) != 5 or len(stage.reduce) != 3:
        return None
    n, groups, outputs, y, x = stage.axes
    channels, ky, kx = stage.reduce
    data, weight = stage.operands
    kernel = weight.inlined()
    steps = tuple(Index.of(a) + Index.of(k) for a, k in ((y, ky), (x, kx)))
    if (
        groups.extent > 1
        or 1 in (outputs.extent, channels.extent)
        or (ky.extent, kx.extent) != (KERNEL, KERNEL)
        or data.map[2:] != steps
    ):
        return None
    loads = [load for load in stage.loads() if load.buffer not in constants]
    if (
        not isinstance(kernel, Load)
        or kernel.buffer not in constants
        or constants[kernel.buffer].shape != (outputs.extent, channels.extent, KERNEL, KERNEL)
        or kernel.map != tuple(Index.of(a) for a in (outputs, channels, ky, kx))
        or data.expr.dtype != "float32"
        or cost(data.expr) > CHEAP
        or any(
            name in outside for name in (*(load.buffer for load in loads), *(s.buffer for s in stage.stores))
        )
    ):
        return None
    return _Convolution(stage, kernel.buffer, n, outputs, y, x, channels)


def _signature(conv: _Convolution) -> Signature:
    """What it depends on whether the convolution is transformed; layouts are still to come."""
    depth = (conv.channels.extent, KERNEL, KERNEL)
    epilogue = cost(*(store.value for store in conv.stage.stores))
    rows, cols, outputs = conv.rows.extent, conv.cols.extent, conv.outputs.extent
    return Signature("winograd", rows, cols, outputs, depth, (), (), epilogue, True, "float32")


def _tiles(conv: _Convolution) -> tuple[int, int]:
    return ceil(conv.rows.extent / OUT), ceil(conv.cols.extent / OUT)


def _pays(conv: _Convolution, machine: Machine) -> bool:
    """Whether the transformed way takes clearly fewer cycles: products, transforms by the pipes they fill, kernels by their way to the core."""
    c, n = conv.channels.extent, conv.outputs.extent
    vectors_in, vectors_out = ceil(c / machine.lanes), ceil(n / machine.lanes)
    tiles = conv.batch.extent * prod(_tiles(conv))
    positions = conv.batch.extent * conv.rows.extent * conv.cols.extent
    if positions * c * n * KERNEL**2 < WORTHWHILE:
        return False
    direct = positions * vectors_out * c * KERNEL**2 / machine.fma_pipes
    products = tiles * vectors_out * c * SIDE**2 / machine.fma_pipes
    there = tiles * vectors_in * (INPUT_OPS / machine.fma_pipes + 2 * SIDE**2 / machine.load_pipes)
    back = tiles * vectors_out * (OUTPUT_OPS / machine.fma_pipes + (SIDE**2 + OUT**2) / machine.load_pipes)
    kernels = 4 * c * n * (SIDE**2 - KERNEL**2) / BYTES_PER_CYCLE
    return products + there + back + kernels < CLEARLY * direct


def _row_group(group: Group, conv: _Convolution, kernels: str, taken: Container[str]) -> Group:
    """The three stages; they share the tiles, which are the product's columns."""
    high, wide = _tiles(conv)
    n, ty, tx = replace(conv.batch, id=0), Axis(1, high), Axis(2, wide)
    c, oc, element = Axis(3, conv.channels.extent), Axis(4, conv.outputs.extent), Axis(5, SIDE * SIDE)
    first = group.root.stores[0].buffer
    before, after = (free_name(f"{first}/winograd {what}", taken) for what in ("inputs", "sums"))
    inputs = Type("float32", (element.extent, n.extent, high, wide, c.extent))
    sums = Type("float32", (element.extent, n.extent, high, wide, oc.extent))
    where = (Index.of(n), Index.of(ty), Index.of(tx))
    there = Stage("pointwise", (n, ty, tx, c), (), "sum", (), None, tuple(
        Store(value, before, (Index(number), *where, Index.of(c)))
        for number, value in _transformed_inputs(conv, n, ty, tx, c)
    ))  # fmt: skip
    axes = (element, n, ty, tx, c)
    product = Stage(
        "contraction", (element, n, ty, tx, oc), (c,), "sum",
        (_plain(before, axes), _plain(kernels, (element, c, oc))), None,
        (Store(Acc("float32"), after, (Index.of(element), *where, Index.of(oc))),),
    )  # fmt: skip
    back = Stage("pointwise", (n, ty, tx, oc), (), "sum", (), None, _stores(conv, after, n, ty, tx, oc))
    rows = tuple(axis for axis in (n, ty, tx) if axis.extent > 1) or (NO_ROW,)
    return Group(
        (there, product, back),
        group.nodes,
        group.ops,
        ((before, inputs), (after, sums)),
        rows,
        group.signature,
    )


def _plain(buffer: str, axes: tuple[Axis, ...]) -> Operand:
    where = tuple(Index.of(axis) for axis in axes)
    return Operand(axes, Load("float32", buffer, where), where)


def _transformed_inputs(
    conv: _Convolution, n: Axis, ty: Axis, tx: Axis, c: Axis
) -> Iterator[tuple[int, Expr]]:
    """B' d B of the tile at (ty, tx), numbered row by row, with those next to each other that have operations in common."""
    data = conv.stage.operands[0]
    own_n, own_c, own_y, own_x = data.axes
    padded = (
        isinstance(data.expr, Guard) and isinstance(data.expr.outside, Const) and data.expr.outside.value == 0
    )
    pads = data.expr.box if padded and isinstance(data.expr, Guard) else ()

    def element(i: int, j: int) -> Expr:
        y, x = Index.of(ty) * OUT + i, Index.of(tx) * OUT + j
        read = substitute(data.expr, {own_n.id: Index.of(n), own_c.id: Index.of(c), own_y.id: y, own_x.id: x})
        # Tiles reach beyond a size that is no multiple of theirs; where there are pads, their guard says so already.
        bounded = {number for bound in pads for number in bound.index.axes}
        box = tuple(Bound(at, 0, own.extent) for own, at in ((own_y, y), (own_x, x)) if own.id not in bounded)
        return guard(box, read, const(0.0))

    tile = [_inputs_of([element(i, j) for i in range(SIDE)]) for j in range(SIDE)]
    values = [_inputs_of([tile[j][i] for j in range(SIDE)]) for i in range(SIDE)]
    for rows in (0,), (1, 2), (3, 4), (5,):
        yield from ((i * SIDE + j, values[i][j]) for j in range(SIDE) for i in rows)


def _inputs_of(d: Sequence[Expr]) -> list[Expr]:
    """B' times a vector of six."""
    even, odd = op("muladd", d[2], -4.0, d[4]), op("muladd", d[1], -4.0, d[3])
    far, near = d[4] - d[2], d[3] - d[1]
    return [
        op("muladd", d[0], 4.0, even - d[2]),
        even + odd,
        even - odd,
        op("muladd", near, 2.0, far),
        op("muladd", near, -2.0, far),
        op("muladd", d[3], -5.0, op("muladd", d[1], 4.0, d[5])),
    ]


def _outputs_of(m: Sequence[Expr]) -> list[Expr]:
    """A' times a vector of six."""
    sum1, sum2, gap1, gap2 = m[1] + m[2], m[3] + m[4], m[1] - m[2], m[3] - m[4]
    return [
        m[0] + sum1 + sum2,
        op("muladd", gap2, 2.0, gap1),
        op("muladd", sum2, 4.0, sum1),
        op("muladd", gap2, 8.0, gap1 + m[5]),
    ]


def _stores(conv: _Convolution, sums: str, n: Axis, ty: Axis, tx: Axis, oc: Axis) -> tuple[Store, ...]:
    """What the convolution's group stores, for each of a tile's outputs that exist."""
    where = (Index.of(n), Index.of(ty), Index.of(tx), Index.of(oc))
    products = [Load("float32", sums, (Index(number), *where)) for number in range(SIDE * SIDE)]
    half = [_outputs_of(products[j::SIDE]) for j in range(SIDE)]
    totals = [_outputs_of([half[k][i] for k in range(SIDE)]) for i in range(OUT)]
    stores = []
    for rows in (0, 2), (1, 3):  # those that have operations in common
        for total, i, j in [(totals[i][j], i, j) for j in range(OUT) for i in rows]:
            y, x = Index.of(ty) * OUT + i, Index.of(tx) * OUT + j
            at = {conv.batch.id: where[0], conv.outputs.id: where[3], conv.rows.id: y, conv.cols.id: x}
            if conv.stage.init is not None:
                total = total + substitute(conv.stage.init, at)
            box = (Bound(y, 0, conv.rows.extent), Bound(x, 0, conv.cols.extent))
            if any(bound.verdict is False for bound in box):
                continue  # a map of fewer rows or columns than a tile
            for store in conv.stage.stores:
                value = _with_acc(substitute(store.value, at), total)
                stores.append(
                    Store(
                        guard(box, value, NOTHING), store.buffer, tuple(k.substitute(at) for k in store.map)
                    )
                )
    return tuple(stores)


def _with_acc(value: Expr, acc: Expr) -> Expr:
    """`value` with what the anchor computed given as an expression."""
    return rewrite(value, leaf=lambda node: acc if isinstance(node, Acc) else None)
