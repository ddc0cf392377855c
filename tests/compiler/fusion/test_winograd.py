"""3x3 convolutions by transformed tiles: the same answers at every stage, for every size of edge, prologue and epilogue."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest

import fusekit
from fusekit.compiler import winograd
from fusekit.compiler.anchors.region import axis_of, balanced
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.fusion import LEVELS, Level
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.interpret_stage import run_groups

from .nets import Net

CLOSE = 1e-5
"""Of the largest output; a direct convolution of these sizes stays below a tenth of it."""


def between(
    net: Net, size: int | tuple[int, int], channels: int, outputs: int, pad: int | tuple[int, ...] = 1, batch: int = 1,
) -> str:  # fmt: skip
    """A 3x3 convolution between two 1x1 ones, so that what it reads and writes lies channels last."""
    high, wide = (size, size) if isinstance(size, int) else size
    x = net.unary("Relu", net.conv(net.input(batch, 8, high, wide), channels))
    return net.conv(net.unary("Relu", net.conv(x, outputs, 3, pad=pad)), 8)


def transformed(stages: Stages) -> int:
    return sum(
        len(step.kernel.stages) == 3 and step.kernel.stages[1].anchor == "contraction"
        for step in stages.lowered
    )


def check(graph: Graph, net: Net, options: Options) -> None:
    feeds, stages = net.feeds(), lower_graph(graph, options)
    assert transformed(stages) == 1
    (want,) = run_graph(graph, feeds).values()
    bundle = assemble_bundle(stages, options, "")
    answers = {
        "groups": run_groups(stages.graph, stages.fused, feeds),
        "kernels": run_plan(stages.graph, stages.plan, feeds),
        "machine code": fusekit.load(bundle).run(feeds),
    }
    for stage, outputs in answers.items():
        (got,) = outputs.values()
        assert float(np.abs(got - want).max()) <= CLOSE * float(np.abs(want).max()), stage


@pytest.mark.parametrize(
    ("size", "channels", "outputs", "pad", "threads"),
    [(24, 20, 24, 1, 1), (29, 16, 24, 1, 2), (23, 17, 33, 1, 1), (18, 32, 32, 0, 3)],
)
def test_every_stage_gives_the_answer(size: int, channels: int, outputs: int, pad: int, threads: int) -> None:
    net = Net()
    check(net.graph(between(net, size, channels, outputs, pad=pad)), net, Options(threads=threads))


def test_images_of_a_batch_are_apart() -> None:
    net = Net()
    check(net.graph(between(net, 17, 32, 24, batch=2)), net, Options(threads=2))


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small convolutions are transformed too."""
    monkeypatch.setattr(winograd, "_pays", lambda conv, machine: True)


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("size", "pad", "batch", "threads"),
    [
        ((5, 5), 1, 1, 1),
        ((7, 7), 1, 1, 2),
        ((3, 9), 1, 1, 1),
        ((9, 3), 1, 3, 2),
        ((3, 3), 1, 1, 1),
        ((13, 9), (0, 1, 2, 0), 2, 2),
        ((7, 7), (2, 0, 0, 3), 2, 1),
    ],
)
def test_small_maps_of_every_shape(
    size: tuple[int, int], pad: int | tuple[int, ...], batch: int, threads: int
) -> None:
    net = Net()
    check(net.graph(between(net, size, 12, 20, pad, batch)), net, Options(threads=threads))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("pad", [1, (0, 2, 1, 0)])
def test_pads_are_zero_where_the_prologue_is_not(pad: int | tuple[int, ...]) -> None:
    net = Net()
    x = net.conv(net.input(2, 8, 7, 9), 12)
    y = net.conv(net.unary("Sigmoid", x), 20, 3, pad=pad)
    check(net.graph(net.binary("Add", net.conv(y, 8), net.conv(net.unary("Relu", y), 8))), net, Options())


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(("size", "blocks"), [(7, 1), (14, 4), (28, 10)])
def test_tiles_of_all_rows_fill_register_blocks(size: int, blocks: int) -> None:
    net = Net()
    stages = lower_graph(net.graph(between(net, size, 16, 16)), Options(target="cortex-a76"))
    (kernel,) = (step.kernel for step in stages.lowered if len(step.kernel.stages) == 3)
    product, place = kernel.counted
    tiles = ceil(size / 4) ** 2
    assert (product.anchor, axis_of(product, place.row).extent) == ("contraction", tiles)
    assert balanced(tiles, place.block.mr)[0] == blocks


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("size", [7, 14])
def test_threads_change_no_bit(size: int) -> None:
    net = Net()
    graph, feeds = net.graph(between(net, size, 24, 40)), net.feeds()
    one, two = (
        fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds)
        for options in (Options(threads=1), Options(threads=2))
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])


@pytest.mark.parametrize("level", LEVELS)
def test_every_level_transforms_alike(level: Level) -> None:
    net = Net()
    check(net.graph(between(net, 16, 32, 32)), net, Options(fusion=level))


def test_prologue_residual_and_activation_are_fused() -> None:
    net = Net()
    x = net.conv(net.input(1, 8, 16, 16), 32)
    skip = net.unary("Relu", x)
    y = net.conv(net.binary("Add", skip, net.constant(1, 32, 1, 1)), 32, 3)
    y = net.unary("Sigmoid", net.binary("Add", y, skip))
    graph = net.graph(net.conv(y, 8))
    check(graph, net, Options())
    (kernel,) = (
        step.kernel for step in lower_graph(graph, Options()).lowered if len(step.kernel.stages) == 3
    )
    assert "Sigmoid" not in str(kernel)  # names are gone, primitives are there
    assert "div" in str(kernel.root)


@pytest.mark.parametrize(
    ("size", "channels", "outputs", "kernel", "stride", "group"),
    [
        (14, 32, 32, 3, 2, 1),
        (14, 32, 32, 3, 1, 32),
        (14, 32, 32, 5, 1, 1),
        (14, 4, 32, 3, 1, 1),
        (96, 64, 1, 3, 1, 1),
        (3, 256, 256, 3, 1, 1),
    ],
)
def test_other_convolutions_stay_direct(
    size: int, channels: int, outputs: int, kernel: int, stride: int, group: int
) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, size, size), channels))
    graph = net.graph(net.conv(net.conv(x, outputs, kernel, stride, group), 8))
    assert transformed(lower_graph(graph, Options(target="x86-64-v3"))) == 0


def test_switched_off_it_is_not_used() -> None:
    net = Net()
    assert transformed(lower_graph(net.graph(between(net, 16, 32, 32)), Options(winograd=False))) == 0


def test_ledger_names_the_convolution() -> None:
    net = Net()
    stages = lower_graph(net.graph(between(net, 16, 32, 32)), Options())
    assert "computed by Winograd's F(4x4, 3x3)" in "\n".join(map(str, stages.fused.ledger))


def test_values_of_a_tile_that_share_operations_are_stored_together() -> None:
    net = Net()
    stages = lower_graph(net.graph(between(net, 24, 16, 32)), Options(target="x86-64-v3"))
    (kernel,) = (step.kernel for step in stages.lowered if len(step.kernel.stages) == 3)
    there, _, back = ([len(stores) for stores in stage.independent_stores] for stage in kernel.stages)
    assert (there, back) == ([18, 12, 6], [8, 8])
