"""Graph nodes as stages and expressions: what each anchor reads, over which axes, and what each movement op does to coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

from ..errors import UserError
from .elementwise import TABLE
from .expr import DYNAMIC, Const, Expr, Load, Lookup, cast, const, guard, op, substitute
from .graph import Graph, Node, Type, free_name
from .index import Axis, Bound, Index, Map, Term, flatten, unflatten
from .resize import resize
from .stage import Combine, Operand, Stage

OWN = 100
"""Axis numbers of operands start here, those of stages at 0."""


def dimensions(shape: tuple[int, ...], first: int = 0) -> tuple[Axis, ...]:
    """One axis per dimension."""
    return tuple(Axis(first + i, n) for i, n in enumerate(shape))


def identity(shape: tuple[int, ...], first: int = 0) -> Map:
    """Every dimension read at its own axis."""
    return tuple(Index.of(axis) for axis in dimensions(shape, first))


@dataclass
class Values:
    """Expressions of a graph's values over their own dimensions: a Load where the value is in memory, else what makes it."""

    graph: Graph
    in_memory: Callable[[str], bool]
    done: dict[str, Expr] = field(default_factory=dict)
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    """Constants that stages need beyond the graph's own."""

    def type(self, value: str) -> Type:
        """Type of a value of the graph."""
        return self.graph.types[value]

    def expr(self, value: str) -> Expr:
        """The element of `value` at its dimensions' axes."""
        if value not in self.done:
            self.done[value] = self._expr(value)
        return self.done[value]

    def at(self, value: str, where: Map) -> Expr:
        """The element of `value` at `where`, which may be over any axes."""
        return substitute(self.expr(value), dict(enumerate(where)))

    def constant(self, name: str, data: np.ndarray) -> Callable[[Map], Expr]:
        """What reads an element of `data`, now one of `extra`; `name` says how it was made, and becomes longer where the graph has it."""
        name = free_name(name, self.graph.types)
        self.extra[name] = data
        return lambda where: Load(data.dtype.name, name, where)

    def _expr(self, value: str) -> Expr:
        type_ = self.type(value)
        constant = self.graph.constants.get(value)
        if constant is not None and constant.size == 1:
            return const(constant.reshape(()).item(), type_.dtype)
        if self.in_memory(value):
            return Load(type_.dtype, value, identity(type_.shape))
        return self.node_expr(self.graph.producers()[value])

    def node_expr(self, node: Node) -> Expr:
        """What a node of elementwise or movement kind computes, over its output's dimensions."""
        shape = self.type(node.output).shape
        where = identity(shape)
        if node.op in TABLE:
            return self.apply(node, [self.broadcast(v, where) for v in node.inputs])
        return MOVES[node.op](self, node, where)

    def apply(self, node: Node, args: list[Expr]) -> Expr:
        """The elementwise op of `node` on operand expressions."""
        return TABLE[node.op](*args, **dict(node.attrs))

    def broadcast(self, value: str, where: Map) -> Expr:
        """The element of `value` that takes part at `where` of a result it broadcasts to."""
        shape = self.type(value).shape
        aligned = where[len(where) - len(shape) :]
        return self.at(value, tuple(Index(0) if n == 1 else i for n, i in zip(shape, aligned, strict=True)))


# -- data movement: the input's coordinates as a function of the output's


def reshape_map(source: tuple[int, ...], where: Map, shape: tuple[int, ...]) -> Map:
    """Where in a value of shape `source` the element `where` of its reshape to `shape` lies."""
    return unflatten(flatten(where, shape), source)


def _reshape(values: Values, node: Node, where: Map) -> Expr:
    (x,) = node.inputs[:1]
    return values.at(x, reshape_map(values.type(x).shape, where, values.type(node.output).shape))


def _transpose(values: Values, node: Node, where: Map) -> Expr:
    perm = node.ints("perm")
    return values.at(node.inputs[0], tuple(where[perm.index(axis)] for axis in range(len(perm))))


def _pad(values: Values, node: Node, where: Map) -> Expr:
    (x,) = node.inputs[:1]
    type_ = values.type(x)
    begins = node.ints("pads")[: len(type_.shape)]
    value = node.attr("value")
    assert isinstance(value, (int, float))
    box = tuple(Bound(i, b, b + n) for i, b, n in zip(where, begins, type_.shape, strict=True))
    inside = values.at(x, tuple(i + -b for i, b in zip(where, begins, strict=True)))
    return guard(box, inside, const(value, type_.dtype))


def _slice(values: Values, node: Node, where: Map) -> Expr:
    starts, steps = node.ints("starts"), node.ints("steps")
    return values.at(
        node.inputs[0], tuple(i * step + start for i, start, step in zip(where, starts, steps, strict=True))
    )


def _concat(values: Values, node: Node, where: Map) -> Expr:
    axis = node.attr("axis")
    assert isinstance(axis, int)
    ends = np.cumsum([values.type(v).shape[axis] for v in node.inputs]).tolist()
    result: Expr | None = None
    for value, end in reversed(list(zip(node.inputs, ends, strict=True))):
        start = end - values.type(value).shape[axis]
        inside = values.at(value, tuple(i + -start if d == axis else i for d, i in enumerate(where)))
        result = inside if result is None else guard((Bound(where[axis], 0, end),), inside, result)
    assert result is not None
    return result


def _expand(values: Values, node: Node, where: Map) -> Expr:
    return values.broadcast(node.inputs[0], where)


def _gather(values: Values, node: Node, where: Map) -> Expr:
    x, indices = node.inputs
    axis, shape = node.attr("axis"), values.type(x).shape
    assert isinstance(axis, int)
    rank = len(values.type(indices).shape)
    index = cast(values.at(indices, where[axis : axis + rank]), "int64")
    index = op("select", op("lt", index, 0), index + shape[axis], index)
    index = op("min", op("max", index, 0), shape[axis] - 1)
    source = values.expr(x)
    if isinstance(source, Const):
        return source
    assert isinstance(source, Load), f"{x} is looked up, so it is in memory"
    dynamic = Index(0, (Term(1, Axis(DYNAMIC, shape[axis])),))
    return Lookup(source.dtype, source.buffer, (*where[:axis], dynamic, *where[axis + rank :]), index)


def _resize(values: Values, node: Node, where: Map) -> Expr:
    return resize(lambda at: values.at(node.inputs[0], at), values, node, where)


MOVES: Mapping[str, Callable[[Values, Node, Map], Expr]] = {
    "Reshape": _reshape, "Transpose": _transpose, "Pad": _pad, "Slice": _slice, "Concat": _concat, "Expand": _expand,
    "Resize": _resize,
    "Gather": _gather,
}  # fmt: skip


# -- anchors


@dataclass(frozen=True)
class Anchored:
    """An anchor's stage without outputs, the coordinates of its result over the stage's axes, and what finishes it (a mean's division)."""

    stage: Stage
    where: Map
    finish: Callable[[Expr], Expr] = lambda acc: acc


def build_stage(values: Values, node: Node) -> Anchored:
    """The stage of an anchor node."""
    return BUILDERS[node.op](values, node)


def _windowed(
    values: Values,
    x: str,
    spatial: tuple[Axis, ...],
    kernel: tuple[Axis, ...],
    node: Node,
    fill: float,
    lead: Map,
) -> Operand:
    """An input read by sliding windows, the pads around it a guard outside whatever computes it."""
    shape, rank = values.type(x).shape, len(spatial)
    strides, dilations, pads = node.ints("strides"), node.ints("dilations"), node.ints("pads")
    slides = tuple(
        Index.of(o) * s + Index.of(k) * d
        for o, k, s, d in zip(spatial, kernel, strides, dilations, strict=True)
    )
    padded = (*shape[:2], *(index.range[1] + 1 for index in slides))
    own, where = dimensions(padded, OWN), identity(padded, OWN)
    box = tuple(Bound(where[2 + i], pads[i], pads[i] + shape[2 + i]) for i in range(rank))
    inside = values.at(x, (*where[:2], *(where[2 + i] + -pads[i] for i in range(rank))))
    return Operand(own, guard(box, inside, const(fill, inside.dtype)), (*lead, *slides))


def _conv(values: Values, node: Node) -> Anchored:
    x, w = node.inputs[:2]
    out, weights = values.type(node.output).shape, values.type(w).shape
    groups = node.attr("group")
    assert isinstance(groups, int)
    n, g, oc = Axis(0, out[0]), Axis(1, groups), Axis(2, out[1] // groups)
    spatial = tuple(Axis(3 + i, extent) for i, extent in enumerate(out[2:]))
    ic = Axis(10, weights[1])
    kernel = tuple(Axis(11 + i, extent) for i, extent in enumerate(weights[2:]))
    channel_in = Index.of(g) * weights[1] + Index.of(ic)
    channel_out = Index.of(g) * oc.extent + Index.of(oc)
    data = _windowed(values, x, spatial, kernel, node, 0.0, (Index.of(n), channel_in))
    where = (channel_out, Index.of(ic), *(Index.of(k) for k in kernel))
    weight = Operand(dimensions(weights, OWN), values.at(w, identity(weights, OWN)), where)
    init = values.at(node.inputs[2], (channel_out,)) if len(node.inputs) > 2 else None
    stage = Stage("contraction", (n, g, oc, *spatial), (ic, *kernel), "sum", (data, weight), init, ())
    return Anchored(stage, (Index.of(n), channel_out, *(Index.of(a) for a in spatial)))


def _conv_transpose(values: Values, node: Node) -> Anchored:
    """By phases: output position ``stride * o + r`` sums over the taps that reach it, ``k = (r + pad) % stride + stride * t``.

    Each phase r is an ordinary convolution over t, read at ``o + (r + pad) // stride - t``.
    """
    x, w = node.inputs[:2]
    shape, out = values.type(x).shape, values.type(node.output).shape
    groups = node.attr("group")
    assert isinstance(groups, int)
    strides, dilations, pads = node.ints("strides"), node.ints("dilations"), node.ints("pads")
    kernel, rank = values.type(w).shape[2:], len(out) - 2
    if any(d > 1 and s > 1 for d, s in zip(dilations, strides, strict=True)):
        raise UserError(
            f"ConvTranspose, node {node.name}: dilations together with strides are not supported; give it one of them"
        )
    taps = [-(-k // s) for k, s in zip(kernel, strides, strict=True)]
    n, g, oc = Axis(0, out[0]), Axis(1, groups), Axis(2, out[1] // groups)
    spatial = tuple(Axis(3 + i, out[2 + i] // strides[i]) for i in range(rank))
    phase = tuple(Axis(6 + i, strides[i]) for i in range(rank))
    ic, tap = Axis(10, shape[1] // groups), tuple(Axis(11 + i, taps[i]) for i in range(rank))
    channel_in = Index.of(g) * ic.extent + Index.of(ic)
    channel_out = Index.of(g) * oc.extent + Index.of(oc)
    where, kernels, lead = [], [], []
    for i in range(rank):
        first = Index.of(phase[i]) + pads[i]
        lead.append((taps[i] - 1) * dilations[i])
        where.append(Index.of(spatial[i]) + first // strides[i] + Index.of(tap[i]) * dilations[i])
        kernels.append(first % strides[i] + (taps[i] - 1) * strides[i] + Index.of(tap[i]) * -strides[i])
    padded = (*shape[:2], *(index.range[1] + 1 for index in where))
    own, at = dimensions(padded, OWN), identity(padded, OWN)
    box = tuple(Bound(at[2 + i], lead[i], lead[i] + shape[2 + i]) for i in range(rank))
    inside = values.at(x, (*at[:2], *(at[2 + i] + -lead[i] for i in range(rank))))
    data = Operand(own, guard(box, inside, const(0.0, inside.dtype)), (Index.of(n), channel_in, *where))
    whole = _whole_phases(values, w, strides)
    load = values.constant(f"{w}/phases {strides}", whole)(identity(whole.shape, OWN))
    weights = Operand(dimensions(whole.shape, OWN), load, (channel_in, Index.of(oc), *kernels))
    short = [i for i in range(rank) if taps[i] > 1 and kernels[i].range[1] >= kernel[i]]
    support = tuple(Bound(kernels[i], 0, kernel[i]) for i in short)
    init = values.at(node.inputs[2], (channel_out,)) if len(node.inputs) > 2 else None
    axes = (n, g, oc, *spatial, *phase)
    stage = Stage("contraction", axes, (ic, *tap), "sum", (data, weights), init, (), support)
    result = tuple(Index.of(o) * s + Index.of(r) for o, r, s in zip(spatial, phase, strides, strict=True))
    return Anchored(stage, (Index.of(n), channel_out, *result))


def _whole_phases(values: Values, w: str, strides: tuple[int, ...]) -> np.ndarray:
    """The weights with the kernel rounded up to whole strides by zeros."""
    constant = values.graph.constants.get(w)
    if constant is None:
        raise UserError(
            f"ConvTranspose with computed weights {w} is not supported: make the weights an initializer"
        )
    pads = [(0, -extent % stride) for extent, stride in zip(constant.shape[2:], strides, strict=True)]
    return np.pad(constant, [(0, 0), (0, 0), *pads])


def _matmul(values: Values, node: Node) -> Anchored:
    a, b = node.inputs
    out = values.type(node.output).shape
    left, right = values.type(a).shape, values.type(b).shape
    lead = out[: len(out) - (len(left) > 1) - (len(right) > 1)]
    batch = dimensions(lead)
    m, n, k = (
        Axis(len(lead), left[-2] if len(left) > 1 else 1),
        Axis(len(lead) + 1, right[-1] if len(right) > 1 else 1),
        Axis(10, left[-1]),
    )

    def operand(value: str, shape: tuple[int, ...], tail: Map) -> Operand:
        own = dimensions(shape, OWN)
        outer = len(shape) - len(tail)
        aligned = batch[len(batch) - outer :]
        where = (
            tuple(
                Index(0) if extent == 1 else Index.of(axis)
                for extent, axis in zip(shape, aligned, strict=False)
            )
            + tail
        )
        return Operand(own, values.at(value, tuple(Index.of(axis) for axis in own)), where)

    first = operand(a, left, (Index.of(m), Index.of(k)) if len(left) > 1 else (Index.of(k),))
    second = operand(b, right, (Index.of(k), Index.of(n)) if len(right) > 1 else (Index.of(k),))
    where = tuple(Index.of(axis) for axis in batch)
    where += (Index.of(m),) * (len(left) > 1) + (Index.of(n),) * (len(right) > 1)
    return Anchored(Stage("contraction", (*batch, m, n), (k,), "sum", (first, second), None, ()), where)


def _pool(values: Values, node: Node) -> Anchored:
    (x,) = node.inputs
    out = values.type(node.output).shape
    n, c = Axis(0, out[0]), Axis(1, out[1])
    spatial = tuple(Axis(2 + i, extent) for i, extent in enumerate(out[2:]))
    kernel = tuple(Axis(10 + i, extent) for i, extent in enumerate(node.ints("kernel")))
    largest = node.op == "MaxPool"
    data = _windowed(
        values, x, spatial, kernel, node, float("-inf") if largest else 0.0, (Index.of(n), Index.of(c))
    )
    stage = Stage("pool", (n, c, *spatial), kernel, "max" if largest else "sum", (data,), None, ())
    where = (Index.of(n), Index.of(c), *(Index.of(a) for a in spatial))
    if largest:
        return Anchored(stage, where)
    share = _shares(values, node)
    return Anchored(
        stage,
        where,
        lambda acc: acc * (share if isinstance(share, float) else share(where[2:])),
    )


def _shares(values: Values, node: Node) -> float | Callable[[Map], Expr]:
    """What an average multiplies its sums by: one number, or one for each place where windows at the edges hold fewer elements."""
    kernel, strides, dilations, pads = (node.ints(key) for key in ("kernel", "strides", "dilations", "pads"))
    source, out = values.type(node.inputs[0]).shape[2:], values.type(node.output).shape[2:]
    if node.attr("count_include_pad"):
        limits = [(-pads[i], source[i] + pads[i + len(source)]) for i in range(len(source))]
    else:
        limits = [(0, extent) for extent in source]
    counts = []
    for i, extent in enumerate(out):
        taps = np.arange(extent)[:, None] * strides[i] - pads[i] + np.arange(kernel[i]) * dilations[i]
        counts.append(((taps >= limits[i][0]) & (taps < limits[i][1])).sum(axis=1))
    total = np.ones((), dtype=np.int64)
    for count in counts:
        total = np.multiply.outer(total, count)
    if (total == total.flat[0]).all():
        return float(np.float32(1.0) / np.float32(total.flat[0]))
    shares = np.float32(1.0) / total.astype(np.float32)
    return values.constant(f"{node.output}/shares", shares.astype(np.float32))


_COMBINE: Mapping[str, Combine] = {
    "ReduceSum": "sum",
    "ReduceMean": "sum",
    "ReduceMax": "max",
    "ReduceMin": "min",
}


def _reduce(values: Values, node: Node) -> Anchored:
    (x,) = node.inputs
    shape, axes = values.type(x).shape, node.ints("axes")
    kept = tuple(Axis(i, n) for i, n in enumerate(shape) if i not in axes)
    reduced = tuple(Axis(10 + i, n) for i, n in enumerate(shape) if i in axes)
    by_dim = {a.id: a for a in kept} | {a.id - 10: a for a in reduced}
    where = tuple(Index.of(by_dim[i]) for i in range(len(shape)))
    data = Operand(dimensions(shape, OWN), values.at(x, identity(shape, OWN)), where)
    stage = Stage("reduce", kept, reduced, _COMBINE[node.op], (data,), None, ())
    where = tuple(
        Index(0) if i in axes else Index.of(by_dim[i])
        for i in range(len(shape))
        if i not in axes or node.attr("keepdims")
    )
    if node.op != "ReduceMean":
        return Anchored(stage, where)
    share = float(np.float32(1.0 / prod(a.extent for a in reduced)))
    return Anchored(stage, where, lambda acc: op("mul", acc, share))


BUILDERS: Mapping[str, Callable[[Values, Node], Anchored]] = {
    "Conv": _conv, "ConvTranspose": _conv_transpose, "MatMul": _matmul, "MaxPool": _pool, "AveragePool": _pool,
    "ReduceSum": _reduce, "ReduceMean": _reduce, "ReduceMax": _reduce, "ReduceMin": _reduce,
}  # fmt: skip
