"""Dense convolutions read a padded input where it lies: taps on pads are left out, along rows by the loop, along columns when the code is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan

from ..fusion.nets import Net
from ..property.check import runnable

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4"} & set(runnable())) or ["host"]
PLAIN = Options(winograd=False, bands=False)


def check(net: Net, first: str, target: str, threads: int = 1, copied: bool | None = False) -> None:
    """Whether a convolution copies its input; another one follows it, so that its channels are stored side by side."""
    output = net.conv(net.unary("Relu", first), 4)
    graph, feeds, options = net.graph(output), net.feeds(), replace(PLAIN, target=target, threads=threads)
    stages = lower_graph(graph, options)
    if target != "host" and copied is not None:
        assert bool(stages.lowered[0].kernel.locals) == copied
    (want,) = run_graph(graph, feeds).values()
    (read,) = run_plan(graph, stages.plan, feeds).values()
    (got,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    for answer in (read, got):
        assert np.abs(answer - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("kernel", [2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("pads", [(1, 1, 1, 1), (0, 0, 1, 1), (0, 1, 2, 3), (4, 5, 3, 6), (6, 0, 0, 0)])
def test_any_pads(kernel: int, stride: int, pads: tuple[int, ...], target: str) -> None:
    """Also wider than the kernel, so that some outputs see nothing but pads."""
    net = Net()
    check(net, net.conv(net.input(2, 3, 17, 19), 11, kernel, stride, pad=pads), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("size", [(1, 7), (2, 2), (7, 1), (5, 8)])
@pytest.mark.parametrize("channels", [1, 4, 20])
def test_maps_of_which_every_block_has_an_edge(channels: int, size: tuple[int, int], target: str) -> None:
    net = Net()
    check(net, net.conv(net.input(1, channels, *size), 33, 3), target, copied=None)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads(threads: int, target: str) -> None:
    net = Net()
    check(net, net.conv(net.input(1, 3, 33, 21), 24, 3, 2), target, threads)


@pytest.mark.parametrize("target", TARGETS)
def test_groups(target: str) -> None:
    net = Net()
    check(net, net.conv(net.input(1, 6, 14, 13), 24, 3, group=2), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("stride", [1, 2])
def test_groups_of_many_channels_are_copied(stride: int, target: str) -> None:
    """A step through the channels of a group is none through a window, though a group's number is part of its address too."""
    net = Net()
    check(net, net.conv(net.input(1, 64, 14, 13), 64, 3, stride, group=4), target, copied=True)


@pytest.mark.parametrize("target", TARGETS)
def test_prologues_and_rows_apart_are_copied(target: str) -> None:
    net = Net()
    check(net, net.conv(net.unary("Abs", net.input(1, 3, 14, 13)), 8, 3), target, copied=True)
    net = Net()
    x = net.input(1, 3, 15, 13)
    weights, bias = net.constant(8, 3, 3, 3), net.constant(8)
    dilated = net.node(
        "Conv", (1, 8, 15, 13), x, weights, bias, strides=(1, 1), dilations=(2, 1), pads=(2, 1, 2, 1), group=1
    )  # fmt: skip
    check(net, dilated, target, copied=True)


@pytest.mark.parametrize("target", TARGETS)
def test_taps_along_rows_alone_are_copied(target: str) -> None:
    """Nothing is left to loop over below them."""
    net = Net()
    weights, bias = net.constant(8, 1, 3, 1), net.constant(8)
    tall = net.node(
        "Conv", (1, 8, 15, 13), net.input(1, 1, 15, 13), weights, bias,
        strides=(1, 1), dilations=(1, 1), pads=(1, 0, 1, 0), group=1,
    )  # fmt: skip
    check(net, tall, target, copied=True)


@pytest.mark.parametrize("target", TARGETS)
def test_pads_along_one_axis(target: str) -> None:
    for pads in ((1, 0, 1, 0), (0, 1, 0, 1), (0, 2, 0, 0)):
        net = Net()
        check(net, net.conv(net.input(1, 3, 15, 17), 8, 3, pad=pads), target)
        net = Net()
        check(net, net.conv(net.input(1, 1, 15, 17), 8, 1, pad=pads), target, copied=None)
