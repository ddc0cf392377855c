"""What a model takes and gives lies in planes: what kernels of images write is turned in a kernel of its own, in tiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.fusion import LEVELS, Level
from fusekit.compiler.graph import Attribute, Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.interpret_stage import run_groups

from ..property.check import runnable
from .nets import Net

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4"} & set(runnable())) or ["host"]
SHAPE = (1, 22, 21, 23)
"""No axis is a whole number of tiles."""


def depthwise(net: Net) -> list[str]:
    return [net.unary("Relu", net.conv(net.input(*SHAPE), 22, 3, group=22))]


def pool(net: Net) -> list[str]:
    x = net.input(*SHAPE)
    sizes: dict[str, Attribute] = {
        "kernel": (3, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": (1, 1, 1, 1),
    }
    return [net.node("MaxPool", SHAPE, x, **sizes)]


def enlarged(net: Net) -> list[str]:
    x = net.unary("Relu", net.conv(net.input(1, 3, 11, 13), 19))
    sizes: dict[str, Attribute] = {
        "mode": "linear",
        "coordinates": "half_pixel",
        "scales": (1.0, 1.0, 2.0, 2.0),
    }
    return [net.node("Resize", (1, 19, 22, 26), x, **sizes)]


def transposed(net: Net) -> list[str]:
    x, weights = net.input(1, 20, 13, 11), net.constant(20, 18, 2, 2)
    attributes: dict[str, Attribute] = {
        "strides": (2, 2),
        "dilations": (1, 1),
        "pads": (0, 0, 0, 0),
        "group": 1,
    }
    return [net.node("ConvTranspose", (1, 18, 26, 22), x, weights, **attributes)]


def also_read(net: Net) -> list[str]:
    """A value that the model gives and goes on with."""
    x = net.unary("Relu", net.conv(net.input(1, 3, 42, 46), 22, 3, 2))
    return [x, net.conv(x, 20, 3, group=2)]


def slices(net: Net) -> list[str]:
    x = net.unary("Relu", net.conv(net.input(1, 3, 21, 23), 16))
    parts = [net.unary("Relu", net.conv(x, count, 3)) for count in (9, 13)]
    return [net.node("Concat", SHAPE, *parts, axis=1)]


def shares(net: Net) -> list[str]:
    """A softmax over channels."""
    x = net.conv(net.input(1, 3, 21, 23), 22)
    top = net.node("ReduceMax", (1, 1, 21, 23), x, axes=(1,), keepdims=1)
    powers = net.unary("Exp", net.binary("Sub", x, top))
    total = net.node("ReduceSum", (1, 1, 21, 23), powers, axes=(1,), keepdims=1)
    return [net.binary("Div", powers, total)]


def by_tiles(net: Net) -> list[str]:
    """A convolution that Winograd's algorithm takes from planes to planes."""
    return [net.conv(net.input(1, 48, 22, 21), 40, 3)]


def band(net: Net) -> list[str]:
    """What three operators in one kernel give."""
    x = net.unary("Relu", net.conv(net.input(1, 3, 64, 64), 96))
    return [net.conv(net.unary("Relu", net.conv(x, 96, 3, group=96)), 24)]


NETS = (band, depthwise, pool, enlarged, transposed, also_read, slices, shares, by_tiles)


def turns(stages: Stages) -> int:
    return sum(group.ops.count("Transpose") for group in stages.fused.groups)


def scattered(stages: Stages) -> bool:
    """Whether a kernel writes vectors to single elements."""
    kernels = [low.kernel for low in stages.lowered]
    roots = ((kernel.root, kernel.schedule.places[-1]) for kernel in kernels)
    return any(
        place.lane >= 0 and (store.map[0].coefficient(place.lane) or 0) > 1
        for stage, place in roots
        for store in stage.stores
    )


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", NETS, ids=lambda make: make.__name__)
def test_every_stage_gives_the_same(make: Callable[[Net], list[str]], level: Level, target: str) -> None:
    net = Net()
    graph, feeds = net.graph(*make(net)), net.feeds()
    want = run_graph(graph, feeds)
    for threads in (1, 2):
        options = Options(target, level, threads)
        stages = lower_graph(graph, options)
        found = [run_groups(stages.graph, stages.fused, feeds), run_plan(stages.graph, stages.plan, feeds)]
        found.append(fusekit.load(assemble_bundle(stages, options, "")).run(feeds))
        for answers in found:
            for name, value in want.items():
                assert np.abs(answers[name] - value).max() <= 1e-4 * np.abs(value).max()


@pytest.mark.parametrize(
    ("make", "count"),
    [
        (band, 1),
        (depthwise, 1),
        (pool, 1),
        (enlarged, 1),
        (transposed, 1),
        (also_read, 2),
        (slices, 1),
        (shares, 1),
        (by_tiles, 2),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_no_kernel_writes_across_planes(make: Callable[[Net], list[str]], count: int) -> None:
    net = Net()
    stages = lower_graph(net.graph(*make(net)), Options("x86-64-v3"))
    assert turns(stages) == count and not scattered(stages)
    assert sum("channels" in decision.reason for decision in stages.fused.ledger) == count


def product(net: Net) -> Graph:
    """A 1x1 convolution between planes: its vectors run along them."""
    return net.graph(net.conv(net.input(1, 24, 30, 30), 24))


def narrow(net: Net) -> Graph:
    return net.graph(net.conv(net.unary("Relu", net.conv(net.input(1, 3, 90, 90), 24)), 3))


def small(net: Net) -> Graph:
    return net.graph(net.conv(net.input(1, 24, 9, 9), 24, 3, group=24))


@pytest.mark.parametrize("make", [product, narrow, small], ids=lambda make: make.__name__)
def test_nothing_is_turned_without_gain(make: Callable[[Net], Graph]) -> None:
    assert turns(lower_graph(make(Net()), Options("x86-64-v3"))) == 0


def test_names_of_the_model_are_left_alone() -> None:
    """One of them is what the turned value would be called."""
    net = Net()
    output = net.conv(net.unary("Abs", net.input(*SHAPE)), 22, 3, group=22)
    taken = f"{output}/channels last"
    net.nodes[0] = replace(net.nodes[0], output=taken)
    net.nodes[1] = replace(net.nodes[1], inputs=(taken, *net.nodes[1].inputs[1:]))
    net.types[taken] = net.types["abs0"]
    graph, feeds = net.graph(output), net.feeds()
    stages = lower_graph(graph, Options())
    got = fusekit.load(assemble_bundle(stages, Options(), "")).run(feeds)[output]
    assert turns(stages) == 1 and np.allclose(got, run_graph(graph, feeds)[output], atol=1e-5)
