"""Grouped convolutions with few outputs a group: their lanes run across groups, as those of a depthwise convolution do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.target import find_target

from ..fusion.nets import Net
from ..property.check import runnable

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4"} & set(runnable())) or ["host"]


def check(net: Net, output: str, target: str, across: bool, threads: int = 1) -> None:
    """Whether one kernel, and with the right answer, is a window; convolutions around it have its channels stored side by side."""
    graph, feeds, options = (
        net.graph(net.conv(output, 4)),
        net.feeds(),
        Options(target=target, threads=threads),
    )
    stages = lower_graph(graph, replace(options, winograd=False))
    windows = [s for low in stages.lowered for s in low.kernel.stages if s.anchor == "depthwise"]
    assert bool(windows) == across
    (want,) = run_graph(graph, feeds).values()
    (read,) = run_plan(graph, stages.plan, feeds).values()
    (got,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    for answer in (read, got):
        assert np.abs(answer - want).max() <= 1e-5 * np.abs(want).max()


def few(target: str, outputs: int) -> bool:
    """Whether a vector has room for several groups of so many outputs."""
    lanes = find_target(target).machine.lanes
    return outputs < lanes and lanes % outputs == 0


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("groups", [3, 9])
@pytest.mark.parametrize("inputs", [1, 2, 3, 8])
@pytest.mark.parametrize("outputs", [2, 3, 4, 8])
def test_any_groups(outputs: int, inputs: int, groups: int, target: str) -> None:
    """Also those that leave a tail of a vector, have more inputs than outputs, or one input, a depthwise convolution of several channels each."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 3, 9, 11), groups * inputs))
    net_output = net.unary("Relu", net.conv(x, groups * outputs, 3, group=groups))
    check(net, net_output, target, few(target, outputs) and inputs <= 2 * outputs)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", [1, 2, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (0, 1, 2, 3), (4, 5, 3, 6)])
def test_any_window(kernel: int, stride: int, pads: tuple[int, ...], target: str) -> None:
    """Also windows that see nothing but pads."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(2, 3, 9, 11), 20))
    check(net, net.conv(x, 20, kernel, stride, group=10, pad=pads), target, few(target, 2))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", [1, 3])
def test_input_with_planes_or_a_prologue_is_copied(kernel: int, target: str) -> None:
    net = Net()
    check(net, net.conv(net.input(1, 12, 9, 11), 12, kernel, group=6), target, few(target, 2))
    net = Net()
    both = net.unary("Abs", net.input(1, 12, 9, 11))
    check(net, net.conv(both, 12, kernel, group=6), target, few(target, 2), threads=2)


@pytest.mark.parametrize("target", TARGETS)
def test_other_outputs_of_the_group_and_residuals(target: str) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 3, 9, 11), 24))
    added = net.binary("Add", net.conv(x, 24, 3, group=12), x)
    check(net, net.binary("Mul", added, net.constant(24, 1, 1)), target, few(target, 2), threads=2)


@pytest.mark.parametrize("target", TARGETS)
def test_prologue_of_two_values_keeps_its_lanes(target: str) -> None:
    net = Net()
    x, y = (net.conv(net.input(1, 3, 9, 11), 12) for _ in range(2))
    graph = net.graph(net.conv(net.conv(net.binary("Add", x, y), 12, 3, group=6), 4))
    lowered = lower_graph(graph, Options(target=target)).lowered
    stages = [
        (s, p) for low in lowered for s, p in zip(low.kernel.stages, low.kernel.schedule.places, strict=True)
    ]
    lanes = [
        axis.extent for s, p in stages if s.anchor == "depthwise" for axis in s.axes if axis.id == p.lane
    ]
    assert lanes == ([12] if few(target, 2) else [])


@pytest.mark.parametrize("target", TARGETS)
def test_a_map_of_one_position_with_work_before_it(target: str) -> None:
    """The groups are then the only axis that could be taken for rows."""
    net = Net()
    scaled = net.binary("Mul", net.input(2, 16, 1, 1), net.constant(16, 1, 1))
    check(net, net.unary("Relu", net.conv(scaled, 32, group=8)), target, few(target, 4))


@pytest.mark.parametrize("target", TARGETS)
def test_channels_that_were_shuffled(target: str) -> None:
    net = Net()
    shape = (1, 20, 5, 6)
    x = net.node("Reshape", (1, 4, 5, 5, 6), net.conv(net.input(1, 3, 5, 6), 20))
    x = net.node("Transpose", (1, 5, 4, 5, 6), x, perm=(0, 2, 1, 3, 4))
    x = net.node("Reshape", shape, x)
    check(net, net.conv(x, 20, group=10), target, few(target, 2))
