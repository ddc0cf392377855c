"""Products with a transposed result, queries by keys: keys are turned once where many queries read them."""

from __future__ import annotations

import numpy as np
import pytest

import fusekit
from fusekit.compiler.compile import Options, assemble_bundle, lower_graph
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan

from ..fusion.nets import Net

HEADS, DEPTH, KEYS = 3, 10, 21


def attention(queries: int, scaled: bool = False) -> tuple[Net, str]:
    """Sigmoid of queries times transposed keys, heads side by side in memory as a projection leaves them."""
    net = Net()

    def heads(count: int) -> str:
        wide = net.node("MatMul", (count, HEADS * DEPTH), net.input(count, 8), net.constant(8, HEADS * DEPTH))
        return net.node("Reshape", (count, HEADS, DEPTH), wide)

    left = net.node("Transpose", (HEADS, queries, DEPTH), heads(queries), perm=(1, 0, 2))
    right = net.node("Transpose", (HEADS, DEPTH, KEYS), heads(KEYS), perm=(1, 2, 0))
    if scaled:
        right = net.binary("Mul", right, net.constant(DEPTH, 1))
    scores = net.node("MatMul", (HEADS, queries, KEYS), left, right)
    return net, net.unary("Sigmoid", scores)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("target", ["x86-64-v2", "x86-64-v3", "host"])
@pytest.mark.parametrize(("queries", "scaled"), [(1, False), (40, False), (41, True), (150, False)])
def test_answers(queries: int, scaled: bool, target: str, threads: int) -> None:
    net, scores = attention(queries, scaled)
    graph, feeds, options = net.graph(scores), net.feeds(), Options(target=target, threads=threads)
    stages = lower_graph(graph, options)
    (want,) = run_graph(graph, feeds).values()
    (kernels,) = run_plan(stages.graph, stages.plan, feeds).values()
    (code,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    for got in (kernels, code):
        assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("queries", "turned"), [(5, False), (150, True)])
@pytest.mark.parametrize("target", ["x86-64-v4", "cortex-a76"])
def test_keys_are_turned_for_many_queries_only(queries: int, turned: bool, target: str) -> None:
    net, scores = attention(queries)
    stages = lower_graph(net.graph(scores), Options(target=target))
    products = [k.kernel for k in stages.lowered if len(k.kernel.arguments) == 3 and k.kernel.root.operands]
    assert any(local.name == "panel" for kernel in products for local in kernel.locals) is turned
