"""Bands give the same bits as the kernels they replace, and are formed only where that is possible and worth it."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph

from .nets import Net


def inverted_residual(size: int, stride: int, kernel: int = 3, channels: int = 96) -> Net:
    """Expansion, depthwise, projection: enough between the first two to leave a second-level cache."""
    net = Net()
    x = net.input(1, 16, size, size)
    wide = net.unary("Clip", net.conv(x, channels), low=0.0, high=6.0)
    deep = net.unary("Clip", net.conv(wide, channels, kernel, stride, group=channels), low=0.0, high=6.0)
    net.conv(deep, 24)
    return net


def stages(graph: Graph, bands: bool, threads: int, target: str = "host") -> tuple[Stages, Options]:
    options = Options(target=target, threads=threads, bands=bands)
    return lower_graph(graph, options), options


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("size", "stride", "kernel"), [(72, 1, 3), (72, 2, 3), (71, 2, 3), (70, 1, 5), (73, 2, 5)]
)
def test_band_gives_the_same_bits_as_two_kernels(size: int, stride: int, kernel: int, threads: int) -> None:
    net = inverted_residual(size, stride, kernel)
    graph, feeds = net.graph(net.nodes[-1].output), net.feeds()
    results = []
    for bands in (True, False):
        made, options = stages(graph, bands, threads)
        assert len(made.lowered) == (2 if bands else 3)
        results.append(fusekit.load(assemble_bundle(made, options, "")).run(feeds))
    for name, banded in results[0].items():
        assert np.array_equal(banded.view(np.int32), results[1][name].view(np.int32))


def test_band_of_a_pool_gives_the_same_bits_as_two_kernels() -> None:
    net = Net()
    wide = net.conv(net.input(1, 16, 72, 72), 96)
    pool = net.node(
        "MaxPool", (1, 96, 36, 36), wide, kernel=(3, 3), strides=(2, 2), dilations=(1, 1), pads=(1, 1, 0, 0)
    )
    graph, feeds = net.graph(pool), net.feeds()
    results = []
    for bands in (True, False):
        made, options = stages(graph, bands, 1)
        assert len(made.lowered) == (1 if bands else 2)
        results.append(fusekit.load(assemble_bundle(made, options, "")).run(feeds)[pool])
    assert np.array_equal(results[0], results[1])


def test_no_band_is_formed_when_the_value_is_read_twice() -> None:
    net = inverted_residual(72, 1)
    graph = net.graph(net.nodes[1].output, net.nodes[-1].output)
    made, _ = stages(graph, True, 1)
    assert len(made.lowered) == 3
    assert "its result is needed in memory" in "\n".join(map(str, made.fused.ledger))


def test_no_band_is_formed_when_what_follows_the_window_reads_the_value_too() -> None:
    net = Net()
    wide = net.conv(net.input(1, 16, 72, 72), 96)
    deep = net.conv(wide, 96, 3, 1, group=96)
    made, _ = stages(net.graph(net.node("Sub", (1, 96, 72, 72), deep, wide)), True, 1)
    assert len(made.lowered) == 2
    assert "its result is read beside the window too" in "\n".join(map(str, made.fused.ledger))


def test_no_band_is_formed_when_the_cache_holds_the_value() -> None:
    net = inverted_residual(16, 1)
    made, _ = stages(net.graph(net.nodes[-1].output), True, 1)
    assert len(made.lowered) == 3
    assert "stay in the second-level cache" in "\n".join(map(str, made.fused.ledger))


def test_no_band_is_formed_over_windows_that_do_not_overlap() -> None:
    net = Net()
    wide = net.conv(net.input(1, 16, 72, 72), 96)
    pool = net.node(
        "MaxPool", (1, 96, 36, 36), wide, kernel=(2, 2), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0)
    )
    made, _ = stages(net.graph(pool), True, 1)
    assert len(made.lowered) == 2
