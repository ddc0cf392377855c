"""Random anchors on the values of a Net, with shapes that fit no register block."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod, sqrt

import numpy as np

from .elementwise import Grower
from .net import EPS, Known

SPATIAL = (7, 1, 2, 5, 8, 9, 14)
LONG = (7, 14, 9, 20, 12)
CHANNELS = (3, 1, 4, 5, 7, 8, 16, 17)
WIDTHS = (1, 3, 4, 6, 8, 17, 24, 33)


def _source(grow: Grower, rank: int) -> str:
    """A value of the anchor's rank: an input or what a convolution leaves, with a random prologue."""
    batch, channels = grow.pick(1, 1, 2), grow.pick(*CHANNELS)
    value = grow.net.input(batch, channels, *(grow.pick(*SPATIAL) for _ in range(rank - 2)))
    if rank > 2 and grow.chance(3):
        value = conv_on(grow, value, "pointwise")
    grow.live.append(value)
    return grow.ranked(grow.grow(value, 3), rank)


def _window(grow: Grower, spatial: tuple[int, ...], dilated: bool = True) -> dict[str, tuple[int, ...]]:
    """Kernel, strides, dilations and pads of a window that meets the input wherever it lies."""
    kernel, strides, dilations, begins, ends = [], [], [], [], []
    for extent in spatial:
        k, d = grow.pick(3, 1, 2, 5), grow.pick(1, 1, 2) if dilated and extent > 1 else 1
        begin, end = (min(grow.number(0, 2), k - 1) for _ in range(2))
        while extent + begin + end < (k - 1) * d + 1:
            k, d, begin, end = (1, 1, 0, 0) if k <= 2 else (k - 1, 1, min(begin, k - 2), min(end, k - 2))
        kernel.append(k)
        strides.append(grow.pick(1, 1, 2, 3))
        dilations.append(d)
        begins.append(begin)
        ends.append(end)
    return {
        "kernel": tuple(kernel),
        "strides": tuple(strides),
        "dilations": tuple(dilations),
        "pads": (*begins, *ends),
    }


def _slides(spatial: tuple[int, ...], window: Mapping[str, tuple[int, ...]]) -> list[int]:
    """Positions of a window along every spatial axis."""
    rank = len(spatial)
    pads = window["pads"]
    return [
        (n + pads[i] + pads[i + rank] - (window["kernel"][i] - 1) * window["dilations"][i] - 1)
        // window["strides"][i]
        + 1
        for i, n in enumerate(spatial)
    ]


def _sum_of_products(terms: int, weight: float, x: Known, bias: float = 0.0) -> Known:
    """Bounds of a sum of products whose weights have magnitudes that add up to `weight`."""
    bound = weight * x.bound + bias
    return Known(bound, weight * x.error + 2 * EPS * (sqrt(terms) + 2) * bound)


def conv(grow: Grower, rank: int = 4, kind: str = "any") -> str:
    """A convolution: `kind` is pointwise, depthwise, grouped or any."""
    x = _source(grow, rank)
    return conv_on(grow, x, kind)


def conv_on(grow: Grower, x: str, kind: str = "any", stride: int = 0, width: int = 0) -> str:
    """A convolution of an existing value; stride (of a pointwise one) and channels are random where they are 0."""
    net = grow.net
    batch, channels, *spatial = net.shape(x)
    if kind == "pointwise":
        stride = stride or grow.pick(1, 1, 2)
        ones = (1,) * len(spatial)
        window = {
            "kernel": ones,
            "strides": (stride,) * len(spatial),
            "dilations": ones,
            "pads": (0,) * (2 * len(spatial)),
        }
    else:
        window = _window(grow, tuple(spatial))
    divisors = [g for g in range(2, channels + 1) if channels % g == 0] or [1]
    group = {"depthwise": channels, "grouped": grow.pick(*divisors), "any": 1, "pointwise": 1}[kind]
    out = (
        group * grow.pick(1, 1, 2)
        if kind == "depthwise"
        else group * grow.pick(1, 2, 5)
        if kind == "grouped"
        else width or grow.pick(*WIDTHS)
    )
    terms = channels // group * prod(window["kernel"])
    weights = net.random.uniform(-1, 1, (out, channels // group, *window["kernel"])) / sqrt(terms)
    inputs = [x, net.constant(weights)]
    bias = grow.chance(2)
    if bias:
        inputs.append(net.uniform(out))
    known = _sum_of_products(
        terms, float(np.abs(weights).reshape(out, -1).sum(axis=1).max()), net.known[x], float(bias)
    )
    attrs = {key: window[key] for key in ("strides", "dilations", "pads")}
    return net.node(
        "Conv", inputs, (batch, out, *_slides(tuple(spatial), window)), known, group=group, **attrs
    )


def matmul(grow: Grower) -> str:
    """A matrix product: 2-D, batched, broadcast over batches or with vectors, either side constant or computed."""
    net = grow.net
    m, k, n = grow.pick(1, 2, 5, 7, 13), grow.pick(7, 1, 2, 4, 6, 9, 33), grow.pick(*WIDTHS)
    lead_a, lead_b = grow.pick(
        ((), ()), ((2,), ()), ((), (3,)), ((3,), (3,)), ((2, 1), (3,)), ((2, 3), (2, 3))
    )
    shape_a, shape_b = (*lead_a, m, k), (*lead_b, k, n)
    if grow.chance(8):
        shape_a, lead_a, m = (k,), (), 0
    elif grow.chance(8):
        shape_b, lead_b, n = (k,), (), 0
    sides = [grow.chance(2), grow.chance(3)]
    if not any(sides):
        sides[0] = True
    operands = [
        _operand(grow, shape) if side else net.uniform(*shape)
        for side, shape in zip(sides, (shape_a, shape_b), strict=True)
    ]
    a, b = (net.known[v] for v in operands)
    bound = k * a.bound * b.bound
    error = k * (a.error * b.bound + b.error * a.bound) + 2 * EPS * (sqrt(k) + 2) * bound
    shape = (*np.broadcast_shapes(lead_a, lead_b), *((m,) if m else ()), *((n,) if n else ()))
    return net.node("MatMul", operands, shape, Known(bound, error))


def _operand(grow: Grower, shape: tuple[int, ...]) -> str:
    """A computed value of exactly `shape`: a random prologue that ends in a slice or pad to it."""
    net = grow.net
    value = net.input(*shape)
    grow.live.append(value)
    value = grow.ranked(grow.grow(value, 3), len(shape))
    have = net.shape(value)
    if any(h > s for h, s in zip(have, shape, strict=True)):
        have = tuple(min(h, s) for h, s in zip(have, shape, strict=True))
        value = net.node(
            "Slice", [value], have, net.known[value], starts=(0,) * len(shape), steps=(1,) * len(shape)
        )
    if have != shape:
        ends = tuple(s - h for h, s in zip(have, shape, strict=True))
        known = net.known[value]
        value = net.node(
            "Pad",
            [value],
            shape,
            Known(max(known.bound, 1), known.error),
            pads=(0,) * len(shape) + ends,
            value=0.0,
        )
    return value


def max_pool(grow: Grower) -> str:
    """A max pool in one or two dimensions."""
    x = _source(grow, grow.pick(4, 4, 3))
    shape = grow.net.shape(x)
    window = _window(grow, shape[2:])
    return grow.net.node(
        "MaxPool", [x], (*shape[:2], *_slides(shape[2:], window)), grow.net.known[x], **window
    )


def average_pool(grow: Grower) -> str:
    """An average pool, with or without the pads in its count."""
    net, x = grow.net, _source(grow, grow.pick(4, 4, 3))
    shape = net.shape(x)
    window = _window(grow, shape[2:], dilated=False)
    terms = prod(window["kernel"])
    known = _sum_of_products(terms, 1.0, net.known[x])
    counted = int(grow.chance(2))
    return net.node(
        "AveragePool",
        [x],
        (*shape[:2], *_slides(shape[2:], window)),
        known,
        count_include_pad=counted,
        **window,
    )


def reduction(grow: Grower) -> str:
    """A reduction over some axes of a value of any rank."""
    net = grow.net
    x = _source(grow, grow.pick(4, 2, 3, 5))
    shape = net.shape(x)
    axes = tuple(i for i in range(len(shape)) if grow.chance(2)) or (grow.number(0, len(shape) - 1),)
    op = grow.pick("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin")
    keep = grow.chance(2)
    kept = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    terms = prod(shape[i] for i in axes)
    known = net.known[x]
    if op in ("ReduceSum", "ReduceMean"):
        known = _sum_of_products(terms, float(terms) if op == "ReduceSum" else 1.0, known)
    return net.node(op, [x], kept, known, axes=axes, keepdims=int(keep))


def pointwise(grow: Grower) -> str:
    """No anchor at all."""
    return _source(grow, grow.pick(4, 1, 2, 3))


def chain(grow: Grower) -> str:
    """A pointwise convolution with what slides over its result, as bands are made of."""
    net = grow.net
    value = net.input(1, grow.pick(*CHANNELS), grow.pick(*LONG), grow.pick(*LONG))
    value = conv_on(grow, value, "pointwise", stride=1)
    value = grow.ranked(grow.grow(value, 2, movement=grow.chance(4)), 4)
    if not grow.chance(3):
        return conv_on(grow, value, "depthwise")
    shape = net.shape(value)
    window = _window(grow, shape[2:])
    return net.node("MaxPool", [value], (*shape[:2], *_slides(shape[2:], window)), net.known[value], **window)


def fork(grow: Grower) -> str:
    """Two or three branches of one value joined by a concat."""
    net = grow.net
    value = _source(grow, 4)
    branches = []
    for _ in range(grow.number(2, 3)):
        branch = value
        if not grow.chance(3):
            branch = conv_on(grow, value, "pointwise", stride=1)
        branches.append(grow.grow(branch, 2, movement=False))
    shape = net.shape(branches[0])
    same = [v for v in branches if net.shape(v)[2:] == shape[2:]]
    total = sum(net.shape(v)[1] for v in same)
    known = Known(max(net.known[v].bound for v in same), max(net.known[v].error for v in same))
    return net.node("Concat", same, (shape[0], total, *shape[2:]), known, axis=1)


def join(grow: Grower) -> str:
    """Two convolutions of one value and what is computed from both, one of them read in another order."""
    net = grow.net
    value, width = _source(grow, 4), grow.pick(*WIDTHS)
    branches = [conv_on(grow, value, "pointwise", stride=1, width=width) for _ in range(2)]
    for i, branch in enumerate(branches):
        shape = net.shape(branch)
        if grow.chance(2):
            starts = (0, 0, shape[2] - 1, 0)
            branches[i] = net.node(
                "Slice", [branch], shape, net.known[branch], starts=starts, steps=(1, 1, -1, 1)
            )
        branches[i] = grow.grow(branches[i], 1, movement=False)
    if grow.chance(2):
        branches.reverse()
    a, b = (net.known[v] for v in branches)
    bound = a.bound + b.bound
    return net.node("Add", branches, net.shape(branches[0]), Known(bound, a.error + b.error + EPS * bound))


ANCHORS: Mapping[str, Callable[[Grower], str]] = {
    "conv": conv,
    "conv 1x1": lambda grow: conv(grow, kind="pointwise"),
    "conv depthwise": lambda grow: conv(grow, kind="depthwise"),
    "conv grouped": lambda grow: conv(grow, kind="grouped"),
    "conv 1-D": lambda grow: conv(grow, rank=3),
    "matmul": matmul,
    "max pool": max_pool,
    "average pool": average_pool,
    "reduce": reduction,
    "pointwise": pointwise,
    "chain": chain,
    "fork": fork,
    "join": join,
}
