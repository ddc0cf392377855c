"""Transposes, and work around them, in tiles: every tail, every element type, guards, units that threads can share."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.anchors.turned import rows_together, turned_in
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.expr import Const, Guard
from fusekit.compiler.graph import Graph, Node, Type
from fusekit.compiler.index import Axis, Bound, Index
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.lower_expr import split_points
from fusekit.compiler.target import TARGETS as ALL

from ..fusion.nets import Net
from ..property.check import runnable
from ..property.machine_code import run_machine_code

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4"} & set(runnable())) or ["host"]
SIZES = ((4, 4), (5, 7), (15, 16), (17, 33), (31, 100), (127, 19), (3, 64))


def swapped(net: Net, x: str) -> str:
    high, wide = net.types[x].shape
    return net.node("Transpose", (wide, high), x, perm=(1, 0))


def right(net: Net, output: str, target: str, threads: int = 1) -> bool:
    graph, feeds, options = net.graph(output), net.feeds(), Options(target, threads=threads)
    stages = lower_graph(graph, options)
    got = fusekit.load(assemble_bundle(stages, options, "")).run(feeds)[output]
    return np.allclose(got, run_graph(graph, feeds)[output], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_every_tail(size: tuple[int, int], threads: int, target: str) -> None:
    """Of a plain transpose, under work that is straight code, and under work that is a loop."""
    for ops in ((), ("Neg",), ("Sigmoid", "Erf")):
        net = Net()
        x = net.input(*size)
        for op in ops:
            x = net.unary(op, x)
        assert right(net, swapped(net, x), target, threads)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", SIZES)
def test_turned_and_straight_reads_together(size: tuple[int, int], target: str) -> None:
    for costly in (False, True):
        net = Net()
        x, y = net.input(*size), net.input(*reversed(size))
        x = net.binary("Mul", x, net.constant(size[0], 1))
        both = net.binary("Add", swapped(net, x), y)
        assert right(net, net.unary("Sigmoid", net.unary("Erf", both)) if costly else both, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("costly", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_guards_along_either_axis(size: tuple[int, int], costly: bool, target: str) -> None:
    """Nothing behind a guard is read, whichever side of a tile it is on."""
    high, wide = size
    net = Net()
    x = net.node(
        "Pad", (high + 5, wide + 4), net.input(high, wide), pads=(3, 1, 2, 3), mode="constant", value=2.0
    )
    x = net.unary("Sigmoid", net.unary("Erf", x)) if costly else net.unary("Neg", x)
    y = swapped(net, x)
    y = net.node("Pad", (wide + 6, high + 10), y, pads=(1, 2, 1, 3), mode="constant", value=-1.0)
    assert right(net, net.unary("Abs", y), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_other_element_types(dtype: str, target: str) -> None:
    shape, perm = (2, 21, 19, 6), (0, 2, 3, 1)
    turned = tuple(shape[i] for i in perm)
    node = Node("Transpose", ("x",), "y", (("perm", perm),), "y")
    graph = Graph("net", ("x",), ("y",), (node,), {"x": Type(dtype, shape), "y": Type(dtype, turned)}, {})
    feed = np.random.default_rng(3).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    options = Options(target)
    got = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run({"x": feed})["y"]
    assert np.array_equal(got, feed.transpose(perm))


def images(channels: int, side: int, back: bool) -> Graph:
    net = Net()
    planes, last = (1, channels, side, side), (1, side, side, channels)
    x = net.input(*(last if back else planes))
    y = net.node("Transpose", planes if back else last, x, perm=(0, 3, 1, 2) if back else (0, 2, 3, 1))
    return net.graph(net.unary("Sigmoid", y) if channels % 2 else y)


@pytest.mark.parametrize("target", sorted(ALL))
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize(("channels", "side"), [(4, 64), (16, 256), (64, 56), (33, 30), (255, 20), (768, 14)])
def test_units_are_whole_tiles_and_enough_of_them(channels: int, side: int, back: bool, target: str) -> None:
    (low,) = lower_graph(images(channels, side, back), Options(target, threads=4)).lowered
    stage, schedule = low.kernel.root, low.kernel.schedule
    place, machine = schedule.places[-1], ALL[target].machine
    assert turned_in(stage, place) is not None
    assert schedule.tile % rows_together(stage, place, machine) == 0 and schedule.units >= 4


def test_row_groups_are_cut_by_whole_tiles() -> None:
    """A softmax over channels that is given in planes: its last stage turns what the others leave in rows."""
    net = Net()
    x = net.conv(net.input(1, 3, 40, 50), 24, 3, stride=2)
    top = net.node("ReduceMax", (1, 1, 20, 25), x, axes=(1,), keepdims=1)
    powers = net.unary("Exp", net.binary("Sub", x, top))
    graph = net.graph(
        net.binary("Div", powers, net.node("ReduceSum", (1, 1, 20, 25), powers, axes=(1,), keepdims=1))
    )
    for target in ALL:
        stages: Stages = lower_graph(graph, Options(target))
        kernel = stages.lowered[-1].kernel
        stage, place, machine = kernel.root, kernel.schedule.places[-1], ALL[target].machine
        assert turned_in(stage, place) is not None
        assert kernel.schedule.tile % rows_together(stage, place, machine) == 0


def test_a_wide_tile_is_no_more_code_than_a_narrow_one() -> None:
    """Work that is costly is written once or twice for a tile, not once for each of its outputs."""
    sizes = []
    for side in (16, 127):
        net = Net()
        x = net.unary("Tanh", net.unary("Erf", net.input(side, side)))
        stages = lower_graph(net.graph(swapped(net, x)), Options("x86-64-v3"))
        sizes.append(len(assemble_bundle(stages, Options("x86-64-v3"), "").files["model.o"]))
    assert sizes[1] < 6 * sizes[0]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", [8, 11, 16])
def test_padded_channels_in_reverse_are_read_inside_their_buffer(channels: int, target: str) -> None:
    net, after = Net(), 5
    total = channels + after
    x = net.node(
        "Pad", (1, total, 8, 8), net.input(1, channels, 8, 8), pads=(0, 0, 0, 0, 0, after, 0, 0), value=0.5
    )
    x = net.node("Slice", (1, total, 8, 8), x, starts=(0, total - 1, 0, 0), steps=(1, -1, 1, 1))
    graph = net.graph(net.node("Transpose", (1, 8, 8, total), x, perm=(0, 2, 3, 1)))
    stages, feeds = lower_graph(graph, Options(target)), net.feeds()
    ((_, got),) = run_machine_code(stages.graph, stages.plan, 1, feeds).items()
    ((_, want),) = run_graph(graph, feeds).items()
    assert np.array_equal(got, want)


@pytest.mark.parametrize(("scale", "const"), [(1, 0), (1, -3), (2, 1), (3, -4), (-1, 12), (-2, 15), (-3, 14)])
def test_loops_are_split_where_a_guard_changes(scale: int, const: int) -> None:
    axis, lo, hi = Axis(1, 17), 2, 9
    value = Guard(
        "float32",
        (Bound(Index.of(axis) * scale + const, lo, hi),),
        Const("float32", 1.0),
        Const("float32", 0.0),
    )
    inside = [lo <= scale * at + const < hi for at in range(axis.extent)]
    changes = [at for at in range(1, axis.extent) if inside[at] != inside[at - 1]]
    assert split_points((value,), axis) == [0, *changes, axis.extent]
