"""Graph in numpy: the values of its outputs for given inputs, one table entry per canonical op.

Sums are taken in float64 and rounded once, so that the result depends on no order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .elementwise import TABLE
from .expr import Expr, Load, const
from .graph import Graph, Node, Type
from .interpret_expr import evaluate

Array = np.ndarray[Any, Any]
Rule = Callable[[Node, Type, list[Array]], Array]


def run_graph(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name; `feeds` has an array of the declared type and shape for every input."""
    values: dict[str, Array] = dict(graph.constants)
    for name in graph.inputs:
        type_ = graph.types[name]
        assert Type(feeds[name].dtype.name, feeds[name].shape) == type_, f"{name} must be {type_}"
        values[name] = feeds[name]
    last = {value: node.output for node in graph.nodes for value in node.inputs}
    for node in graph.nodes:
        values[node.output] = run_node(
            node, graph.types[node.output], [values[value] for value in node.inputs]
        )
        for value in set(node.inputs):
            if last[value] == node.output and value not in graph.outputs:
                del values[value]
    return {name: values[name] for name in graph.outputs}


def run_node(node: Node, type_: Type, inputs: list[Array], scalars: Sequence[bool] = ()) -> Array:
    """What `node` makes of `inputs`, as a dense array of `type_`. `scalars` says which inputs are constants of one element.

    An elementwise definition sees these as Const, as it does in a kernel: Pow has special cases for them.
    """
    with np.errstate(all="ignore"):
        result = (
            _elementwise(node, type_, inputs, scalars)
            if node.op in TABLE
            else NUMPY[node.op](node, type_, inputs)
        )
    assert result.shape == type_.shape, f"{node}: {type_} came out as {result.shape}"
    return np.ascontiguousarray(result, type_.dtype).reshape(type_.shape)


def _integer(node: Node, key: str) -> int:
    value = node.attr(key)
    assert isinstance(value, int), f"{node.op}.{key} is not an int"
    return value


def _elementwise(node: Node, type_: Type, inputs: list[Array], scalars: Sequence[bool]) -> Array:
    operands: list[Expr] = [Load(array.dtype.name, str(i), ()) for i, array in enumerate(inputs)]
    for position, scalar in enumerate(scalars):
        if scalar:
            operands[position] = const(inputs[position].item(), inputs[position].dtype.name)
    expr = TABLE[node.op](*operands, **dict(node.attrs))

    def axis(number: int) -> Array:
        raise AssertionError(f"an elementwise op has no axis {number}")

    return np.broadcast_to(evaluate(expr, lambda load, _: inputs[int(load.buffer)], axis), type_.shape)


def _taps(
    node: Node, x: Array, out: tuple[int, ...], kernel: tuple[int, ...], fill: float
) -> list[tuple[tuple[int, ...], Array]]:
    """Every position in the kernel with the elements of `x` (batch, channels, spatial…) that it meets, of spatial shape `out`."""
    strides, dilations, pads = node.ints("strides"), node.ints("dilations"), node.ints("pads")
    rank = len(kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)], constant_values=fill)
    found = []
    for tap in np.ndindex(*kernel):
        window = tuple(
            slice(t * d, t * d + s * (n - 1) + 1, s)
            for t, d, s, n in zip(tap, dilations, strides, out, strict=True)
        )
        found.append((tap, padded[(slice(None), slice(None), *window)]))
    return found


def _conv(node: Node, type_: Type, inputs: list[Array]) -> Array:
    x, w = (a.astype(np.float64) for a in inputs[:2])
    group = _integer(node, "group")
    batch, channels = type_.shape[:2]
    out = type_.shape[2:]
    total = np.zeros((batch, group, channels // group, int(np.prod(out))))
    weights = w.reshape(group, channels // group, *w.shape[1:])
    for tap, part in _taps(node, x, out, w.shape[2:], 0.0):
        columns = part.reshape(batch, group, -1, total.shape[-1])
        matrix: Array = np.moveaxis(weights, (0, 1, 2), (-3, -2, -1))[tap]
        total += matrix @ columns
    result = total.reshape(type_.shape)
    if len(inputs) > 2:
        result = np.add(result, inputs[2].reshape(-1, *[1] * len(out)))
    return result


def _conv_transpose(node: Node, type_: Type, inputs: list[Array]) -> Array:
    x, w = (a.astype(np.float64) for a in inputs[:2])
    group, strides, dilations, pads = (
        _integer(node, "group"),
        *(node.ints(key) for key in ("strides", "dilations", "pads")),
    )
    out, kernel, spatial = type_.shape[2:], w.shape[2:], x.shape[2:]
    reach = [
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(spatial, strides, kernel, dilations, strict=True)
    ]
    sizes = [max(r, p + n) for r, p, n in zip(reach, pads, out, strict=False)]
    total = np.zeros((*type_.shape[:2], *sizes))
    columns = x.reshape(len(x), group, -1, int(np.prod(spatial)))
    weights = w.reshape(group, -1, *w.shape[1:])
    for tap in np.ndindex(*kernel):
        matrix = weights[(..., *tap)].swapaxes(1, 2)
        window = tuple(
            slice(t * d, t * d + s * (n - 1) + 1, s)
            for t, d, s, n in zip(tap, dilations, strides, spatial, strict=True)
        )
        total[(slice(None), slice(None), *window)] += (matrix @ columns).reshape(*type_.shape[:2], *spatial)
    result = total[(slice(None), slice(None), *(slice(p, p + n) for p, n in zip(pads, out, strict=False)))]
    return result + inputs[2].reshape(-1, *[1] * len(out)) if len(inputs) > 2 else result


def _max_pool(node: Node, type_: Type, inputs: list[Array]) -> Array:
    taps = _taps(node, inputs[0], type_.shape[2:], node.ints("kernel"), -np.inf)
    return np.asarray(np.stack([part for _, part in taps]).max(axis=0))


def _average_pool(node: Node, type_: Type, inputs: list[Array]) -> Array:
    out, kernel = type_.shape[2:], node.ints("kernel")
    counted = np.ones((1, 1, *inputs[0].shape[2:]))
    total = sum(part for _, part in _taps(node, inputs[0].astype(np.float64), out, kernel, 0.0))
    number = sum(
        part for _, part in _taps(node, counted, out, kernel, float(bool(node.attr("count_include_pad"))))
    )
    return np.asarray(total / number)


def _reduce(function: Callable[..., Array]) -> Rule:
    def rule(node: Node, type_: Type, inputs: list[Array]) -> Array:
        (x,) = inputs
        wide = x.astype(np.float64) if x.dtype == np.float32 else x
        return np.asarray(function(wide, axis=node.ints("axes")).reshape(type_.shape))

    return rule


def _pad(node: Node, type_: Type, inputs: list[Array]) -> Array:
    pads = node.ints("pads")
    rank = len(type_.shape)
    return np.pad(
        inputs[0], list(zip(pads[:rank], pads[rank:], strict=True)), constant_values=node.attr("value")
    )


def _gather(node: Node, type_: Type, inputs: list[Array]) -> Array:
    x, indices = inputs
    axis = node.attr("axis")
    assert isinstance(axis, int)
    count = x.shape[axis]
    return np.take(x, np.clip(np.where(indices < 0, indices + count, indices), 0, count - 1), axis)


def _slice(node: Node, type_: Type, inputs: list[Array]) -> Array:
    where = [
        start + step * np.arange(n)
        for start, step, n in zip(node.ints("starts"), node.ints("steps"), type_.shape, strict=True)
    ]
    return inputs[0][np.ix_(*where)]


def resize_positions(coordinates: str, scale: float, before: int, after: int) -> Array:
    """Where each of `after` samples of a Resize lies among the `before` elements of an axis, in float32 as ONNX Runtime has it."""
    samples, half = np.arange(after, dtype=np.float32), np.float32(0.5)
    match coordinates:
        case "asymmetric":
            return samples / np.float32(scale)
        case "align_corners":
            return samples * np.float32(before - 1) / np.float32(max(after - 1, 1))
        case "pytorch_half_pixel" if after == 1:
            return np.zeros(1, np.float32)
    return (samples + half) / np.float32(scale) - half


ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "floor": np.floor,
    "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - np.float32(0.5)),
    "round_prefer_ceil": lambda x: np.floor(x + np.float32(0.5)),
}
"""How a nearest Resize chooses an element."""


def _resize(node: Node, type_: Type, inputs: list[Array]) -> Array:
    """One axis after the other, in float64."""
    coordinates, scales = node.attr("coordinates"), node.attr("scales")
    assert isinstance(coordinates, str) and isinstance(scales, tuple)
    result = inputs[0].astype(np.float64)
    for axis, (before, after) in enumerate(zip(result.shape, type_.shape, strict=True)):
        if scales[axis] == 1 and before == after:
            continue
        where = resize_positions(coordinates, scales[axis], before, after)
        if node.attr("mode") == "nearest":
            nearest = ROUNDINGS[str(node.attr("rounding"))](where)
            result = result.take(np.clip(nearest, 0, before - 1).astype(np.int64), axis)
        else:
            where = np.clip(where, 0, before - 1)
            low = where.astype(np.int64)
            share = (where - low).astype(np.float64).reshape(-1, *[1] * (result.ndim - axis - 1))
            high = np.minimum(low + 1, before - 1)
            result = result.take(low, axis) * (1 - share) + result.take(high, axis) * share
    return result


NUMPY: Mapping[str, Rule] = {
    "AveragePool": _average_pool,
    "Concat": lambda node, _, inputs: np.concatenate(inputs, axis=_integer(node, "axis")),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Expand": lambda _, type_, inputs: np.broadcast_to(inputs[0], type_.shape),
    "MatMul": lambda _, type_, inputs: np.matmul(inputs[0].astype(np.float64), inputs[1].astype(np.float64)),
    "MaxPool": _max_pool,
    "Pad": _pad,
    "ReduceMax": _reduce(np.max),
    "ReduceMean": _reduce(np.mean),
    "ReduceMin": _reduce(np.min),
    "ReduceSum": _reduce(np.sum),
    "Reshape": lambda _, type_, inputs: inputs[0].reshape(type_.shape),
    "Resize": _resize,
    "Slice": _slice,
    "Gather": _gather,
    "Transpose": lambda node, _, inputs: inputs[0].transpose(node.ints("perm")),
}
"""Every canonical op that is not elementwise, from (node, output type, inputs) to the output."""
