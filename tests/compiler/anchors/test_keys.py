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
    check(*attention(queries, scaled), target, threads)


def check(net: Net, output: str, target: str, threads: int) -> None:
    graph, feeds, options = net.graph(output), net.feeds(), Options(target=target, threads=threads)
    stages = lower_graph(graph, options)
    (want,) = run_graph(graph, feeds).values()
    (kernels,) = run_plan(stages.graph, stages.plan, feeds).values()
    (code,) = fusekit.load(assemble_bundle(stages, options, "")).run(feeds).values()
    for got in (kernels, code):
        assert np.allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape_a", "shape_b"), [((2, 3, 40, 9), (2, 3, 33, 9)), ((4, 60, 9), (1, 17, 9)), ((70, 9), (40, 9))]
)
@pytest.mark.parametrize("threads", [1, 3])
def test_batches(shape_a: tuple[int, ...], shape_b: tuple[int, ...], threads: int) -> None:
    """Heads of their own, keys that all heads share, and no heads."""
    net = Net()
    order = (*range(len(shape_b) - 2), len(shape_b) - 1, len(shape_b) - 2)
    keys = net.node("Transpose", tuple(shape_b[i] for i in order), net.input(*shape_b), perm=order)
    shape = (*shape_a[:-1], shape_b[-2])
    check(net, net.node("MatMul", shape, net.input(*shape_a), keys), "host", threads)


@pytest.mark.parametrize(
    ("queries", "threads", "turned"), [(5, 1, False), (150, 1, True), (70, 1, True), (70, 8, False)]
)
@pytest.mark.parametrize("target", ["x86-64-v4", "cortex-a76"])
def test_keys_are_turned_for_many_queries_of_a_thread_only(
    queries: int, threads: int, turned: bool, target: str
) -> None:
    net, scores = attention(queries)
    stages = lower_graph(net.graph(scores), Options(target=target, threads=threads))
    (product,) = (
        lowered.kernel
        for group, lowered in zip(stages.fused.groups, stages.lowered, strict=True)
        if scores in group.writes()
    )
    assert [local.size for local in product.locals] == [DEPTH * KEYS] * turned, "one head at a time"
