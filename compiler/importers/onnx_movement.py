"""ONNX's data movement: every operator whose output elements are input elements (or a pad value)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .builder import Builder
from .onnx_node import OnnxNode, Unsupported, axis_of


def reshape(builder: Builder, node: OnnxNode) -> None:
    """Any operator that keeps the row-major order of the elements; the new shape is in the output's type."""
    builder.finish(node, "Reshape", node.inputs[:1])


def expand(builder: Builder, node: OnnxNode) -> None:
    """A broadcast to the output's shape."""
    builder.finish(node, "Expand", node.inputs[:1])


def transpose(builder: Builder, node: OnnxNode) -> None:
    """A permutation of the axes, by default their reversal."""
    rank = len(node.type().shape)
    builder.finish(node, "Transpose", node.inputs, perm=node.ints("perm") or tuple(reversed(range(rank))))


def pad(builder: Builder, node: OnnxNode) -> None:
    """A border of a constant value, or of the input's own elements; negative pads cut, as a Slice before it."""
    x = node.inputs[0]
    shape = builder.shape(x)
    rank = len(shape)
    given = builder.ints(node, "pads", 1)
    assert given is not None, f"{node.name} has no pads"
    axes = builder.ints(node, "axes", 3)
    pads = [0] * (2 * rank)
    for position, axis in enumerate(range(rank) if axes is None else axes):
        pads[axis_of(axis, rank)] = given[position]
        pads[rank + axis_of(axis, rank)] = given[len(given) // 2 + position]
    if min(pads, default=0) < 0:
        cuts = tuple(max(-p, 0) for p in pads)
        kept = tuple(n - b - e for n, b, e in zip(shape, cuts[:rank], cuts[rank:], strict=True))
        x = builder.step(node, "cut", "Slice", (x,), kept, starts=cuts[:rank], steps=(1,) * rank)
    borders = tuple(max(p, 0) for p in pads)
    mode = node.text("mode", "constant")
    if mode != "constant":
        return _border(builder, node, x, borders, mode)
    value = builder.scalar(node, 2, "pad value") if node.input(2) else node.number("value", 0.0)
    return builder.finish(node, "Pad", (x,), pads=borders, value=value)


def _border(builder: Builder, node: OnnxNode, x: str, borders: tuple[int, ...], mode: str) -> None:
    """`x` between slices of itself, one axis after the other: mirrored, repeated at the edge or wrapped around."""
    rank = len(borders) // 2
    for axis in range(rank):
        size, before, after = builder.shape(x)[axis], borders[axis], borders[rank + axis]
        first, last, step = {
            "reflect": (before, size - 2, -1),
            "wrap": (size - before, 0, 1),
            "edge": (0, size - 1, 0),
        }[mode]
        if mode != "edge" and max(before, after) > size - (mode == "reflect"):
            raise Unsupported(
                f"its pads of {before} and {after} on axis {axis} exceed the {size} elements there"
            )
        parts = [x]
        if before:
            parts.insert(0, line(builder, node, x, axis, first, step, before))
        if after:
            parts.append(line(builder, node, x, axis, last, step, after))
        if len(parts) > 1:
            shape = builder.shape(x)
            padded = (*shape[:axis], before + size + after, *shape[axis + 1 :])
            x = builder.step(node, "padded", "Concat", parts, padded, axis=axis)
    reshape_of(builder, node, x)


def line(builder: Builder, node: OnnxNode, x: str, axis: int, start: int, step: int, count: int) -> str:
    """`count` elements of `x` along `axis`; a step of 0 repeats one."""
    shape = builder.shape(x)
    taken = (*shape[:axis], count if step else 1, *shape[axis + 1 :])
    starts = tuple(start if i == axis else 0 for i in range(len(shape)))
    steps = tuple(step or 1 if i == axis else 1 for i in range(len(shape)))
    part = builder.step(node, "slice", "Slice", (x,), taken, starts=starts, steps=steps)
    return (
        part
        if step
        else builder.step(node, "edge", "Expand", (part,), (*shape[:axis], count, *shape[axis + 1 :]))
    )


def slice_(builder: Builder, node: OnnxNode) -> None:
    """A regular part of every axis."""
    x = node.inputs[0]
    shape = builder.shape(x)
    starts, ends = builder.ints(node, "starts", 1), builder.ints(node, "ends", 2)
    assert starts is not None and ends is not None, f"{node.name} has no starts or ends"
    axes = builder.ints(node, "axes", 3) or tuple(range(len(starts)))
    steps = builder.ints(node, "steps", 4) or (1,) * len(starts)
    first, step_of = [0] * len(shape), [1] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        where = axis_of(axis, len(shape))
        first[where], _, step_of[where] = slice(start, end, step).indices(shape[where])
    builder.finish(node, "Slice", (x,), starts=tuple(first), steps=tuple(step_of))


def reverse_sequence(builder: Builder, node: OnnxNode) -> None:
    """The first so many elements of an axis backwards, as many for every sequence of the batch."""
    x = node.inputs[0]
    shape = builder.shape(x)
    axis = axis_of(node.integer("time_axis", 0), len(shape))
    lengths = {int(n) for n in builder.data(node, 1, "`sequence_lens` input")}
    if len(lengths) > 1:
        raise Unsupported("its sequences differ in length; give it as many elements of each to reverse")
    count = lengths.pop()
    parts = [line(builder, node, x, axis, count - 1, -1, count)]
    if count < shape[axis]:
        parts.append(line(builder, node, x, axis, count, 1, shape[axis] - count))
    builder.finish(node, "Concat", parts, axis=axis)


def split(builder: Builder, node: OnnxNode) -> None:
    """One Slice per output that the model reads."""
    x = node.inputs[0]
    shape = builder.shape(x)
    axis = axis_of(node.integer("axis", 0), len(shape))
    sizes = builder.ints(node, "split", 1) or _even(shape[axis], len(node.outputs))
    start = 0
    for output, size in enumerate(sizes):
        if node.outputs[output]:
            starts = tuple(start if i == axis else 0 for i in range(len(shape)))
            builder.finish(node, "Slice", (x,), output, starts=starts, steps=(1,) * len(shape))
        start += size


def concat(builder: Builder, node: OnnxNode) -> None:
    """The operands one behind the other along an axis."""
    operands = [value for value in node.inputs if builder.types[value].size]
    if len(operands) == 1:
        return reshape_of(builder, node, operands[0])
    return builder.finish(
        node, "Concat", operands, axis=axis_of(node.integer("axis", 1), len(node.type().shape))
    )


def reshape_of(builder: Builder, node: OnnxNode, value: str) -> None:
    """`value` in the shape of the output."""
    builder.finish(node, "Reshape", (value,))


def tile(builder: Builder, node: OnnxNode) -> None:
    """Repetition along every axis: each repeated axis gets a broadcast axis before it, and both are merged."""
    x = node.inputs[0]
    repeats = tuple(int(n) for n in builder.data(node, 1, "`repeats` input"))
    shape = builder.shape(x)
    ones = tuple(n for size in shape for n in (1, size))
    spread = tuple(n for count, size in zip(repeats, shape, strict=True) for n in (count, size))
    pairs = builder.step(node, "pairs", "Reshape", (x,), ones)
    reshape_of(builder, node, builder.step(node, "repeated", "Expand", (pairs,), spread))


def depth_to_space(builder: Builder, node: OnnxNode) -> None:
    """Channels into blocks of pixels, in the order that `mode` says."""
    n, c, h, w = builder.shape(node.inputs[0])
    b = node.integer("blocksize", 1)
    if node.text("mode", "DCR") == "DCR":
        cut, perm = (n, b, b, c // (b * b), h, w), (0, 3, 4, 1, 5, 2)
    else:
        cut, perm = (n, c // (b * b), b, b, h, w), (0, 1, 4, 2, 5, 3)
    _shuffle(builder, node, cut, perm)


def space_to_depth(builder: Builder, node: OnnxNode) -> None:
    """Blocks of pixels into channels."""
    n, c, h, w = builder.shape(node.inputs[0])
    b = node.integer("blocksize", 1)
    _shuffle(builder, node, (n, c, h // b, b, w // b, b), (0, 3, 5, 1, 2, 4))


def trilu(builder: Builder, node: OnnxNode) -> None:
    """The upper or lower triangle of every matrix, zeros elsewhere."""
    shape, dtype = node.type().shape[-2:], node.type().dtype
    k = int(builder.scalar(node, 1, "`k` input")) if node.input(1) else 0
    ones = np.ones(shape, np.bool_)
    kept = np.triu(ones, k) if node.integer("upper", 1) else np.tril(ones, k)
    mask = builder.add_constant(builder.fresh(node, "kept"), kept)
    zero = builder.add_constant(builder.fresh(node, "zero"), np.zeros((), dtype))
    builder.finish(node, "Where", (mask, node.inputs[0], zero))


def _shuffle(builder: Builder, node: OnnxNode, cut: tuple[int, ...], perm: tuple[int, ...]) -> None:
    pieces = builder.step(node, "cut", "Reshape", node.inputs[:1], cut)
    moved = builder.step(node, "moved", "Transpose", (pieces,), tuple(cut[p] for p in perm), perm=perm)
    reshape_of(builder, node, moved)


def _even(size: int, parts: int) -> tuple[int, ...]:
    each = -(-size // parts)
    return tuple(min(each, size - each * i) for i in range(parts))


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": reshape,
    "Pad": pad,
    "Reshape": reshape,
    "ReverseSequence": reverse_sequence,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": reshape,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": reshape,
}
