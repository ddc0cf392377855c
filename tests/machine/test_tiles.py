"""Winograd's tiles have more values than registers: what is read again is loaded again, and little is spilled."""

from __future__ import annotations

import pytest

from fusekit.compiler.compile import Options, lower_graph
from fusekit.compiler.kernel_cache import kernel_text
from fusekit.compiler.objects import listing

from ..compiler.fusion.nets import Net
from .assembly import innermost_loops

TRANSFORM = 100
"""Instructions of an innermost loop from which on it is one that transforms tiles."""


@pytest.mark.parametrize(("target", "most"), [("x86-64-v2", 0.06), ("x86-64-v3", 0.06), ("x86-64-v4", 0.04)])
def test_transforms_spill_little(target: str, most: float) -> None:
    net = Net()
    x = net.unary("Relu", net.conv(net.input(1, 8, 24, 24), 16))
    graph = net.graph(net.conv(net.unary("Relu", net.conv(x, 64, 3)), 8))
    (kernel,) = [
        step.kernel
        for step in lower_graph(graph, Options(target=target)).lowered
        if len(step.kernel.stages) == 3
    ]
    loops = [
        loop
        for loop in innermost_loops(listing(kernel_text(kernel), kernel.target))
        if len(loop.instructions) >= TRANSFORM
    ]
    assert len(loops) > 2
    spilled, all_ = (
        sum(len(each) for each in of)
        for of in zip(*((loop.spills, loop.instructions) for loop in loops), strict=True)
    )
    assert spilled <= most * all_, f"{spilled} of {all_}"


@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3"])
def test_many_loads_of_one_output_keep_their_addresses(target: str) -> None:
    """Nothing is read twice, so addresses stay known, and no loop takes copies of them."""
    net = Net()
    y = net.conv(net.input(1, 8, 16, 16), 64)
    for _ in range(10):
        y = net.binary("Mul", net.binary("Add", y, net.constant(1, 64, 1, 1)), net.constant(1, 64, 1, 1))
    (step,) = lower_graph(net.graph(y), Options(target=target)).lowered[:1]
    (longest,) = sorted(
        innermost_loops(listing(kernel_text(step.kernel), step.kernel.target)),
        key=lambda loop: len(loop.instructions),
    )[-1:]
    assert longest.count("movq") + longest.count("addq") <= 25, longest.instructions
