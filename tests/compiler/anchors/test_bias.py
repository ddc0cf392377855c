"""A bias is added to a finished sum: its terms keep the digits that the bias would take."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph

from ..fusion.nets import Net

BIAS = 1000.0


@pytest.mark.parametrize("winograd", [False, True])
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel"), [(3, 24, 3), (24, 40, 1), (96, 40, 1), (64, 64, 3), (64, 2, 1)]
)
def test_a_large_bias_costs_a_sum_no_digits(channels: int, outputs: int, kernel: int, winograd: bool) -> None:
    net = Net()
    y = net.conv(net.unary("Relu", net.input(1, channels, 30, 30)), outputs, kernel)
    net.constants[net.nodes[-1].inputs[2]][:] = BIAS
    graph, feeds = net.graph(net.unary("Abs", y)), net.feeds()
    (exact,) = run_graph(graph, feeds).values()  # rounded once
    options = Options(winograd=winograd)
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - exact).max() <= 2 * np.spacing(np.float32(BIAS))
