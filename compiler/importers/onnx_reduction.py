"""ONNX's reductions and what is made of them: softmax and the norms along axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from ..graph import Type
from .builder import Builder, onnx_number
from .onnx_node import OnnxNode, Unsupported, axes_of, axis_of

LARGEST = float(np.finfo(np.float32).max)
SMALLEST = float(np.finfo(np.float32).tiny)


def reduce(op: str, before: str = "", after: str = "") -> Callable[[Builder, OnnxNode], None]:
    """A reduction of ``before(x)``, then ``after`` it; ``Square`` is ``x * x``."""

    def lower(builder: Builder, node: OnnxNode) -> None:
        x = node.inputs[0]
        axes = _axes(builder, node)
        keepdims = node.integer("keepdims", 1)
        if after:
            _only_floats(builder, node)
        if before:
            x = (
                builder.step(node, before.lower(), "Mul", (x, x))
                if before == "Square"
                else builder.step(node, before.lower(), before, (x,))
            )
        if not axes:
            return builder.finish(node, after, (x,)) if after else builder.finish(node, "Reshape", (x,))
        if not after:
            return builder.finish(node, op, (x,), axes=axes, keepdims=keepdims)
        reduced = builder.step(node, "reduce", op, (x,), node.type().shape, axes=axes, keepdims=keepdims)
        return builder.finish(node, after, (reduced,))

    return lower


def mean(builder: Builder, node: OnnxNode) -> None:
    """The mean; of integers, their sum divided by how many they are, truncated toward zero."""
    x = node.inputs[0]
    axes = _axes(builder, node)
    if not axes or (dtype := builder.types[x].dtype) == "float32":
        return reduce("ReduceMean")(builder, node)
    keepdims = node.integer("keepdims", 1)
    total = builder.step(node, "sum", "ReduceSum", (x,), node.type().shape, axes=axes, keepdims=keepdims)
    terms = prod(builder.shape(x)[axis] for axis in axes)
    count = builder.add_constant(builder.fresh(node, "count"), np.asarray(terms, dtype))
    return builder.finish(node, "Div", (total, count))


def arg(op: str) -> Callable[[Builder, OnnxNode], None]:
    """Where along an axis the largest or smallest element is: the first or last position that has it."""

    def lower(builder: Builder, node: OnnxNode) -> None:
        x = node.inputs[0]
        shape = builder.shape(x)
        axis = axis_of(node.integer("axis", 0), len(shape))
        reduced = (*shape[:axis], 1, *shape[axis + 1 :])
        found = builder.step(node, "found", op, (x,), reduced, axes=(axis,), keepdims=1)
        hit = builder.typed_step(node, "hit", "Equal", (x, found), Type("bool", shape))
        last = node.integer("select_last_index", 0)
        positions = np.arange(shape[axis], dtype=np.int32).reshape(-1, *[1] * (len(shape) - axis - 1))
        # Where nothing is equal, which takes a NaN, the position is the worst but a valid one.
        other = np.asarray(0 if last else shape[axis] - 1, np.int32)
        choice = [
            builder.add_constant(builder.fresh(node, label), data)
            for label, data in (("positions", positions), ("other", other))
        ]
        chosen = builder.typed_step(node, "chosen", "Where", (hit, *choice), Type("int32", shape))
        best = builder.step(
            node,
            "best",
            "ReduceMax" if last else "ReduceMin",
            (chosen,),
            node.type().shape,
            axes=(axis,),
            keepdims=node.integer("keepdims", 1),
        )
        builder.finish(node, "Cast", (best,), to=onnx_number("int64"))

    return lower


def log_sum_exp(builder: Builder, node: OnnxNode) -> None:
    """``log(sum(exp(x - m))) + m`` with the largest element as `m`, or the largest float where that is infinite."""
    x = node.inputs[0]
    axes = _axes(builder, node)
    _only_floats(builder, node)
    if not axes:
        return builder.finish(node, "Reshape", (x,))
    shape = tuple(1 if i in axes else n for i, n in enumerate(builder.shape(x)))
    largest = builder.step(node, "max", "ReduceMax", (x,), shape, axes=axes, keepdims=1)
    largest = builder.step(node, "finite", "Clip", (largest,), low=-LARGEST, high=LARGEST)
    exponentials = builder.step(node, "exp", "Exp", (builder.step(node, "sub", "Sub", (x, largest)),))
    total = builder.step(node, "sum", "ReduceSum", (exponentials,), shape, axes=axes, keepdims=1)
    logarithm = builder.step(node, "log", "Log", (total,))
    return builder.finish(node, "Reshape", (builder.step(node, "add", "Add", (logarithm, largest)),))


def product(builder: Builder, node: OnnxNode) -> None:
    """One half of the elements times the other, again and again, axis after axis."""
    x = node.inputs[0]
    for axis in _axes(builder, node):
        while (size := builder.shape(x)[axis]) > 1:
            parts = [_part(builder, node, x, axis, start, size // 2) for start in (0, size // 2)]
            halved = builder.step(node, "product", "Mul", parts)
            if size % 2:
                last = _part(builder, node, x, axis, size - 1, 1)
                shape = builder.shape(halved)
                shape = (*shape[:axis], size // 2 + 1, *shape[axis + 1 :])
                halved = builder.step(node, "rest", "Concat", (halved, last), shape, axis=axis)
            x = halved
    builder.finish(node, "Reshape", (x,))


def cum_sum(builder: Builder, node: OnnxNode) -> None:
    """Running sums along a constant axis, by doubling: after step k every element is the sum of the 2^k elements up to it."""
    x = node.inputs[0]
    shape = builder.shape(x)
    axis = axis_of(int(builder.scalar(node, 1, "`axis` input")), len(shape))
    reverse = bool(node.integer("reverse", 0))
    distance = 1
    if node.integer("exclusive", 0):
        x = _shifted_along(builder, node, x, axis, 1, reverse)
    while distance < shape[axis]:
        before = _shifted_along(builder, node, x, axis, distance, reverse)
        x = builder.step(node, "sum", "Add", (x, before))
        distance *= 2
    builder.finish(node, "Reshape", (x,))


def _shifted_along(builder: Builder, node: OnnxNode, x: str, axis: int, by: int, back: bool) -> str:
    """`x` moved along `axis`, to higher positions or `back`, with zeros where nothing comes from."""
    shape = builder.shape(x)
    if by >= shape[axis]:
        zeros = np.zeros(shape, builder.types[x].dtype)
        return builder.add_constant(builder.fresh(node, "zeros"), zeros)
    part = _part(builder, node, x, axis, by if back else 0, shape[axis] - by)
    pads = [0] * (2 * len(shape))
    pads[axis + (len(shape) if back else 0)] = by
    return builder.step(node, "shifted", "Pad", (part,), shape, pads=tuple(pads), value=0.0)


def _part(builder: Builder, node: OnnxNode, x: str, axis: int, start: int, count: int) -> str:
    shape = builder.shape(x)
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    taken = (*shape[:axis], count, *shape[axis + 1 :])
    return builder.step(node, "part", "Slice", (x,), taken, starts=starts, steps=(1,) * len(shape))


def softmax(builder: Builder, node: OnnxNode) -> None:
    """``exp(x - max) / sum(exp(x - max))``, over one axis or, before opset 13, over all from `axis` on."""
    axes, shape = _softmax_axes(builder, node)
    shifted = _shifted(builder, node, axes, shape)
    exponentials = builder.step(node, "exp", "Exp", (shifted,))
    total = builder.step(node, "sum", "ReduceSum", (exponentials,), shape, axes=axes, keepdims=1)
    builder.finish(node, "Div", (exponentials, total))


def log_softmax(builder: Builder, node: OnnxNode) -> None:
    """``x - max - log(sum(exp(x - max)))``, over the axes that softmax has."""
    axes, shape = _softmax_axes(builder, node)
    shifted = _shifted(builder, node, axes, shape)
    exponentials = builder.step(node, "exp", "Exp", (shifted,))
    total = builder.step(node, "sum", "ReduceSum", (exponentials,), shape, axes=axes, keepdims=1)
    builder.finish(node, "Sub", (shifted, builder.step(node, "log", "Log", (total,))))


def lp_normalization(builder: Builder, node: OnnxNode) -> None:
    """``x`` divided by its first or second norm along an axis."""
    x = node.inputs[0]
    shape = builder.shape(x)
    axis = axis_of(node.integer("axis", -1), len(shape))
    reduced = (*shape[:axis], 1, *shape[axis + 1 :])
    if node.integer("p", 2) == 1:
        sizes = builder.step(node, "abs", "Abs", (x,))
        norm = builder.step(node, "norm", "ReduceSum", (sizes,), reduced, axes=(axis,), keepdims=1)
    else:
        squares = builder.step(node, "square", "Mul", (x, x))
        total = builder.step(node, "sum", "ReduceSum", (squares,), reduced, axes=(axis,), keepdims=1)
        norm = builder.step(node, "norm", "Sqrt", (total,))
    # Nothing but zeros stays zero.
    norm = builder.step(node, "bounded", "Clip", (norm,), low=SMALLEST)
    builder.finish(node, "Div", (x, norm))


def _axes(builder: Builder, node: OnnxNode) -> tuple[int, ...]:
    """The axes to reduce; none where the node says that no axes means the identity."""
    rank = len(builder.shape(node.inputs[0]))
    axes = builder.ints(node, "axes", 1)
    if axes:
        return axes_of(axes, rank)
    return () if node.integer("noop_with_empty_axes", 0) else tuple(range(rank))


def _only_floats(builder: Builder, node: OnnxNode) -> None:
    if (dtype := builder.types[node.inputs[0]].dtype) != "float32":
        raise Unsupported(f"its operands must be float32, not {dtype}")


def _softmax_axes(builder: Builder, node: OnnxNode) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The axes that are normalised over, and the shape that is left of them."""
    shape = node.type().shape
    axis = axis_of(node.integer("axis", 1 if node.opset < 13 else -1), len(shape))
    axes = tuple(range(axis, len(shape))) if node.opset < 13 else (axis,)
    return axes, tuple(1 if i in axes else n for i, n in enumerate(shape))


def _shifted(builder: Builder, node: OnnxNode, axes: tuple[int, ...], shape: tuple[int, ...]) -> str:
    x = node.inputs[0]
    largest = builder.step(node, "max", "ReduceMax", (x,), shape, axes=axes, keepdims=1)
    return builder.step(node, "sub", "Sub", (x, largest))


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "ArgMax": arg("ReduceMax"),
    "ArgMin": arg("ReduceMin"),
    "CumSum": cum_sum,
    "LogSoftmax": log_softmax,
    "LpNormalization": lp_normalization,
    "ReduceL1": reduce("ReduceSum", before="Abs"),
    "ReduceL2": reduce("ReduceSum", before="Square", after="Sqrt"),
    "ReduceLogSum": reduce("ReduceSum", after="Log"),
    "ReduceLogSumExp": log_sum_exp,
    "ReduceMax": reduce("ReduceMax"),
    "ReduceMean": mean,
    "ReduceMin": reduce("ReduceMin"),
    "ReduceProd": product,
    "ReduceSum": reduce("ReduceSum"),
    "ReduceSumSquare": reduce("ReduceSum", before="Square"),
    "Softmax": softmax,
}
