"""Row groups give the answers of the kernels that they replace, and are formed only where every stage keeps to its rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, Stages, assemble_bundle, lower_graph
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph

from .nets import Net


def reduced(net: Net, op: str, x: str, axis: int) -> str:
    shape = tuple(1 if i == axis else n for i, n in enumerate(net.types[x].shape))
    return net.node(op, shape, x, axes=(axis,), keepdims=1)


def softmax(net: Net, x: str, axis: int) -> str:
    power = net.unary("Exp", net.binary("Sub", x, reduced(net, "ReduceMax", x, axis)))
    return net.binary("Div", power, reduced(net, "ReduceSum", power, axis))


def normalised(net: Net, x: str, axis: int) -> str:
    centred = net.binary("Sub", x, reduced(net, "ReduceMean", x, axis))
    variance = reduced(net, "ReduceMean", net.binary("Mul", centred, centred), axis)
    return net.binary("Div", centred, net.unary("Sqrt", variance))


def scaled(net: Net, x: str, axis: int) -> str:
    """With a factor for each element of a row."""
    return net.binary(
        "Mul", normalised(net, x, axis), net.constant(*net.types[x].shape[axis : axis + 1], 1, 1)
    )


def stages(graph: Graph, threads: int = 1, bands: bool = True) -> tuple[Stages, Options]:
    options = Options(threads=threads, bands=bands)
    return lower_graph(graph, options), options


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(2, 3, 7, 53), (1, 9, 16), (1, 1, 1000), (11, 3)])
@pytest.mark.parametrize("net_of", [softmax, normalised])
def test_one_kernel_gives_the_answer_of_several(
    net_of: Callable[[Net, str, int], str], shape: tuple[int, ...], threads: int
) -> None:
    net = Net()
    y = net_of(net, net.input(*shape), len(shape) - 1)
    graph, feeds = net.graph(y), net.feeds()
    answers = []
    for bands in (True, False):
        made, options = stages(graph, threads, bands)
        assert (len(made.lowered) == 1) == bands
        answers.append(fusekit.load(assemble_bundle(made, options, "")).run(feeds)[y])
    assert np.allclose(answers[0], answers[1], rtol=1e-6, atol=1e-7)


def test_normalisation_over_the_channels_of_an_image_is_one_kernel() -> None:
    """The channels of a pixel are a row, for images lie channels last; the quotient is a prologue of the convolution."""
    net = Net()
    y = net.conv(normalised(net, net.conv(net.input(1, 3, 12, 10), 24), 1), 24, kernel=3, group=24)
    graph, feeds = net.graph(y), net.feeds()
    made, options = stages(graph)
    assert [len(lowered.kernel.stages) for lowered in made.lowered] == [1, 3, 2]
    apart = stages(graph, bands=False)
    one, several = (
        fusekit.load(assemble_bundle(m, o, "")).run(feeds)[y] for m, o in ((made, options), apart)
    )
    assert np.allclose(one, several, rtol=1e-5, atol=1e-6)


def test_value_needed_outside_is_stored_as_well() -> None:
    net = Net()
    x = net.input(4, 5, 6)
    power = net.unary("Exp", x)
    y = net.binary("Div", power, reduced(net, "ReduceSum", power, 2))
    graph, feeds = net.graph(y, power), net.feeds()
    made, options = stages(graph)
    assert len(made.lowered) == 1
    answers = fusekit.load(assemble_bundle(made, options, "")).run(feeds)
    assert np.allclose(answers[power], np.exp(feeds[x]), rtol=1e-6)
    assert np.allclose(answers[y].sum(axis=2), 1, rtol=1e-6)


def test_value_read_across_rows_stays_in_memory() -> None:
    net = Net()
    first = softmax(net, net.input(16, 16), 1)
    graph = net.graph(softmax(net, net.unary("Exp", first), 0))
    made, _ = stages(graph)
    assert "they do not compute the same rows" in "\n".join(map(str, made.fused.ledger))
    assert len(made.lowered) > 1


def test_few_long_rows_are_left_to_all_threads() -> None:
    net = Net()
    made, _ = stages(net.graph(softmax(net, net.input(2, 100_000), 1)))
    assert "2 rows are too few to share among threads" in "\n".join(map(str, made.fused.ledger))


def test_product_stays_a_kernel_of_its_own() -> None:
    net = Net()
    x = net.node("MatMul", (32, 32), net.input(32, 16), net.constant(16, 32))
    made, _ = stages(net.graph(softmax(net, x, 1)))
    assert [step.lowered.kernel.root.anchor for step in made.plan.steps] == ["contraction", "pointwise"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("shape", "along"), [((1, 20, 9, 15), True), ((2, 5, 8, 40), True), ((1, 3, 4, 3), False)]
)
@pytest.mark.parametrize("net_of", [softmax, normalised, scaled])
def test_lanes_run_along_rows_that_lie_side_by_side(
    net_of: Callable[[Net, str, int], str], shape: tuple[int, ...], along: bool, threads: int
) -> None:
    """Over the channels of planes; not where many rows would be left over by whole vectors."""
    net = Net()
    y = net_of(net, net.input(*shape), 1)
    graph, feeds = net.graph(y), net.feeds()
    options = Options("x86-64-v3", threads=threads)
    made = lower_graph(graph, options)
    places = [place for low in made.lowered for place in low.kernel.schedule.places]
    assert all((place.lane == place.row) == along for place in places)
    got = fusekit.load(assemble_bundle(made, options, "")).run(feeds)[y]
    assert np.allclose(got, run_graph(graph, feeds)[y], rtol=1e-5, atol=1e-6)
