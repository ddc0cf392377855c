"""Contractions with few outputs at a position: heads of one channel, small transposed convolutions."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

import fusekit
from fusekit.compiler.anchors.dot import runs_of
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph

from ..fusion.nets import Net


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "size"),
    [(8, 1, 3, 20), (16, 1, 1, 33), (21, 2, 1, 17), (19, 3, 3, 9), (70, 4, 1, 13), (11, 1, 5, 7)],
)
def test_few_output_channels(channels: int, outputs: int, kernel: int, size: int, threads: int) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, size, size), channels))
    y = net.unary("Sigmoid", net.conv(x, outputs, kernel))
    graph, feeds = net.graph(y), net.feeds()
    options = Options(target="x86-64-v3", threads=threads)
    stages = lower_graph(graph, options)
    assert stages.lowered[-1].kernel.root.anchor == "dot"
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("stride", "size", "target"),
    [
        ((2, 2), 9, "x86-64-v2"),
        ((2, 2), 19, "x86-64-v3"),
        ((1, 4), 20, "x86-64-v3"),
        ((2, 3), 17, "x86-64-v3"),
    ],
)
def test_phases_of_a_transposed_convolution_are_stored_side_by_side(
    stride: tuple[int, int], size: int, target: str
) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, size, size), 48))
    weights, bias = net.constant(48, 1, *stride), net.constant(1)
    shape = (1, 1, size * stride[0], size * stride[1])
    y = net.node(
        "ConvTranspose", shape, x, weights, bias, strides=stride, dilations=(1, 1), pads=(0,) * 4, group=1
    )
    graph, feeds = net.graph(net.unary("Sigmoid", y)), net.feeds()
    options = Options(target=target)
    stages = lower_graph(graph, options)
    assert stages.lowered[-1].kernel.root.anchor == "dot"
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("target", "outputs"), [("x86-64-v3", 5), ("rpi5", 3)])
def test_lanes_run_along_outputs_where_these_fill_half_a_vector(target: str, outputs: int) -> None:
    net = Net()
    graph = net.graph(net.conv(net.unary("Relu", net.conv(net.input(1, 8, 9, 9), 16)), outputs))
    assert lower_graph(graph, Options(target=target)).lowered[-1].kernel.root.anchor == "contraction"


@pytest.mark.parametrize(
    ("kernel", "dilation", "runs"), [(3, 1, [3, 24]), (3, 2, [3, 3, 8]), (1, 1, [8]), (5, 1, [5, 40])]
)
def test_lanes_go_on_through_taps_that_follow_each_other(kernel: int, dilation: int, runs: list[int]) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 4, 24, 24), 8))
    pads = (dilation * (kernel // 2),) * 4
    weights = net.constant(1, 8, kernel, kernel)
    y = net.node(
        "Conv",
        (1, 1, 24, 24),
        x,
        weights,
        net.constant(1),
        strides=(1, 1),
        dilations=(dilation,) * 2,
        pads=pads,
        group=1,
    )
    graph, feeds = net.graph(net.unary("Sigmoid", y)), net.feeds()
    options = Options(target="x86-64-v3", bands=False)
    stages = lower_graph(graph, options)
    kernel_ = stages.lowered[-1].kernel
    assert kernel_.root.anchor == "dot"
    loops, run = runs_of(kernel_.root, kernel_.schedule.places[-1])
    assert [*(axis.extent for axis in loops), prod(axis.extent for axis in run)] == runs
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    assert np.allclose(got, want, rtol=1e-5, atol=1e-6)
