"""Windows of more taps than are written out, of a single one, and chains longer than an expression may be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler import target as targets
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.target import find_target

from ..fusion.nets import Net


def check(graph: Graph, net: Net, anchor: str, threads: int = 2) -> None:
    options = Options(threads=threads)
    feeds, stages = net.feeds(), lower_graph(graph, options)
    assert anchor in [stage.anchor for step in stages.lowered for stage in step.kernel.stages]
    (want,) = run_graph(graph, feeds).values()
    (kernels,) = run_plan(stages.graph, stages.plan, feeds).values()
    (code,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    for got in (kernels, code):
        assert np.allclose(got, want, rtol=1e-5, atol=1e-5 * float(np.abs(want).max()))


@pytest.mark.parametrize(("kernel", "anchor"), [(13, "depthwise"), (17, "reduce")])
def test_depthwise_convolution(kernel: int, anchor: str) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, 20, 19), 12))
    check(net.graph(net.unary("Relu", net.conv(x, 12, kernel, group=12))), net, anchor)


def test_average_pool() -> None:
    net = Net()
    attributes = {"kernel": (19, 18), "strides": (1, 1), "dilations": (1, 1), "pads": (2, 1, 0, 3)}
    x = net.unary("Relu", net.conv(net.input(1, 8, 20, 19), 12))
    y = net.node("AveragePool", (1, 12, 4, 6), x, count_include_pad=0, **attributes)
    check(net.graph(y), net, "reduce")


def test_depthwise_convolution_with_pads_and_no_taps_beside_them() -> None:
    net = Net()
    x = net.conv(net.input(1, 8, 9, 11), 12)
    y = net.node(
        "Conv", (1, 12, 9, 14), x, net.constant(12, 1, 1, 1),
        strides=(1, 1), dilations=(1, 1), pads=(0, 1, 0, 2), group=12,
    )  # fmt: skip
    check(net.graph(net.conv(y, 8)), net, "depthwise")


@pytest.mark.parametrize("size", [7, 80])
@pytest.mark.parametrize("pads", [(2, 0, 0, 2, 0, 0), (2, 1, 1, 2, 1, 1), (0, 0, 0, 3, 1, 1)])
def test_channels_added_before_a_window(pads: tuple[int, ...], size: int) -> None:
    net = Net()
    x = net.conv(net.input(1, 8, size, size), 12)
    shape = [n + a + b for n, a, b in zip((12, size, size), pads[:3], pads[3:], strict=True)]
    x = net.node("Pad", (1, *shape), x, pads=(0, *pads[:3], 0, *pads[3:]), value=0.0)
    y = net.node(
        "Conv", (1, shape[0], shape[1] - 2, shape[2] - 2), x, net.constant(shape[0], 1, 3, 3),
        strides=(1, 1), dilations=(1, 1), pads=(0, 0, 0, 0), group=shape[0],
    )  # fmt: skip
    check(net.graph(net.conv(y, 8)), net, "depthwise")


def test_rows_that_are_groups_have_weights_of_their_own() -> None:
    net = Net()
    y = net.node(
        "Conv", (1, 3, 1, 12), net.input(1, 15, 3, 12), net.constant(3, 5, 3, 3), net.constant(3),
        strides=(1, 1), dilations=(2, 1), pads=(2, 1, 0, 1), group=3,
    )  # fmt: skip
    check(net.graph(net.node("Transpose", (1, 1, 12, 3), y, perm=(0, 2, 3, 1))), net, "depthwise")


@pytest.mark.parametrize(("op", "value"), [("MaxPool", 0.0), ("AveragePool", 2.0), ("Conv", 2.0)])
def test_pads_of_another_value_than_the_windows_own(op: str, value: float) -> None:
    net = Net()
    x = net.conv(net.input(1, 4, 9, 9), 12, 3)
    x = net.node("Pad", (1, 12, 11, 11), x, pads=(0, 0, 1, 1, 0, 0, 1, 1), value=value)
    kernel = (3, 3)
    plain = {"strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    if op == "Conv":
        y = net.node(op, (1, 12, 9, 9), x, net.constant(12, 1, *kernel), **plain, group=12)
    elif op == "MaxPool":
        y = net.node(op, (1, 12, 9, 9), x, kernel=kernel, **plain)
    else:
        y = net.node(op, (1, 12, 9, 9), x, kernel=kernel, count_include_pad=1, **plain)
    check(net.graph(net.conv(y, 8)), net, "depthwise" if op == "Conv" else "pool")


@pytest.mark.parametrize("threads", [1, 3, 5])
@pytest.mark.parametrize("rows", [4, 7])
def test_threads_and_blocks_of_two_rows(rows: int, threads: int) -> None:
    net = Net()
    x = net.conv(net.input(1, 8, rows, 11), 24)
    check(net.graph(net.conv(net.conv(x, 24, 3, group=24), 8)), net, "depthwise", threads)


def test_rows_are_paired_where_they_share_what_they_read() -> None:
    def height(stride: int, dilation: int = 1) -> int:
        net, size = Net(), (26 + 2 - 2 * dilation) // stride + 1
        x = net.conv(net.input(1, 8, 28, 28), 24)
        y = net.node(
            "Conv", (1, 24, size, size), x, net.constant(24, 1, 3, 3),
            strides=(stride, stride), dilations=(dilation, dilation), pads=(0, 0, 0, 0), group=24,
        )  # fmt: skip
        stages = lower_graph(net.graph(net.conv(y, 8)), Options(target="cortex-a76"))
        (place,) = (
            p
            for item in stages.lowered
            for p in item.kernel.schedule.places
            if item.kernel.root.anchor == "depthwise"
        )
        return place.block.rows

    assert [height(1), height(2), height(1, 2)] == [2, 1, 1]


def test_a_window_that_reads_one_column_of_a_band(monkeypatch: pytest.MonkeyPatch) -> None:
    host = find_target("host")
    assert isinstance(targets.TARGETS, dict)
    monkeypatch.setitem(targets.TARGETS, "small", replace(host, machine=replace(host.machine, l2_bytes=512)))
    net, options = Net(), Options("small")
    x = net.unary("Relu", net.conv(net.input(1, 3, 10, 3), 64))
    y = net.node(
        "Conv", (1, 64, 10, 1), x, net.constant(64, 1, 3, 1),
        strides=(1, 3), dilations=(1, 1), pads=(1, 0, 1, 0), group=64,
    )  # fmt: skip
    graph, feeds = net.graph(y), net.feeds()
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.allclose(got, want, rtol=1e-5, atol=1e-5)


def test_a_window_over_pads_alone() -> None:
    net = Net()
    x = net.conv(net.input(1, 4, 3, 3), 12)
    y = net.node(
        "AveragePool", (1, 12, 3, 1), x,
        kernel=(1, 1), strides=(1, 3), dilations=(1, 1), pads=(0, 3, 0, 0), count_include_pad=1,
    )  # fmt: skip
    graph, feeds = net.graph(net.unary("Exp", y)), net.feeds()
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, Options()), Options(), "")).run(feeds).values()
    assert np.array_equal(got, want)


def test_long_chains_are_cut_into_several_kernels() -> None:
    net = Net()
    value = net.input(40, 3)
    for _ in range(150):
        value = net.unary("Sqrt", net.unary("Abs", value))
    check(net.graph(value), net, "pointwise")
    ledger = "\n".join(map(str, lower_graph(net.graph(value), Options()).fused.ledger))
    assert "a chain of 64 nodes is computed where it is read already" in ledger
