"""Depthwise convolutions with large windows take few channels at a time: every number of them, every target's width, no thread without work."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.kernel import Kernel
from fusekit.compiler.target import TARGETS

from ..fusion.nets import Net
from ..property.check import runnable


def depthwise(channels: int, kernel: int, size: int = 6, stride: int = 1) -> tuple[Net, Graph]:
    """The convolution alone: a pool before it and a mean after it stay kernels of their own."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 4, 2 * size, 2 * size), channels))
    window = {"kernel": (2, 2), "strides": (2, 2), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    x = net.node("MaxPool", (1, channels, size, size), x, **window)
    x = net.unary("Sigmoid", net.conv(x, channels, kernel, stride, group=channels))
    return net, net.graph(net.node("ReduceMean", (1, channels, 1, 1), x, axes=(2, 3), keepdims=1))


def kernel_of(graph: Graph, options: Options) -> Kernel:
    kernels = [step.kernel for step in lower_graph(graph, options).lowered]
    (found,) = (kernel for kernel in kernels if kernel.root.anchor == "depthwise")
    return found


@pytest.mark.parametrize("target", runnable())
@pytest.mark.parametrize(
    ("channels", "kernel", "stride"), [(200, 5, 1), (277, 5, 2), (131, 7, 1), (403, 4, 1)]
)
def test_every_channel_is_computed(channels: int, kernel: int, stride: int, target: str) -> None:
    net, graph = depthwise(channels, kernel, stride=stride)
    for threads in (1, 3):
        options, feeds = Options(target=target, threads=threads), net.feeds()
        stages = lower_graph(graph, options)
        assert kernel_of(graph, options).schedule.parallel == "lanes"
        (want,) = run_graph(graph, feeds).values()
        (kernels,) = run_plan(stages.graph, stages.plan, feeds).values()
        (code,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
        for got in (kernels, code):
            assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_a_unit_reads_again_stays_in_the_first_cache(target: str) -> None:
    _, graph = depthwise(960, 5, size=20)
    kernel = kernel_of(graph, Options(target=target))
    channels = kernel.schedule.tile * kernel.schedule.places[-1].block.width(kernel.target.machine)
    assert kernel.schedule.parallel == "lanes"
    assert 4 * channels * (25 + 5 * 24) <= kernel.target.machine.l1_bytes


@pytest.mark.parametrize(("channels", "kernel"), [(960, 3), (64, 5), (32, 7)])
def test_small_windows_and_few_channels_go_by_rows(channels: int, kernel: int) -> None:
    _, graph = depthwise(channels, kernel, size=20)
    assert kernel_of(graph, Options(target="x86-64-v3")).schedule.parallel == "rows"


@pytest.mark.parametrize("threads", range(1, 9))
def test_threads_share_channels_or_rows_evenly(threads: int) -> None:
    _, graph = depthwise(240, 5, size=28)
    schedule = kernel_of(graph, Options(target="x86-64-v3", threads=threads)).schedule
    busiest = -(-schedule.units // threads) / schedule.units
    assert busiest * threads <= 1.2, schedule
