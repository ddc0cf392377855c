"""Channels that are padded or put together in an epilogue: decided by blocks of lanes, not lane by lane."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fusekit
from fusekit.compiler.anchors.region import MOST_SPANS
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.emit import Emitter
from fusekit.compiler.generate import generate
from fusekit.compiler.graph import Graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.kernel import Kernel

from ..fusion.nets import Net
from ..property.check import runnable


def pooled(net: Net, channels: int, size: int) -> str:
    """Channels of a pixel side by side, from a kernel of its own."""
    x = net.conv(net.input(1, 4, 2 * size, 2 * size), channels)
    window = {"kernel": (2, 2), "strides": (2, 2), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    return net.node("MaxPool", (1, channels, size, size), x, **window)


def padded(channels: int, before: int, after: int, group: bool = False, size: int = 5) -> tuple[Net, Graph]:
    """BlazeFace's step to more channels: what goes round the convolution is padded."""
    net, total = Net(), before + channels + after
    pads = (0, before, 0, 0, 0, after, 0, 0)
    wide = net.node("Pad", (1, total, size, size), pooled(net, channels, size), pads=pads, value=0.5)
    x = pooled(net, total, size)
    y = net.conv(x, total, 3, group=total) if group else net.conv(x, total)
    return net, net.graph(net.unary("Relu", net.binary("Add", y, wide)))


def joined(*channels: int, size: int = 5) -> tuple[Net, Graph]:
    """A convolution times a concatenation."""
    net, total = Net(), sum(channels)
    parts = [net.input(1, count, size, size) for count in channels]
    wide = net.node("Concat", (1, total, size, size), *parts, axis=1)
    return net, net.graph(
        net.unary("Relu", net.binary("Mul", net.conv(net.input(1, 12, size, size), total), wide))
    )


def widened(channels: int, before: int, after: int) -> tuple[Net, Graph]:
    """The sums of a convolution are padded themselves, before an addition."""
    net, total = Net(), before + channels + after
    pads = (0, before, 0, 0, 0, after, 0, 0)
    sums = net.conv(pooled(net, 16, 5), channels, 3)
    wide = net.node("Pad", (1, total, 5, 5), sums, pads=pads, value=-0.25)
    return net, net.graph(net.unary("Sigmoid", net.binary("Add", wide, pooled(net, total, 5))))


def convolution(graph: Graph, target: str) -> Kernel:
    """The last one."""
    kernels = [step.kernel for step in lower_graph(graph, Options(target=target)).lowered]
    return [kernel for kernel in kernels if kernel.root.anchor in ("contraction", "depthwise")][-1]


def gathered(kernel: Kernel, patch: pytest.MonkeyPatch) -> int:
    """Vectors that the kernel puts together lane by lane."""
    calls: list[Any] = []
    whole = Emitter.gather

    def counted(self: Emitter, scalars: Any) -> Any:
        calls.append(scalars)
        return whole(self, scalars)

    patch.setattr(Emitter, "gather", counted)
    generate(kernel)
    return len(calls)


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "x86-64-v4", "cortex-a53", "cortex-a76"])
@pytest.mark.parametrize(
    ("channels", "before", "after", "group"),
    [(32, 0, 32, False), (32, 0, 32, True), (24, 0, 4, False), (21, 3, 8, True)],
)
def test_padded_channels_are_read_by_vectors(
    target: str, channels: int, before: int, after: int, group: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, graph = padded(channels, before, after, group)
    kernel = convolution(graph, target)
    assert "guard" in str(kernel), "the pad is in the kernel"
    assert gathered(kernel, monkeypatch) == 0


def test_the_code_does_not_grow_with_the_parts() -> None:
    def size(parts: int) -> int:
        _, graph = joined(*[16] * parts)
        return str(generate(convolution(graph, "x86-64-v3"))).count("fmuladd")

    assert size(MOST_SPANS) == MOST_SPANS * size(1)
    assert size(3 * MOST_SPANS) == size(1)


NETS = {
    "behind": padded(32, 0, 32), "before": padded(48, 16, 0), "both": padded(24, 20, 28), "odd": padded(13, 5, 19), "few": padded(3, 1, 1),
    "depthwise": padded(32, 0, 32, group=True), "depthwise odd": padded(21, 8, 34, group=True), "one column": padded(64, 64, 128, size=1),
    "sums": widened(24, 0, 8), "sums odd": widened(13, 6, 9), "two": joined(24, 40), "tail": joined(16, 32, 5), "many": joined(*[8] * 12), "many odd": joined(7, 9, 1, 30, 2, 8, 8, 16, 3),
}  # fmt: skip


@pytest.mark.parametrize("target", runnable())
@pytest.mark.parametrize("name", NETS)
def test_every_channel_is_right(name: str, target: str) -> None:
    net, graph = NETS[name]
    for threads in (1, 3):
        options, feeds = Options(target=target, threads=threads), net.feeds()
        stages = lower_graph(graph, options)
        (want,) = run_graph(graph, feeds).values()
        (kernels,) = run_plan(stages.graph, stages.plan, feeds).values()
        (code,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
        for got in (kernels, code):
            assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
