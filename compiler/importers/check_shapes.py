"""Whether the shapes of a canonical node's operands and result fit together, which ONNX's own inference leaves open in many places."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from ..elementwise import TABLE
from ..graph import REDUCTIONS, Node, Type
from .onnx_node import Unsupported

Shape = tuple[int, ...]

MAX_ELEMENTS = 1 << 28
"""Most elements of a value: 1 GiB of float32 is more than a board has to spare for one, and a host that compiles holds several."""


def check_shapes(node: Node, types: Mapping[str, Type]) -> None:
    """Unsupported, with the shapes, where `node` cannot give a value of the type that `types` has for its output."""
    shapes = [types[value].shape for value in node.inputs]
    out = types[node.output].shape
    for value, shape in zip((*node.inputs, node.output), (*shapes, out), strict=True):
        check_sizes(value, shape)
    if node.op in TABLE:
        if broadcast(shapes) != out:
            raise Unsupported(f"{_listed(shapes)} do not broadcast to its result {text(out)}")
    elif rule := _RULES.get(node.op):
        rule(node, shapes, out)


def check_sizes(value: str, shape: Shape) -> None:
    """Unsupported where a dimension of `value` is less than 1, or where it has more than `MAX_ELEMENTS`."""
    if any(size < 0 for size in shape):
        raise Unsupported(
            f"{value} would have the shape {text(shape)}; what it cuts off or slides over its input must not be larger than that"
        )
    if 0 in shape:
        raise Unsupported(f"{value} has no elements")
    check_count(value, shape)


def check_count(value: str, shape: Shape) -> None:
    """Unsupported where `value` has more than `MAX_ELEMENTS`."""
    if (count := prod(shape)) > MAX_ELEMENTS:
        raise Unsupported(
            f"{value} would have the shape {text(shape)}, and of its {count} elements at most {MAX_ELEMENTS} are supported,"
            f" 1 GiB in float32; compile for a smaller shape"
        )


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """numpy's broadcast of `shapes`; Unsupported where there is none."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise Unsupported(f"{_listed(shapes)} do not broadcast to one shape") from None


def check_window(op: Callable[[str], Shape]) -> None:
    """Unsupported where one of the attributes that `op` gives by name is out of range."""
    for key, least in (("strides", 1), ("dilations", 1), ("pads", 0)):
        if min(values := op(key), default=least) < least:
            raise Unsupported(f"its {key} {text(values)} must be at least {least}")


def text(shape: Shape) -> str:
    """`shape` as messages have it, such as ``[1,3,8,8]``."""
    return f"[{','.join(map(str, shape))}]"


def _listed(shapes: Sequence[Shape]) -> str:
    return f"its operands {' and '.join(map(text, shapes))}"


def _groups(node: Node) -> int:
    group = node.attr("group")
    assert isinstance(group, int), f"{node.op}.group is not an int"
    if group < 1:
        raise Unsupported(f"its group of {group} must be at least 1")
    return group


def _convolution(node: Node, shapes: list[Shape], out: Shape) -> None:
    check_window(node.ints)
    (x, w), group = shapes[:2], _groups(node)
    if len(x) < 3 or len(x) != len(w):
        raise Unsupported(f"its input {text(x)} and its weights {text(w)} must have the same rank, 3 or more")
    groups = f"{group} group" + "s" * (group != 1)
    if node.op == "Conv":
        taken, made = w[1] * group, w[0]
        if made % group:
            raise Unsupported(
                f"its weights {text(w)} make {made} channels, which do not divide into {groups}"
            )
    else:
        taken, made = w[0], w[1] * group
        if taken % group:
            raise Unsupported(
                f"its weights {text(w)} take {taken} channels, which do not divide into {groups}"
            )
    if x[1] != taken:
        raise Unsupported(
            f"its input {text(x)} has {x[1]} channels and its weights {text(w)} in {groups} take {taken}; give weights for {x[1]} channels"
        )
    if len(shapes) > 2 and shapes[2] != (made,):
        raise Unsupported(f"its bias has the shape {text(shapes[2])} and its {made} channels need [{made}]")
    if out[:2] != (x[0], made):
        raise Unsupported(f"its result {text(out)} should begin with {x[0]},{made}")
    if node.op == "Conv":
        _reach(node, x, w[2:], out)


def _pool(node: Node, shapes: list[Shape], out: Shape) -> None:
    check_window(node.ints)
    kernel = node.ints("kernel")
    if min(kernel, default=1) < 1:
        raise Unsupported(f"its kernel_shape {text(kernel)} must be at least 1")
    _reach(node, shapes[0], kernel, out)


def _reach(node: Node, x: Shape, kernel: Shape, out: Shape) -> None:
    """The last window must lie in the padded input."""
    rank = len(kernel)
    pads = node.ints("pads")
    reach = (
        (n - 1) * s + (k - 1) * d + 1
        for n, s, k, d in zip(out[2:], node.ints("strides"), kernel, node.ints("dilations"), strict=True)
    )
    padded = (n + b + e for n, b, e in zip(x[2:], pads[:rank], pads[rank:], strict=True))
    if any(r > n for r, n in zip(reach, padded, strict=True)):
        raise Unsupported(
            f"its windows {text(kernel)} for the result {text(out)} leave its padded input {text(x)}"
        )


def _matmul(_: Node, shapes: list[Shape], out: Shape) -> None:
    a, b = shapes
    if a[-1] != b[-2]:
        raise Unsupported(f"{_listed(shapes)} cannot be multiplied")
    if (*broadcast((a[:-2], b[:-2])), a[-2], b[-1]) != out:
        raise Unsupported(f"the product of {_listed(shapes)} is not its result {text(out)}")


def _reduction(node: Node, shapes: list[Shape], out: Shape) -> None:
    axes, x = node.ints("axes"), shapes[0]
    if node.attr("keepdims"):
        reduced = tuple(1 if i in axes else n for i, n in enumerate(x))
    else:
        reduced = tuple(n for i, n in enumerate(x) if i not in axes)
    if reduced != out:
        raise Unsupported(
            f"its input {text(x)} reduces over the axes {text(axes)} to {text(reduced)}, not to {text(out)}"
        )


def _reshape(_: Node, shapes: list[Shape], out: Shape) -> None:
    before, after = (int(np.prod(shape, dtype=object)) for shape in (shapes[0], out))
    if before != after:
        raise Unsupported(
            f"its input {text(shapes[0])} has {before} elements and its result {text(out)} has {after}"
        )


def _transpose(node: Node, shapes: list[Shape], out: Shape) -> None:
    perm = node.ints("perm")
    if sorted(perm) != list(range(len(shapes[0]))) or tuple(shapes[0][axis] for axis in perm) != out:
        raise Unsupported(f"its perm {text(perm)} does not take its input {text(shapes[0])} to {text(out)}")


def _expand(_: Node, shapes: list[Shape], out: Shape) -> None:
    if broadcast((shapes[0], out)) != out:
        raise Unsupported(f"its input {text(shapes[0])} does not broadcast to its result {text(out)}")


def _concat(node: Node, shapes: list[Shape], out: Shape) -> None:
    axis = node.attr("axis")
    assert isinstance(axis, int), "Concat.axis is not an int"
    others = {(*shape[:axis], *shape[axis + 1 :]) for shape in (*shapes, out)}
    if len(others) > 1 or sum(shape[axis] for shape in shapes) != out[axis]:
        raise Unsupported(f"{_listed(shapes)} do not make its result {text(out)} along axis {axis}")


def _gather(node: Node, shapes: list[Shape], out: Shape) -> None:
    axis = node.attr("axis")
    assert isinstance(axis, int), "Gather.axis is not an int"
    x, indices = shapes
    if (*x[:axis], *indices, *x[axis + 1 :]) != out:
        raise Unsupported(f"{_listed(shapes)} do not make its result {text(out)} along axis {axis}")


def _slice(node: Node, shapes: list[Shape], out: Shape) -> None:
    ends = zip(shapes[0], node.ints("starts"), node.ints("steps"), out, strict=True)
    if any(not (0 <= start < n and 0 <= start + (count - 1) * step < n) for n, start, step, count in ends):
        raise Unsupported(f"its result {text(out)} reaches beyond its input {text(shapes[0])}")


def _pad(node: Node, shapes: list[Shape], out: Shape) -> None:
    pads, rank = node.ints("pads"), len(shapes[0])
    padded = tuple(n + b + e for n, b, e in zip(shapes[0], pads[:rank], pads[rank:], strict=True))
    if padded != out or min(pads, default=0) < 0:
        raise Unsupported(
            f"its pads {text(pads)} make {text(padded)} of its input {text(shapes[0])}, not {text(out)}"
        )


_RULES: Mapping[str, Callable[[Node, list[Shape], Shape], None]] = {
    "AveragePool": _pool,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Expand": _expand,
    "Gather": _gather,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Pad": _pad,
    "Reshape": _reshape,
    "Slice": _slice,
    "Transpose": _transpose,
    **dict.fromkeys(REDUCTIONS, _reduction),
}
