"""Tokens, which a convolution between a transformer's products reads through a transpose: their channels lie side by side already, and stay so."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.fusion import LEVELS, Level
from fusekit.compiler.interpret_graph import run_graph

from .nets import Net


def feed_forward(net: Net, group: int) -> str:
    """A product, a convolution over the map that the tokens are, and a product again."""
    tokens, channels, side = 64, 32, 8
    x = net.node("MatMul", (2, tokens, channels), net.input(2, tokens, 16), net.constant(16, channels))
    turned = net.node("Transpose", (2, channels, tokens), x, perm=(0, 2, 1))
    image = net.node("Reshape", (2, channels, side, side), turned)
    y = net.unary("Relu", net.conv(image, channels, 3, group=group))
    flat = net.node(
        "Transpose", (2, tokens, channels), net.node("Reshape", (2, channels, tokens), y), perm=(0, 2, 1)
    )
    return net.node("MatMul", (2, tokens, 16), flat, net.constant(channels, 16))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("group", [1, 32])
def test_the_answer_is_the_same(group: int, level: Level) -> None:
    net = Net()
    graph, feeds, options = net.graph(feed_forward(net, group)), net.feeds(), Options(fusion=level)
    (want,) = run_graph(graph, feeds).values()
    (got,) = fusekit.load(assemble_bundle(lower_graph(graph, options), options, "")).run(feeds).values()
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def test_tokens_are_read_where_they_lie() -> None:
    net = Net()
    stages = lower_graph(net.graph(feed_forward(net, 32)), Options(target="x86-64-v3"))
    (first, window) = (step.kernel for step in stages.lowered[:2])
    assert [local.name for local in window.locals] == ["fill"]
    lane = first.schedule.places[-1].lane
    assert first.stages[-1].stores[0].map[0].coefficient(lane) == 1
