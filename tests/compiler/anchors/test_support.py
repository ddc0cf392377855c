"""Terms that are zero for certain are left out of sums: phases of transposed convolutions with fewer taps, and pads that were copied."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.interpret_stage import run_groups

from ..fusion.nets import Net
from ..property.check import runnable

TARGETS = sorted({"x86-64-v2", "x86-64-v3", "x86-64-v4", "znver4"} & set(runnable())) or ["host"]
PLAIN = Options(winograd=False, bands=False)


def transposed(
    net: Net, x: str, channels: int, kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...],
    more: tuple[int, ...] = (), group: int = 1, bias: bool = True,
) -> str:  # fmt: skip
    """A ConvTranspose whose output is a multiple of its strides, by `more` at its end."""
    n, c, *size = net.types[x].shape
    rank = len(kernel)
    whole = [(e - 1) * s + k for e, s, k in zip(size, strides, kernel, strict=True)]
    cut = [before + after for before, after in zip(pads[:rank], pads[rank:], strict=True)]
    out = [w - p + m for w, p, m in zip(whole, cut, more or (0,) * rank, strict=True)]
    constants = [net.constant(c, channels // group, *kernel), *([net.constant(channels)] if bias else [])]
    return net.node(
        "ConvTranspose", (n, channels, *out), x, *constants,
        strides=strides, dilations=(1,) * rank, pads=pads, group=group,
    )  # fmt: skip


def padded(net: Net, x: str, channels: int, kernel: int, stride: int = 1) -> str:
    """A convolution of any rank with half a kernel of pads all round."""
    n, c, *size = net.types[x].shape
    rank = len(size)
    out = [(extent + kernel // 2 * 2 - kernel) // stride + 1 for extent in size]
    return net.node(
        "Conv", (n, channels, *out), x, net.constant(channels, c, *(kernel,) * rank), net.constant(channels),
        strides=(stride,) * rank, dilations=(1,) * rank, pads=(kernel // 2,) * (2 * rank), group=1,
    )  # fmt: skip


def check(graph: Graph, feeds: dict[str, np.ndarray], target: str, threads: int = 1) -> np.ndarray:
    """The output, after every stage of compilation has given the same; bounds that sums leave out are in the text."""
    options = replace(PLAIN, target=target, threads=threads)
    stages = lower_graph(graph, options)
    assert "zero but for" in "".join(str(lowered.kernel) for lowered in stages.lowered)
    (want,) = run_graph(graph, feeds).values()
    answers = [
        run_groups(stages.graph, stages.fused, feeds),
        run_plan(graph, stages.plan, feeds),
        fusekit.load(assemble_bundle(stages, options, "")).run(feeds),
    ]
    for answer in answers:
        (got,) = answer.values()
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(want)))
    return want


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "more"),
    [
        ((3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
        ((5, 3), (2, 2), (2, 1, 2, 1), (1, 1)),
        ((3, 5), (3, 2), (0, 2, 0, 2), (0, 1)),
        ((3, 2), (2, 2), (0, 0, 0, 0), (1, 0)),
        ((7, 4), (3, 3), (2, 0, 1, 0), (2, 2)),
        ((5, 1), (4, 1), (0, 0, 1, 0), (0, 0)),
        ((3, 3), (2, 2), (0, 0, 1, 1), (0, 0)),
        ((3, 5), (3, 3), (3, 4, 1, 2), (1, 1)),
    ],
)
def test_phases_with_fewer_taps(
    kernel: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...], more: tuple[int, ...], target: str
) -> None:  # fmt: skip
    net = Net()
    x = net.unary("Relu", net.input(2, 19, 6, 7))
    check(net.graph(transposed(net, x, 21, kernel, strides, pads, more)), dict(net.feeds()), target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("size", "group"), [((40,), 1), ((5, 6), 3), ((3, 4, 5), 1)])
def test_phases_of_any_rank_and_group(size: tuple[int, ...], group: int, threads: int, target: str) -> None:
    net, rank = Net(), len(size)
    x = net.unary("Relu", net.input(1, 18, *size))
    output = transposed(net, x, 12, (3,) * rank, (2,) * rank, (1,) * (2 * rank), (1,) * rank, group)
    check(net.graph(output), dict(net.feeds()), target, threads)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize(("size", "kernel", "stride"), [((5, 6), 3, 1), ((7, 9), 5, 2), ((4, 5, 6), 3, 1)])
@pytest.mark.parametrize("channels", [3, 17])
def test_pads_of_copied_inputs(
    channels: int, size: tuple[int, ...], kernel: int, stride: int, threads: int, target: str
) -> None:
    net = Net()
    x = net.unary("Abs", net.input(2, channels, *size))
    check(net.graph(padded(net, x, 21, kernel, stride)), dict(net.feeds()), target, threads)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_infinite_stays_where_a_tap_is(target: str) -> None:
    """Taps that a loop leaves out, of a kernel that does not have them, make no NaN of it."""
    net = Net()
    output = transposed(net, net.input(1, 18, 6, 7), 16, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
    feeds = dict(net.feeds())
    feeds["x0"][0, :, 3, 4] = np.inf
    graph = net.graph(output)
    want = np.isfinite(check(graph, {"x0": np.where(np.isinf(feeds["x0"]), 0, feeds["x0"])}, target))
    assert want.all()
    (got,) = fusekit.load(
        assemble_bundle(lower_graph(graph, options := replace(PLAIN, target=target)), options, "")
    ).run(feeds).values()  # fmt: skip
    reached = {(2 * 3 + y, 2 * 4 + x) for y, x in product((-1, 0, 1), repeat=2)}
    found = {(int(y), int(x)) for y, x in np.argwhere(~np.isfinite(got[0]).all(axis=0))}
    assert found == reached


def test_kernels_shorter_than_their_stride() -> None:
    """Phases without any tap are left as they are, lanes with the outputs."""
    net = Net()
    output = transposed(net, net.unary("Relu", net.input(1, 19, 6, 7)), 16, (2, 2), (3, 3), (0,) * 4, (1, 1))
    graph, feeds = net.graph(output), net.feeds()
    stages = lower_graph(graph, PLAIN)
    assert "zero but for" not in "".join(str(lowered.kernel) for lowered in stages.lowered)
    (got,) = fusekit.load(assemble_bundle(stages, PLAIN, "")).run(feeds).values()
    (want,) = run_graph(graph, feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(("channels", "lanes"), [(4, 8), (16, 16)])
def test_few_outputs_share_vectors_with_their_phases(channels: int, lanes: int) -> None:
    """Four outputs fill half a vector of AVX2: more than the taps that are left out."""
    net = Net()
    output = transposed(net, net.input(1, 64, 8, 8), channels, (5, 5), (2, 2), (2, 2, 1, 1), bias=False)
    output = net.conv(output, 8)
    options = replace(PLAIN, target="x86-64-v3")
    graph, feeds = net.graph(output), net.feeds()
    stages = lower_graph(graph, options)
    kernel = stages.lowered[0].kernel
    (place,) = kernel.schedule.places[-1:]
    assert {a.id: a.extent for a in kernel.root.axes}[place.lane] == lanes
    assert not place.outer, "phases are no units: some have fewer taps"
    (want,) = run_graph(graph, feeds).values()
    (read,) = run_plan(graph, stages.plan, feeds).values()
    assert np.abs(read - want).max() <= 1e-4 * np.abs(want).max()


def test_weights_that_are_no_numbers() -> None:
    net = Net()
    graph = net.graph(transposed(net, net.input(1, 8, 3, 3), 4, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)))
    next(iter(graph.constants.values()))[:] = np.nan
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, PLAIN), PLAIN, "")).run(net.feeds()).values()
    assert np.isnan(got).all()


def test_pads_of_many_rows_are_not_worth_it() -> None:
    net = Net()
    output = padded(net, net.unary("Abs", net.input(1, 17, 70, 9)), 21, 3)
    stages = lower_graph(net.graph(output), replace(PLAIN, target="x86-64-v3"))
    assert "zero but for" not in str(stages.lowered[0].kernel)


def test_transposed_weights_are_counted_once() -> None:
    """Nine products for four outputs, not the sixteen of whole phases."""
    net = Net()
    output = transposed(net, net.input(1, 8, 6, 7), 4, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))
    (group,) = lower_graph(net.graph(output), PLAIN).fused.groups[:1]
    assert group.root.flops == 2 * 6 * 7 * 9 * 8 * 4


@pytest.mark.parametrize("called", ["c0/phases (2, 2)", "c0/phases (3, 3)'", "x0"])
def test_constants_may_have_the_names_of_derived_ones(called: str) -> None:
    """The same weights for two strides, beside a constant called as the weights made of them."""
    net = Net()
    x = net.input(1, 8, 5, 5)
    outputs = [transposed(net, x, 4, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1))]
    node = net.nodes[-1]
    for stride in (1, 3):
        attrs = dict(node.attrs) | {"strides": (stride, stride)}
        out = 5 * stride
        outputs.append(net.node("ConvTranspose", (1, 4, out, out), *node.inputs, **attrs))
    other = net.constant(1, 4, 1, 1)
    if called != "x0":
        net.constants[called], net.types[called] = net.constants.pop(other), net.types.pop(other)
        other = called
    graph = net.graph(*(net.binary("Mul", value, other) for value in outputs))
    feeds = net.feeds()
    got = fusekit.load(assemble_bundle(lower_graph(graph, PLAIN), PLAIN, "")).run(feeds)
    for name, want in run_graph(graph, feeds).items():
        assert np.abs(got[name] - want).max() <= 1e-5
