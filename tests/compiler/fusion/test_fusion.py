"""What is computed together: prologues, epilogues, movement, concats, and what stays apart and why."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.fusion import Fused, Level, fuse
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph

from .nets import Net


def ops(fused: Fused) -> list[tuple[str, ...]]:
    return [group.ops for group in fused.groups]


def ledger(fused: Fused) -> str:
    return "\n".join(map(str, fused.ledger))


def assert_right(net: Net, graph: Graph, level: Level = "full") -> None:
    feeds = net.feeds()
    options = Options(fusion=level)
    got = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds)
    for name, want in run_graph(graph, feeds).items():
        assert np.abs(got[name] - want).max() <= 1e-5 * np.abs(want).max()


def add_conv_mul_relu() -> tuple[Net, Graph]:
    net = Net()
    x = net.input(1, 8, 9, 9)
    conv = net.conv(net.binary("Add", x, net.constant(8, 1, 1)), 16, kernel=3)
    return net, net.graph(net.unary("Relu", net.binary("Mul", conv, net.constant(16, 1, 1))))


def test_add_conv_mul_relu_is_one_kernel() -> None:
    net, graph = add_conv_mul_relu()
    assert ops(fuse(graph, "full")) == [("Add", "Conv", "Mul", "Relu")]
    assert_right(net, graph)


def test_pads_lie_outside_the_prologue() -> None:
    """A zero pad around an Add must stay zero: a constant of 1 added to it would leak in at the border."""
    net = Net()
    x = net.input(1, 8, 5, 5)
    one = net.constant(1)
    net.constants[one][:] = 1.0
    graph = net.graph(net.conv(net.binary("Add", x, one), 8, kernel=3))
    assert len(fuse(graph, "full").groups) == 1
    assert_right(net, graph)


@pytest.mark.parametrize(
    ("level", "kernels"),
    [
        ("none", [("Add",), ("Conv",), ("Mul",), ("Relu",)]),
        ("basic", [("Add",), ("Conv",), ("Mul",), ("Relu",)]),
    ],
)
def test_lower_levels_leave_other_ops_alone(level: Level, kernels: list[tuple[str, ...]]) -> None:
    net, graph = add_conv_mul_relu()
    assert ops(fuse(graph, level)) == kernels
    assert_right(net, graph, level)


def test_basic_fuses_a_clamp_and_zero_pads() -> None:
    net = Net()
    x = net.input(1, 8, 8, 8)
    padded = net.node("Pad", (1, 8, 9, 9), x, pads=(0, 0, 0, 0, 0, 0, 1, 1), value=0.0)
    graph = net.graph(net.unary("Clip", net.conv(padded, 16, kernel=3, stride=2, pad=0), low=0.0, high=6.0))
    assert ops(fuse(graph, "basic")) == [("Pad", "Conv", "Clip")]
    assert_right(net, graph, "basic")


def test_residual_joins_the_later_of_two_convolutions() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    first, second = net.conv(x, 16), net.conv(x, 16, kernel=3)
    graph = net.graph(net.unary("Relu", net.binary("Add", first, second)))
    assert ops(fuse(graph, "full")) == [("Conv",), ("Conv", "Add", "Relu")]
    assert_right(net, graph)


def test_group_stores_what_others_read() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    relu = net.unary("Relu", net.conv(x, 8))
    graph = net.graph(net.conv(relu, 8), net.unary("Sigmoid", relu))
    fused = fuse(graph, "full")
    assert fused.groups[0].ops == ("Conv", "Relu", "Sigmoid")
    assert len(fused.groups[0].root.stores) == 2
    assert_right(net, graph)


def test_channel_pad_of_a_skip_is_read_by_the_addition() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    skip = net.node("Pad", (1, 16, 6, 6), x, pads=(0, 0, 0, 0, 0, 8, 0, 0), value=0.0)
    slopes = net.constant(16, 1, 1)
    graph = net.graph(net.binary("PRelu", net.binary("Add", net.conv(x, 16), skip), slopes))
    assert ops(fuse(graph, "full")) == [("Pad", "Conv", "Add", "PRelu")]
    assert_right(net, graph)


def test_concat_is_written_in_place() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    a, b = net.unary("Relu", net.conv(x, 12)), net.unary("Relu", net.conv(x, 20, kernel=3))
    graph = net.graph(net.conv(net.node("Concat", (1, 32, 6, 6), a, b, axis=1), 8))
    assert ops(fuse(graph, "full")) == [("Conv", "Relu"), ("Conv", "Relu"), ("Conv",)]
    assert ops(fuse(graph, "none"))[4] == ("Concat",)
    assert_right(net, graph)
    assert_right(net, graph, "none")


def test_concat_of_an_input_copies_and_says_why() -> None:
    net = Net()
    x = net.input(1, 8, 6, 6)
    graph = net.graph(net.conv(net.node("Concat", (1, 24, 6, 6), x, net.conv(x, 16), axis=1), 8))
    fused = fuse(graph, "full")
    assert ("Concat",) in ops(fused)
    assert "the concat copies" in ledger(fused)
    assert_right(net, graph)


def test_squeeze_excite_gate_is_a_prologue_of_the_next_convolution() -> None:
    net = Net()
    x = net.conv(net.input(1, 8, 6, 6), 16)
    mean = net.node("ReduceMean", (1, 16, 1, 1), x, axes=(2, 3), keepdims=1)
    gate = net.unary("Sigmoid", net.conv(mean, 16))
    graph = net.graph(net.conv(net.binary("Mul", x, gate), 8))
    assert ops(fuse(graph, "full")) == [("Conv",), ("ReduceMean",), ("Conv", "Sigmoid"), ("Mul", "Conv")]
    assert_right(net, graph)


def test_transposed_output_is_stored_in_that_order() -> None:
    net = Net()
    x = net.conv(net.input(1, 8, 5, 7), 12)
    graph = net.graph(net.node("Transpose", (1, 5, 7, 12), x, perm=(0, 2, 3, 1)))
    assert ops(fuse(graph, "full")) == [("Conv", "Transpose")]
    assert_right(net, graph)


def test_movement_of_a_groups_own_result_is_not_read_back_inside_it() -> None:
    """x + transpose(x): the transpose reads all of x, so x must be in memory before the sum."""
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, 6, 6), 8))
    turned = net.node("Transpose", (1, 8, 6, 6), x, perm=(0, 1, 3, 2))
    graph = net.graph(net.binary("Add", x, turned))
    assert ops(fuse(graph, "full")) == [("Conv", "Relu"), ("Transpose", "Add")]
    assert_right(net, graph)


def test_rows_of_a_padded_image_are_copied_whole() -> None:
    net = Net()
    image = net.node("Transpose", (1, 3, 20, 18), net.input(1, 20, 18, 3), perm=(0, 3, 1, 2))
    graph = net.graph(net.conv(net.conv(image, 16, 5, 2), 8))
    panel, _ = lower_graph(graph, Options(target="cortex-a76")).lowered[0].kernel.stages
    assert panel.anchor == "pointwise" and 3 * (18 + 3) in [axis.extent for axis in panel.axes]
    assert_right(net, graph)


def test_merges_say_what_they_save() -> None:
    _, graph = add_conv_mul_relu()
    text = ledger(fuse(graph, "full"))
    assert f"computed on its result, saves {2 * 16 * 81 * 4} bytes" in text
    assert f"computed where it is read, saves {2 * 8 * 81 * 4} bytes" in text
