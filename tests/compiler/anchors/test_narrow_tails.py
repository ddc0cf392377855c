"""Outputs whose last vector is at most half full: two columns share a register, or vectors are half a register long, whatever the widths of blocks, rows and epilogues."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph

from ..fusion.nets import Net
from ..property.check import runnable

TARGETS = sorted({"x86-64-v3", "x86-64-v4", "znver4"} & set(runnable())) or ["host"]


def check(net: Net, output: str, target: str) -> None:
    graph, feeds, options = net.graph(output), net.feeds(), Options(target=target)
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("width", [1, 2, 7, 15])
@pytest.mark.parametrize("outputs", [3, 5, 8, 9, 11, 12, 17, 20, 24, 25, 33, 40, 72])
def test_every_width_of_the_last_vector(outputs: int, width: int, target: str) -> None:
    """Between other convolutions, so that channels lie side by side and are the lanes."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 3, 3, width), 5))
    check(net, net.conv(net.unary("Relu", net.conv(x, outputs)), 4), target)


@pytest.mark.parametrize("target", TARGETS)
def test_windows_and_costly_epilogues(target: str) -> None:
    net = Net()
    x = net.unary("Erf", net.conv(net.input(1, 3, 19, 23), 24, 3, 2))
    check(net, net.binary("Mul", net.conv(x, 20, 3), net.constant(1, 20, 1, 1)), target)


@pytest.mark.parametrize("target", TARGETS)
def test_products_of_two_results(target: str) -> None:
    net = Net()
    x = net.input(2, 7, 9)
    left = net.node("MatMul", (2, 7, 12), x, net.constant(9, 12))
    right = net.node(
        "Transpose", (2, 12, 7), net.node("MatMul", (2, 7, 12), x, net.constant(9, 12)), perm=(0, 2, 1)
    )
    check(net, net.node("MatMul", (2, 7, 7), left, right), target)
