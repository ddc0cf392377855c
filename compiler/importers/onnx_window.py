"""ONNX's sliding-window operators: convolution and pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from ..graph import Attribute, Type
from .builder import Builder, onnx_number
from .check_shapes import check_window, text
from .onnx_node import OnnxNode, Unsupported

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True)
class Window:
    """One spatial window: every field has an entry per spatial dimension, `pads` begins then ends."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]


def window(node: OnnxNode, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> Window:
    """The window of `node` over `spatial` input sizes with ``auto_pad`` resolved."""
    rank = len(kernel)
    strides = node.ints("strides") or (1,) * rank
    dilations = node.ints("dilations") or (1,) * rank
    check_window(lambda key: node.ints(key) or ())
    mode = _auto_pad(node)
    if mode == "NOTSET":
        return Window(kernel, strides, dilations, node.ints("pads") or (0,) * 2 * rank)
    if mode == "VALID":
        return Window(kernel, strides, dilations, (0,) * 2 * rank)
    begins, ends = [], []
    for size, k, stride, dilation in zip(spatial, kernel, strides, dilations, strict=True):
        total = max((-(-size // stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        ends.append(total - begins[-1])
    return Window(kernel, strides, dilations, (*begins, *ends))


def _auto_pad(node: OnnxNode) -> str:
    mode = node.text("auto_pad", "NOTSET")
    if mode not in AUTO_PADS:
        raise Unsupported(f"its auto_pad is {mode!r}: ONNX knows {', '.join(AUTO_PADS)}")
    return mode


def conv(builder: Builder, node: OnnxNode) -> None:
    """Convolution of any spatial rank with constant or computed weights."""
    x = node.inputs[0]
    found = window(node, builder.shape(x)[2:], _kernel(builder, node))
    builder.finish(
        node,
        "Conv",
        tuple(value for value in node.inputs if value),
        strides=found.strides,
        dilations=found.dilations,
        pads=found.pads,
        group=node.integer("group", 1),
    )


def conv_transpose(builder: Builder, node: OnnxNode) -> None:
    """The transpose of a convolution; what `output_padding` or `output_shape` add beyond the last window is in the output's shape."""
    x, w = node.inputs[:2]
    kernel = _kernel(builder, node)
    strides = node.ints("strides") or (1,) * len(kernel)
    dilations = node.ints("dilations") or (1,) * len(kernel)
    check_window(lambda key: node.ints(key) or ())
    pads = _cut(node, builder.shape(x)[2:], kernel)
    if w not in builder.constants and any(s > 1 < d for s, d in zip(strides, dilations, strict=True)):
        raise Unsupported("its dilations together with strides need constant weights; give it one of them")
    if max(strides) > 1 and max(dilations) > 1 and w in builder.constants:
        # Code generation has one or the other; the zeros between the weights are what dilations are.
        w = builder.constant(node, "dilated", _dilated(builder.constants[w], dilations))
        dilations = (1,) * len(kernel)
    builder.finish(
        node,
        "ConvTranspose",
        (x, w, *filter(None, node.inputs[2:])),
        strides=strides,
        dilations=dilations,
        pads=pads,
        group=node.integer("group", 1),
    )


def _kernel(builder: Builder, node: OnnxNode) -> tuple[int, ...]:
    """The kernel that the weights have, which is what `kernel_shape` must say."""
    shape = builder.shape(node.inputs[1])
    given = node.ints("kernel_shape")
    if given and given != shape[2:]:
        raise Unsupported(
            f"its kernel_shape {text(given)} differs from the {text(shape[2:])} of its weights {text(shape)}; leave it out"
        )
    return shape[2:]


def _dilated(weights: np.ndarray, dilations: tuple[int, ...]) -> np.ndarray:
    """`weights` with their kernel spread out between zeros."""
    kernel = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilations, strict=True)]
    spread = np.zeros((*weights.shape[:2], *kernel), weights.dtype)
    spread[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weights
    return spread


def _cut(node: OnnxNode, spatial: tuple[int, ...], kernel: tuple[int, ...]) -> tuple[int, ...]:
    """How much a transposed convolution cuts off its result, begins then ends; a given output shape or `auto_pad` decides, if there is one."""
    rank = len(kernel)
    strides = node.ints("strides") or (1,) * rank
    dilations = node.ints("dilations") or (1,) * rank
    extra = node.ints("output_padding") or (0,) * rank
    mode = _auto_pad(node)
    wanted = node.ints("output_shape")
    if mode == "VALID" and not wanted:
        return (0,) * 2 * rank
    if mode in ("NOTSET", "VALID") and not wanted:
        return node.ints("pads") or (0,) * 2 * rank
    wanted = wanted or tuple(n * stride for n, stride in zip(spatial, strides, strict=True))
    begins, ends = [], []
    for axis in range(rank):
        reach = (spatial[axis] - 1) * strides[axis] + extra[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        total = max(reach - wanted[-rank:][axis], 0)
        begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
        ends.append(total - begins[-1])
    return (*begins, *ends)


def max_pool(builder: Builder, node: OnnxNode) -> None:
    """Maximum over a window; ``ceil_mode`` is a larger end pad. Bytes are compared as float32, which has them all."""
    node.only_first_output()
    x = node.inputs[0]
    op, attrs = _pool(builder, "MaxPool", x, _fitted(builder, node))
    if (dtype := builder.types[x].dtype) == "float32":
        return builder.finish(node, op, (x,), **attrs)
    wide = Type("float32", builder.shape(x))
    x = builder.typed_step(node, "wide", "Cast", (x,), wide, to=onnx_number("float32"))
    largest = builder.step(node, "largest", op, (x,), node.type().shape, **attrs)
    return builder.finish(node, "Cast", (largest,), to=onnx_number(dtype))


def average_pool(builder: Builder, node: OnnxNode) -> None:
    """Mean over a window. With ``count_include_pad`` the elements that ``ceil_mode`` adds are not counted, the pads are."""
    fitted = _fitted(builder, node)
    asked = window(node, builder.shape(node.inputs[0])[2:], fitted.kernel)
    x = node.inputs[0]
    include = node.integer("count_include_pad", 0)
    rank = len(asked.kernel)
    extra = tuple(max(f - a, 0) for f, a in zip(fitted.pads, asked.pads, strict=True))
    if include and any(extra) and any(asked.pads):
        pads = (0, 0, *asked.pads[:rank], 0, 0, *asked.pads[rank:])
        padded = tuple(
            n + b + e for n, b, e in zip(builder.shape(x), pads[: rank + 2], pads[rank + 2 :], strict=True)
        )
        x = builder.step(node, "pad", "Pad", (x,), padded, pads=pads, value=0.0)
        fitted = Window(fitted.kernel, fitted.strides, fitted.dilations, extra)
    counted = int(bool(include) and not any(extra) and any(fitted.pads))
    op, attrs = _pool(builder, "AveragePool", x, fitted, count_include_pad=counted)
    builder.finish(node, op, (x,), **attrs)


def lp_pool(builder: Builder, node: OnnxNode) -> None:
    """The norm of a window's elements: the mean of their powers, pads counted, times their number, and the root of it."""
    found = _fitted(builder, node)
    p = node.integer("p", 2)
    mean = builder.step(
        node,
        "mean",
        "AveragePool",
        (_power(builder, node, p),),
        node.type().shape,
        kernel=found.kernel,
        strides=found.strides,
        dilations=found.dilations,
        pads=found.pads,
        count_include_pad=1,
    )
    number = builder.constant(node, "number", float(prod(found.kernel)))
    _root(builder, node, builder.step(node, "sum", "Mul", (mean, number)), p)


def global_lp_pool(builder: Builder, node: OnnxNode) -> None:
    """The norm of all elements of a channel."""
    axes = tuple(range(2, len(builder.shape(node.inputs[0]))))
    p = node.integer("p", 2)
    powers = _power(builder, node, p)
    total = builder.step(node, "sum", "ReduceSum", (powers,), node.type().shape, axes=axes, keepdims=1)
    _root(builder, node, total, p)


def _power(builder: Builder, node: OnnxNode, p: int) -> str:
    x = node.inputs[0]
    if p == 2:
        return builder.step(node, "square", "Mul", (x, x))
    size = builder.step(node, "abs", "Abs", (x,))
    return size if p == 1 else builder.step(node, "power", "Pow", (size, builder.constant(node, "p", p)))


def _root(builder: Builder, node: OnnxNode, total: str, p: int) -> None:
    if p == 1:
        return builder.finish(node, "Reshape", (total,))
    if p == 2:
        return builder.finish(node, "Sqrt", (total,))
    return builder.finish(node, "Pow", (total, builder.constant(node, "root", 1 / p)))


def global_pool(op: str) -> Callable[[Builder, OnnxNode], None]:
    """A reduction over all spatial dimensions."""

    def lower(builder: Builder, node: OnnxNode) -> None:
        axes = tuple(range(2, len(builder.shape(node.inputs[0]))))
        builder.finish(node, op, node.inputs, axes=axes, keepdims=1)

    return lower


def _fitted(builder: Builder, node: OnnxNode) -> Window:
    """The pooling window whose end pads reach as far as the last window does."""
    spatial = builder.shape(node.inputs[0])[2:]
    kernel = node.ints("kernel_shape")
    assert kernel is not None, f"{node.name} has no kernel_shape"
    asked = window(node, spatial, kernel)
    rank = len(kernel)
    ends = []
    for axis, out in enumerate(node.type().shape[2:]):
        reach = (out - 1) * asked.strides[axis] + (kernel[axis] - 1) * asked.dilations[axis] + 1
        beyond = reach - spatial[axis] - asked.pads[axis]
        ends.append(max(asked.pads[rank + axis], beyond))
        if max(asked.pads[axis], asked.pads[rank + axis]) > (kernel[axis] - 1) * asked.dilations[axis]:
            raise Unsupported("its pads are as large as its window, which would lie in them and see nothing")
    return Window(kernel, asked.strides, asked.dilations, (*asked.pads[:rank], *ends))


def _pool(
    builder: Builder, op: str, x: str, found: Window, **attrs: int
) -> tuple[str, Mapping[str, Attribute]]:
    """The op and attributes of the pool, or of the reduction that it is where its one window is the whole input."""
    if found.kernel == builder.shape(x)[2:] and not any(found.pads):
        reduction = {"AveragePool": "ReduceMean", "MaxPool": "ReduceMax"}[op]
        return reduction, {"axes": tuple(range(2, len(builder.shape(x)))), "keepdims": 1}
    window = {key: getattr(found, key) for key in ("kernel", "strides", "dilations", "pads")}
    return op, {**window, **attrs}


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "AveragePool": average_pool,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": global_pool("ReduceMean"),
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_pool("ReduceMax"),
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
