"""Few outputs of short sums: all of a column share its vectors."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph

from ..fusion.nets import Net
from ..property.check import runnable

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4"} & set(runnable())) or ["host"]


def right(graph: Graph, net: Net, target: str, threads: int = 1) -> bool:
    options, feeds = Options(target, threads=threads), net.feeds()
    stages = lower_graph(graph, options)
    assert "dot" in [low.kernel.root.anchor for low in stages.lowered]
    got = fusekit.load(assemble_bundle(stages, options, "")).run(feeds)
    return all(np.allclose(got[k], v, rtol=1e-5, atol=1e-5) for k, v in run_graph(graph, feeds).items())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("channels", [8, 16, 24, 32, 40, 100])
@pytest.mark.parametrize("outputs", [1, 2, 3, 4])
def test_any_outputs_and_depths(outputs: int, channels: int, target: str) -> None:
    """Also in rows of columns that are no whole vectors, and beside a residual of planes."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(2, 3, 9, 21), channels, 3))
    y = net.binary("Add", net.unary("Sigmoid", net.conv(x, outputs)), net.input(2, outputs, 9, 21))
    options, feeds = Options(target), net.feeds()
    graph = net.graph(y)
    stages = lower_graph(graph, options)
    got = fusekit.load(assemble_bundle(stages, options, "")).run(feeds)[y]
    assert np.allclose(got, run_graph(graph, feeds)[y], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(5, 5), (7, 33)])
def test_phases_of_a_transposed_convolution(size: tuple[int, int], threads: int, target: str) -> None:
    high, wide = size
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 3, high, wide), 16, 3))
    y = net.node(
        "ConvTranspose", (1, 1, 2 * high, 2 * wide), x, net.constant(16, 1, 2, 2), net.constant(1),
        strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0), group=1,
    )  # fmt: skip
    assert right(net.graph(net.unary("Sigmoid", y)), net, target, threads)
