"""Kernels over flat memory: what a schedule or a plan gets wrong shows without machine code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fusekit.compiler import target as targets
from fusekit.compiler.compile import Options, Stages, lower_graph
from fusekit.compiler.expr import Expr, Load, rewrite
from fusekit.compiler.flatten import map_exprs
from fusekit.compiler.graph import Graph, Node, Type
from fusekit.compiler.index import Index, Term
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.interpret_kernel import run_plan
from fusekit.compiler.kernel import Kernel
from fusekit.compiler.plan import Plan

Array = np.ndarray[Any, Any]


@pytest.fixture
def graph() -> Graph:
    """A ReLU before a padded 3x3 convolution: its rows are computed into a ring."""
    weights = np.random.default_rng(3).integers(-3, 3, (5, 4, 3, 3)).astype(np.float32)
    same = Type("float32", (1, 4, 9, 6))
    types = {"x": same, "a": same, "y": Type("float32", (1, 5, 9, 6)), "w": Type("float32", weights.shape)}
    attrs = (("strides", (1, 1)), ("dilations", (1, 1)), ("pads", (1, 1, 1, 1)), ("group", 1))
    nodes = (Node("Relu", ("x",), "a"), Node("Conv", ("a", "w"), "y", attrs))
    return Graph("test", ("x",), ("y",), nodes, types, {"w": weights})


@pytest.fixture
def feeds() -> dict[str, Array]:
    return {"x": np.random.default_rng(4).integers(-9, 9, (1, 4, 9, 6)).astype(np.float32)}


@pytest.fixture
def stages(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """The graph for a target whose cache holds few rows, so that there are several tiles."""
    row = targets.TARGETS["cortex-a76"]
    assert isinstance(targets.TARGETS, dict)
    small = replace(row, machine=replace(row.machine, l1_bytes=512, l2_bytes=512))
    monkeypatch.setitem(targets.TARGETS, "small", small)
    return lower_graph(graph, Options("small"))


def changed(plan: Plan, change: Callable[[Kernel], Kernel]) -> Plan:
    """The plan with its only kernel changed."""
    (step,) = plan.steps
    return replace(
        plan, steps=(replace(step, lowered=replace(step.lowered, kernel=change(step.lowered.kernel))),)
    )


def test_tiles_and_rings_give_the_graphs_answer(
    graph: Graph, stages: Stages, feeds: dict[str, Array]
) -> None:
    (step,) = stages.plan.steps
    assert step.lowered.kernel.schedule.units > 1
    assert [local.kind for local in step.lowered.kernel.locals] == ["ring"]
    np.testing.assert_array_equal(run_plan(graph, stages.plan, feeds)["y"], run_graph(graph, feeds)["y"])


def test_ring_of_half_its_rows_is_wrong(graph: Graph, stages: Stages, feeds: dict[str, Array]) -> None:
    def fewer_rows(index: Index) -> Index:
        terms = tuple(Term(t.scale, t.inner, t.div, t.mod // 2) for t in index.terms)
        return Index(index.const, terms)

    def narrow(node: Expr) -> Expr | None:
        return Load(node.dtype, node.buffer, (fewer_rows(node.map[0]),)) if isinstance(node, Load) else None

    def change(kernel: Kernel) -> Kernel:
        narrowed = [map_exprs(stage, lambda expr: rewrite(expr, narrow)) for stage in kernel.stages]
        stored = [
            replace(s, stores=tuple(replace(o, map=(fewer_rows(o.map[0]),)) for o in s.stores))
            for s in narrowed
        ]
        return replace(kernel, stages=tuple(stored))

    got = run_plan(graph, changed(stages.plan, change), feeds)["y"]
    assert not np.array_equal(got, run_graph(graph, feeds)["y"])


def test_units_that_leave_work_out_are_refused(graph: Graph, stages: Stages, feeds: dict[str, Array]) -> None:
    def change(kernel: Kernel) -> Kernel:
        return replace(kernel, schedule=replace(kernel.schedule, units=kernel.schedule.units - 1))

    with pytest.raises(AssertionError, match="units are not all the work"):
        run_plan(graph, changed(stages.plan, change), feeds)


def test_argument_beyond_its_memory_is_refused(graph: Graph, stages: Stages, feeds: dict[str, Array]) -> None:
    plan = replace(stages.plan, weights=stages.plan.weights[:64])
    with pytest.raises(AssertionError, match=r"ends at byte 720 of weights\+0, 64 bytes"):
        run_plan(graph, plan, feeds)


def test_weights_in_another_order_give_another_answer(
    graph: Graph, stages: Stages, feeds: dict[str, Array]
) -> None:
    weights = np.frombuffer(stages.plan.weights, np.float32)[::-1].tobytes()
    got = run_plan(graph, replace(stages.plan, weights=weights), feeds)["y"]
    assert not np.array_equal(got, run_graph(graph, feeds)["y"])
