"""A bias is added to a finished sum: its terms keep the digits that the bias would take."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph

from ..fusion.nets import Net

pytestmark = pytest.mark.usefixtures("nothing_is_turned")

BIAS = 1000.0


@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "winograd", "anchor"),
    [
        (3, 24, 3, False, "contraction"),
        (24, 40, 1, False, "contraction"),
        (96, 40, 1, False, "contraction"),
        (64, 64, 3, False, "contraction"),
        (64, 64, 3, True, "pointwise"),
        (64, 2, 1, False, "dot"),
    ],
)
def test_a_large_bias_costs_a_sum_no_digits(
    channels: int, outputs: int, kernel: int, winograd: bool, anchor: str
) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, 30, 30), channels))
    y = net.conv(x, outputs, kernel)
    net.constants[net.nodes[-1].inputs[2]][:] = BIAS
    graph, feeds = net.graph(net.unary("Abs", y)), net.feeds()
    (exact,) = run_graph(graph, feeds).values()  # rounded once
    options = Options(winograd=winograd)
    stages = lower_graph(net.graph(net.conv(net.unary("Abs", y), 8)), options)
    assert stages.lowered[1].kernel.root.anchor == anchor
    whole = assemble_bundle(lower_graph(graph, options), options, "")
    (got,) = fusekit.load(whole).run(feeds).values()
    assert np.abs(got - exact).max() <= 2 * np.spacing(np.float32(BIAS))
