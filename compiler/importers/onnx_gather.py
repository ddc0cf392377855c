"""ONNX's look-ups of elements by index: slices where the indices are constant and regular, else the canonical Gather along one axis."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from ..graph import Type
from .builder import Builder
from .onnx_movement import line
from .onnx_node import OnnxNode, Unsupported, axis_of

GATHERED_SLICES = 64
"""Most slices that a look-up at constant indices is cut into."""


def gather(builder: Builder, node: OnnxNode) -> None:
    """Slices of the input along one axis."""
    x, indices = node.inputs
    axis = axis_of(node.integer("axis", 0), len(builder.shape(x)))
    if indices in builder.constants:
        size = builder.shape(x)[axis]
        return _finish(builder, node, x, axis, _wrapped(builder.constants[indices], size, axis))
    return builder.finish(node, "Gather", (x, indices), axis=axis)


def gather_elements(builder: Builder, node: OnnxNode) -> None:
    """Elements whose position along one axis is given, and along the others is their own: a Gather of the flat input."""
    x, indices = node.inputs
    shape = builder.shape(x)
    axis = axis_of(node.integer("axis", 0), len(shape))
    strides = _strides(shape)
    own = np.indices(builder.shape(indices), sparse=True)
    offsets = sum((own[i] * stride for i, stride in enumerate(strides) if i != axis), np.zeros((), np.int64))
    flat = builder.step(node, "flat", "Reshape", (x,), (prod(shape),))
    if indices in builder.constants:
        along = _wrapped(builder.constants[indices], shape[axis], axis) * strides[axis]
        return _finish(builder, node, flat, 0, along + offsets)
    where = _scaled(builder, node, indices, shape[axis], strides[axis])
    return _look_up(builder, node, flat, [where], offsets)


def gather_nd(builder: Builder, node: OnnxNode) -> None:
    """Slices at tuples of indices: a Gather along the axes that these index, merged into one with those of the batch."""
    x, indices = node.inputs
    shape, listed = builder.shape(x), builder.shape(indices)
    batch, depth = node.integer("batch_dims", 0), listed[-1]
    merged = batch + depth
    strides = _strides(shape[:merged])
    own = np.indices(listed[:-1], sparse=True)
    offsets = sum((own[i] * strides[i] for i in range(batch)), np.zeros((), np.int64))
    rows = builder.step(node, "rows", "Reshape", (x,), (prod(shape[:merged]), *shape[merged:]))
    indexed = list(zip(range(batch, merged), strides[batch:], strict=True))
    if indices in builder.constants:
        data = builder.constants[indices]
        columns = [_wrapped(data[..., i], shape[axis], axis) * s for i, (axis, s) in enumerate(indexed)]
        return _finish(builder, node, rows, 0, sum(columns, offsets))
    parts = []
    for i, (axis, stride) in enumerate(indexed):
        column = line(builder, node, indices, len(listed) - 1, i, 1, 1)
        column = builder.step(node, "column", "Reshape", (column,), listed[:-1])
        parts.append(_scaled(builder, node, column, shape[axis], stride))
    return _look_up(builder, node, rows, parts, offsets)


def one_hot(builder: Builder, node: OnnxNode) -> None:
    """The second of two constants at the positions that indices name along a new axis, negative ones counted from its end, else the first."""
    depth = int(builder.scalar(node, 1, "`depth` input"))
    off, on = builder.data(node, 2, "`values` input")
    shape = node.type().shape
    axis = axis_of(node.integer("axis", -1), len(shape))
    column = (*shape[:axis], 1, *shape[axis + 1 :])
    indices = builder.step(node, "indices", "Reshape", node.inputs[:1], column)
    positions = np.arange(depth).reshape(-1, *[1] * (len(shape) - axis - 1))

    def constant(label: str, value: np.ndarray) -> str:
        return builder.add_constant(builder.fresh(node, label), value)

    hits = []
    for first in (0, -depth):
        named = constant("positions", (positions + first).astype(builder.types[indices].dtype))
        hits.append(builder.typed_step(node, "hit", "Equal", (indices, named), Type("bool", shape)))
    hit = builder.step(node, "either", "Or", hits)
    builder.finish(node, "Where", (hit, constant("on", np.asarray(on)), constant("off", np.asarray(off))))


def taken(builder: Builder, node: OnnxNode, x: str, axis: int, indices: Sequence[int]) -> str:
    """The elements of `x` at `indices` along `axis`, as slices one behind the other."""
    shape = builder.shape(x)
    parts = [line(builder, node, x, axis, start, step, count) for start, step, count in runs(indices)]
    if len(parts) == 1:
        return parts[0]
    return builder.step(
        node, "concat", "Concat", parts, (*shape[:axis], len(indices), *shape[axis + 1 :]), axis=axis
    )


def runs(indices: Sequence[int]) -> list[tuple[int, int, int]]:
    """`indices` as evenly spaced runs (start, step, count).

    >>> runs([3, 5, 7, 0, 0])
    [(3, 2, 3), (0, 0, 2)]
    """
    found: list[tuple[int, int, int]] = []
    position = 0
    while position < len(indices):
        step = indices[position + 1] - indices[position] if position + 1 < len(indices) else 1
        count = 1
        while (
            position + count < len(indices)
            and indices[position + count] - indices[position + count - 1] == step
        ):
            count += 1
        found.append((indices[position], step, count))
        position += count
    return found


def _finish(builder: Builder, node: OnnxNode, x: str, axis: int, indices: np.ndarray) -> None:
    """The output as the elements of `x` at constant `indices`, none of them negative."""
    listed = [int(i) for i in indices.reshape(-1)]
    if len(runs(listed)) <= GATHERED_SLICES:
        return builder.finish(node, "Reshape", (taken(builder, node, x, axis, listed),))
    name = builder.add_constant(builder.fresh(node, "indices"), indices.astype(np.int64))
    return builder.finish(node, "Gather", (x, name), axis=axis)


def _look_up(builder: Builder, node: OnnxNode, rows: str, parts: Sequence[str], offsets: np.ndarray) -> None:
    """The output as `rows` at the sum of computed `parts` and constant `offsets`."""
    where = parts[0]
    for part in parts[1:]:
        where = builder.step(node, "sum", "Add", (where, part))
    if offsets.any():
        offset = builder.fresh(node, "offsets")
        builder.add_constant(offset, offsets.astype(builder.types[where].dtype))
        where = builder.step(node, "position", "Add", (where, offset))
    builder.finish(node, "Gather", (rows, where), axis=0)


def _scaled(builder: Builder, node: OnnxNode, indices: str, size: int, stride: int) -> str:
    """Computed `indices` among `size` elements, negative ones counted from the end, times `stride`."""
    type_ = builder.types[indices]

    def constant(label: str, value: int) -> str:
        return builder.add_constant(builder.fresh(node, label), np.asarray(value, type_.dtype))

    negative = builder.typed_step(
        node, "negative", "Less", (indices, constant("zero", 0)), Type("bool", type_.shape)
    )
    from_end = builder.step(node, "from_end", "Add", (indices, constant("size", size)))
    wrapped = builder.typed_step(node, "wrapped", "Where", (negative, from_end, indices), type_)
    return (
        wrapped if stride == 1 else builder.step(node, "scaled", "Mul", (wrapped, constant("stride", stride)))
    )


def _wrapped(indices: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Constant `indices` counted from the front; Unsupported where one is out of range."""
    outside = indices[(indices < -size) | (indices >= size)]
    if outside.size:
        raise Unsupported(f"its index {outside.flat[0]} is not among the {size} elements of axis {axis}")
    return np.asarray(indices % size, np.int64)


def _strides(shape: tuple[int, ...]) -> list[int]:
    """How far apart neighbours along each axis are in row-major order."""
    return [prod(shape[i + 1 :]) for i in range(len(shape))]


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "OneHot": one_hot,
}
