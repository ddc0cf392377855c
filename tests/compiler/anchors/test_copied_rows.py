"""Rows that a convolution copies stay in the first-level cache where its weights do, and are found by a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.kernel import Local
from fusekit.compiler.target import find_target

from ..fusion.nets import Net


def ring_of(net: Net, output: str, options: Options) -> Local:
    first = lower_graph(net.graph(output), replace(options, bands=False)).lowered[0].kernel
    (ring,) = (local for local in first.locals if local.kind == "ring")
    return ring


@pytest.mark.parametrize("target", ["x86-64-v4", "cortex-a76"])
def test_few_weights(target: str) -> None:
    net = Net()
    y = net.conv(net.conv(net.unary("Abs", net.input(1, 3, 224, 224)), 32, 3, 2), 8)
    ring = ring_of(net, y, Options(target=target))
    assert 4 * ring.size <= find_target(target).machine.l1_bytes
    assert (ring.size // (3 * 225)).bit_count() == 1


@pytest.mark.parametrize("target", ["x86-64-v3", "cortex-a76"])
@pytest.mark.parametrize(("channels", "group"), [(64, 1), (128, 8)])
def test_rows_of_a_stride_stay_in_the_second_level(channels: int, group: int, target: str) -> None:
    """Two input rows, twice as long, for a row of the output, and all groups of them."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, 112, 112), channels))
    options = Options(target=target, bands=False, winograd=False)
    stages = lower_graph(net.graph(net.conv(net.conv(x, channels, 3, 2, group=group), 8)), options)
    (ring,) = stages.lowered[1].kernel.locals
    assert 4 * ring.size <= find_target(target).machine.l2_bytes


def test_many_weights_pass_by_as_seldom_as_the_second_level_allows() -> None:
    net = Net()
    y = net.conv(net.unary("Relu", net.conv(net.input(1, 8, 56, 56), 64)), 64, 3)
    stages = lower_graph(net.graph(net.conv(y, 8)), Options(target="x86-64-v4", winograd=False))
    assert stages.lowered[1].kernel.schedule.tile > 8


@pytest.mark.parametrize("threads", [1, 3])
def test_the_answer_is_the_same(threads: int) -> None:
    net = Net()
    y = net.conv(net.conv(net.unary("Abs", net.input(1, 3, 150, 147)), 12, 5, 2), 8)
    graph, feeds, options = net.graph(y), net.feeds(), Options(threads=threads)
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
