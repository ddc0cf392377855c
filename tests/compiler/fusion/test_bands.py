"""Bands give the same bits as the kernels they replace, and are formed only where that is possible and worth it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.graph import Attribute, Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.target import TARGETS

from .nets import Net

pytestmark = pytest.mark.usefixtures("nothing_is_turned")


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


def largest_error(graph: Graph, feeds: Mapping[str, np.ndarray], made: Stages, options: Options) -> float:
    """Of the only output, against the graph's interpreter."""
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(made, options, "")).run(feeds).values()
    return float(np.abs(got - want).max())


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("size", "stride", "kernel"), [(72, 1, 3), (72, 2, 3), (71, 2, 3), (70, 1, 5), (73, 2, 5)]
)
def test_band_gives_the_same_bits_as_three_kernels(size: int, stride: int, kernel: int, threads: int) -> None:
    net = inverted_residual(size, stride, kernel)
    graph, feeds = net.graph(net.nodes[-1].output), net.feeds()
    results = []
    for bands in (True, False):
        made, options = stages(graph, bands, threads)
        assert len(made.lowered) == (1 if bands else 3)
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


@pytest.mark.parametrize("prologue", [False, True])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_band_begins_with_a_padded_convolution_and_ends_with_a_pool(threads: int, prologue: bool) -> None:
    net = Net()
    image = net.input(1, 3, 161, 147)
    first = net.unary("Relu", net.conv(net.unary("Abs", image) if prologue else image, 48, 3, 2))
    pool = net.node(
        "MaxPool", (1, 48, 40, 36), first, kernel=(3, 3), strides=(2, 2), dilations=(1, 1), pads=(0, 0, 0, 0)
    )
    feeds, results = net.feeds(), []
    for bands in (True, False):
        made, options = stages(net.graph(pool), bands, threads)
        anchors = [[stage.anchor for stage in item.kernel.stages] for item in made.lowered]
        convolution = [*["pointwise"] * prologue, "contraction"]
        assert anchors == ([[*convolution, "pool"]] if bands else [convolution, ["pool"]])
        results.append(fusekit.load(assemble_bundle(made, options, "")).run(feeds)[pool])
    assert np.array_equal(results[0], results[1])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_windows_in_the_middle_make_what_is_missing_row_by_row(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 1x1 convolution between windows asks for one more row a time, never for the pairs that windows compute elsewhere."""
    row = TARGETS["x86-64-v2"]
    monkeypatch.setitem(TARGETS, "tiny", replace(row, machine=replace(row.machine, l2_bytes=512)))
    net = Net()
    deep = net.conv(net.input(1, 17, 18, 20), 17, 2, group=17, pad=(0, 0, 1, 0))
    window = {"kernel": (2, 2), "strides": (1, 1), "dilations": (1, 1), "pads": (1, 0, 0, 0)}
    pool = net.node("MaxPool", (1, 3, 18, 18), net.conv(deep, 3), **window)
    graph, feeds = net.graph(pool), net.feeds()
    made, options = stages(graph, True, threads, "tiny")
    assert [stage.anchor for stage in made.lowered[0].kernel.stages] == [
        "pointwise",
        "depthwise",
        "contraction",
        "pool",
    ]
    assert largest_error(graph, feeds, made, options) < 1e-4


def test_windows_before_a_projection_compute_pairs_of_rows() -> None:
    made, _ = stages(inverted_residual(72, 1).graph("conv4"), True, 1)
    (item,) = made.lowered
    _, window, root = item.kernel.schedule.places
    assert (window.block.rows, root.row != root.col, item.kernel.schedule.tile % 2) == (2, True, 0)


def test_work_before_the_first_convolution_is_done_once_for_every_row() -> None:
    net = Net()
    x = net.binary("Mul", net.input(1, 16, 72, 72), net.constant(1, 16, 1, 1))
    wide = net.conv(net.unary("Erf", x), 96)
    net.conv(net.conv(wide, 96, 3, group=96), 24)
    graph, feeds = net.graph(net.nodes[-1].output), net.feeds()
    made, options = stages(graph, True, 2)
    anchors = [stage.anchor for stage in made.lowered[0].kernel.stages]
    assert anchors == ["pointwise", "contraction", "depthwise", "contraction"]
    assert [local.kind for local in made.lowered[0].kernel.locals].count("ring") == 3
    assert largest_error(graph, feeds, made, options) < 1e-4


def test_each_reader_of_a_value_has_a_line_in_the_ledger() -> None:
    net = Net()
    wide = net.conv(net.input(1, 16, 72, 72), 96)
    readers = [net.conv(wide, 96, 3, group=96), net.conv(wide, 96, 5, group=96)]
    made, _ = stages(net.graph(*readers), True, 1)
    lines = [str(line) for line in made.fused.ledger if "needed in memory" in str(line)]
    assert lines == [f"cut   {wide} before {reader}: its result is needed in memory" for reader in readers]


def test_what_saves_most_is_merged_first() -> None:
    """Of depthwise, projection, expansion, depthwise the first two and the last two share more than those between."""
    net = Net()
    x = net.conv(net.input(1, 32, 112, 112), 32, 3, group=32)
    x = net.conv(net.conv(x, 16), 96)
    net.conv(x, 96, 3, 2, group=96)
    made, _ = stages(net.graph(net.nodes[-1].output), True, 1)
    anchors = [[stage.anchor for stage in item.kernel.stages] for item in made.lowered]
    assert anchors == [["pointwise", "depthwise", "contraction"], ["contraction", "depthwise"]]
    assert "a band has 3 operators at most" in "\n".join(map(str, made.fused.ledger))


def test_no_band_is_formed_when_large_weights_would_be_read_for_every_row() -> None:
    net = Net()
    wide = net.conv(net.input(1, 240, 12, 80), 240)
    made, _ = stages(net.graph(net.conv(wide, 240, 3, group=240)), True, 1)
    assert len(made.lowered) == 2
    assert "weights that leave the first-level cache" in "\n".join(map(str, made.fused.ledger))


@pytest.mark.parametrize("groups", [2, 24])
def test_no_band_begins_with_channels_in_groups(groups: int) -> None:
    """Its channels are numbered by two axes, and a ring has one for them."""
    net = Net()
    wide = net.conv(net.input(1, 24, 72, 72), 96, group=groups)
    made, _ = stages(net.graph(net.conv(wide, 96, 3, group=96)), True, 1)
    assert len(made.lowered) == 2


def test_no_band_begins_with_a_window_over_an_enlarged_value() -> None:
    """Its columns are read twice, so they do not slide."""
    net = Net()
    sizes: dict[str, Attribute] = {"mode": "nearest", "coordinates": "half_pixel", "rounding": "floor"}
    wide = net.node("Resize", (1, 32, 64, 64), net.input(1, 32, 32, 32), **sizes, scales=(1.0, 1.0, 2.0, 2.0))
    deep = net.node(
        "Conv", (1, 32, 64, 64), wide, net.constant(32, 1, 5, 1), net.constant(32),
        strides=(1, 1), dilations=(1, 1), pads=(2, 0, 2, 0), group=32,
    )  # fmt: skip
    last = net.conv(deep, 32, 3, group=32)
    graph, feeds = net.graph(last), net.feeds()
    made, options = stages(graph, True, 1)
    assert len(made.lowered) == 2
    assert largest_error(graph, feeds, made, options) < 1e-4


def test_no_band_has_a_window_over_several_channels_of_a_group() -> None:
    net = Net()
    wide = net.conv(net.input(1, 24, 72, 72), 96)
    made, _ = stages(net.graph(net.conv(net.conv(wide, 24, 3, group=24), 96)), True, 1)
    assert len(made.lowered) == 3


def test_no_band_is_formed_when_the_value_is_read_twice() -> None:
    net = inverted_residual(72, 1)
    graph = net.graph(net.nodes[1].output, net.nodes[-1].output)
    made, _ = stages(graph, True, 1)
    anchors = [[stage.anchor for stage in item.kernel.stages] for item in made.lowered]
    assert anchors == [["contraction"], ["pointwise", "depthwise", "contraction"]]
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
