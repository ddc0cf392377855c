"""A few small graphs that between them use every anchor, local buffers, bands, row groups, slices of concats and shared memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from ..property.net import EPS, Known, Net

LOOSE = Known(8.0, 256 * EPS)
"""For a few sums of a few dozen products of numbers up to 2."""


def failure(graph: str) -> str:
    """What the property check finds wrong with a graph, as the compiler and the check are when they are imported now; empty where it finds nothing."""
    check = import_module("..property.check", __package__)
    net = import_module("..property.net", __package__)
    made = net.Net(0)
    GRAPHS[graph](made)
    try:
        check.check(made.case(), check.Setting(l2_bytes=512))
    except AssertionError as error:
        return str(error).splitlines()[0]
    return ""


def sliding(net: Net) -> None:
    """Padded convolutions with work before and after them: panels, rings, blocks and tails of columns and lanes, groups."""
    x = net.node("Add", [net.input(1, 3, 9, 7), net.uniform(3, 1, 1)], (1, 3, 9, 7), LOOSE)
    value = _conv(net, x, (17, 3, 3, 3), (1, 17, 9, 7), pads=(1, 1, 1, 1))
    value = net.node("Relu", [value], (1, 17, 9, 7), LOOSE)
    value = _conv(net, value, (33, 17, 1, 1), (1, 33, 5, 4), strides=(2, 2))
    _conv(net, value, (6, 11, 2, 3), (1, 6, 4, 2), group=3)


def grouped(net: Net) -> None:
    """Groups of two outputs between other convolutions: lanes across groups, several of them in the narrowest vector."""
    value = _conv(net, net.input(1, 4, 6, 7), (12, 4, 1, 1), (1, 12, 6, 7))
    value = _conv(net, value, (12, 2, 3, 3), (1, 12, 6, 7), pads=(1, 1, 1, 1), group=6)
    _conv(net, value, (3, 12, 1, 1), (1, 3, 6, 7))


def turned(net: Net) -> None:
    """Planes that a depthwise convolution reads and gives, neither of them whole tiles, and a few outputs of short sums."""
    value = _conv(net, net.input(1, 22, 21, 19), (22, 1, 3, 3), (1, 22, 21, 19), pads=(1, 1, 1, 1), group=22)
    net.output(value)
    value = net.node("Relu", [value], (1, 22, 21, 19), LOOSE)
    value = _conv(net, value, (16, 22, 1, 1), (1, 16, 21, 19))
    _conv(net, value, (3, 16, 1, 1), (1, 3, 21, 19))


def padded(net: Net) -> None:
    """A first layer that reads its input where it lies, pads left out."""
    value = _conv(net, net.input(1, 3, 9, 23), (9, 3, 3, 3), (1, 9, 9, 23), pads=(1, 2, 1, 0))
    _conv(net, value, (5, 9, 1, 1), (1, 5, 9, 23))


def phases(net: Net) -> None:
    """A transposed convolution that has fewer taps for some outputs than for others."""
    value = net.node("Abs", [net.input(1, 17, 5, 4)], (1, 17, 5, 4), LOOSE)
    weights = net.uniform(17, 9, 3, 3)
    net.node(
        "ConvTranspose", [value, weights], (1, 9, 10, 8), LOOSE,
        strides=(2, 2), dilations=(1, 1), pads=(1, 1, 0, 0), group=1,
    )  # fmt: skip


def band(net: Net) -> None:
    """A pointwise convolution under a padded depthwise one whose pads differ."""
    value = _conv(net, net.input(1, 5, 11, 8), (19, 5, 1, 1), (1, 19, 11, 8))
    value = net.node("Relu", [value], (1, 19, 11, 8), LOOSE)
    _conv(net, value, (19, 1, 3, 3), (1, 19, 12, 7), pads=(2, 1, 1, 0), group=19)


def part(net: Net) -> None:
    """A padded window over the first rows of what a pointwise convolution makes: its pads are not those of the whole."""
    value = _conv(net, net.input(1, 3, 8, 8), (4, 3, 1, 1), (1, 4, 8, 8))
    value = net.node("Slice", [value], (1, 4, 6, 8), LOOSE, starts=(0, 0, 0, 0), steps=(1, 1, 1, 1))
    _conv(net, value, (4, 1, 3, 3), (1, 4, 6, 8), pads=(1, 1, 1, 1), group=4)


def slices(net: Net) -> None:
    """A concat that its producers write, one of them read again and one an output, and one stored transposed."""
    x = net.input(1, 4, 5, 3)
    first, second = (_conv(net, x, (3, 4, 1, 1), (1, 3, 5, 3)) for _ in range(2))
    second = net.node("Relu", [second], (1, 3, 5, 3), LOOSE)
    whole = net.node("Concat", [first, second], (1, 6, 5, 3), LOOSE, axis=1)
    again = net.node("Mul", [whole, net.uniform(6, 1, 1)], (1, 6, 5, 3), LOOSE)
    net.node("Transpose", [again], (3, 5, 6, 1), LOOSE, perm=(3, 2, 1, 0))
    net.node("Concat", [again, first], (1, 9, 5, 3), LOOSE, axis=1)
    net.output(second)


def pools(net: Net) -> None:
    """Pools with pads, strides and both ways of counting, of several channels and many columns."""
    x = net.node("Neg", [net.input(1, 9, 6, 13)], (1, 9, 6, 13), LOOSE)
    window = {"kernel": (3, 3), "strides": (2, 1), "dilations": (1, 1), "pads": (1, 1, 1, 1)}
    net.node("MaxPool", [x], (1, 9, 3, 13), LOOSE, **window)
    net.node("AveragePool", [x], (1, 9, 3, 13), LOOSE, count_include_pad=0, **window)


def products(net: Net) -> None:
    """Matrix products with constants and with each other, their operands computed and transposed."""
    x = net.node("Tanh", [net.input(2, 7, 9)], (2, 7, 9), LOOSE)
    value = net.node("MatMul", [x, net.uniform(9, 21)], (2, 7, 21), LOOSE)
    turned = net.node("Transpose", [value], (2, 21, 7), LOOSE, perm=(0, 2, 1))
    net.node("MatMul", [turned, x], (2, 21, 9), LOOSE)


def statistics(net: Net) -> None:
    """Row groups: softmax over the last axis and a maximum over the middle one, then a pad."""
    x = net.input(2, 13, 19)
    largest = net.node("ReduceMax", [x], (2, 13, 1), LOOSE, axes=(2,), keepdims=1)
    powers = net.node("Exp", [net.node("Sub", [x, largest], (2, 13, 19), LOOSE)], (2, 13, 19), LOOSE)
    total = net.node("ReduceSum", [powers], (2, 13, 1), LOOSE, axes=(2,), keepdims=1)
    shares = net.node("Div", [powers, total], (2, 13, 19), LOOSE)
    least = net.node("ReduceMin", [shares], (2, 1, 19), LOOSE, axes=(1,), keepdims=1)
    net.node("Pad", [least], (2, 1, 26), LOOSE, pads=(0, 0, 3, 0, 0, 4), value=0.5)


def normalised_slices(net: Net) -> None:
    """Two results of a row group, one of which is read as a part of a concat alone."""
    x = net.input(3, 4, 6)
    mean = net.node("ReduceMean", [x], (3, 1, 1), LOOSE, axes=(1, 2), keepdims=1)
    centred = net.node("Sub", [x, mean], (3, 4, 6), LOOSE)
    whole = net.node(
        "Concat", [centred, net.node("Abs", [centred], (3, 4, 6), LOOSE)], (3, 8, 6), LOOSE, axis=1
    )
    net.node("MatMul", [whole, net.uniform(6, 5)], (3, 8, 5), LOOSE)
    net.node("MatMul", [centred, net.uniform(6, 5)], (3, 4, 5), LOOSE)


def shared(net: Net) -> None:
    """Values whose lives overlap in the arena, and what looks like an epilogue of a group but needs one made after it."""
    x = net.input(1, 8, 6, 6)
    a = _conv(net, x, (8, 8, 1, 1), (1, 8, 6, 6))
    b = _conv(net, a, (8, 8, 3, 3), (1, 8, 6, 6), pads=(1, 1, 1, 1))
    c = _conv(net, b, (8, 8, 3, 3), (1, 8, 6, 6), pads=(1, 1, 1, 1))
    late = net.node("Transpose", [c], (1, 8, 6, 6), LOOSE, perm=(0, 1, 3, 2))
    net.node("Mul", [b, net.node("Add", [a, late], (1, 8, 6, 6), LOOSE)], (1, 8, 6, 6), LOOSE)


def _conv(
    net: Net,
    x: str,
    weights: tuple[int, ...],
    out: tuple[int, ...],
    pads: tuple[int, ...] = (0, 0, 0, 0),
    strides: tuple[int, ...] = (1, 1),
    group: int = 1,
) -> str:
    """A convolution whose weights keep its results small."""
    terms = weights[1] * weights[2] * weights[3]
    inputs = [x, net.uniform(*weights, bound=terms**-0.5), net.uniform(weights[0])]
    return net.node("Conv", inputs, out, LOOSE, strides=strides, dilations=(1, 1), pads=pads, group=group)


GRAPHS: Mapping[str, Callable[[Net], None]] = {
    build.__name__: build
    for build in (
        sliding,
        grouped,
        turned,
        padded,
        phases,
        band,
        part,
        slices,
        pools,
        products,
        statistics,
        normalised_slices,
        shared,
    )
}
