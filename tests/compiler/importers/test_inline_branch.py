"""If with a condition that is known at import: the branch that is taken, and only that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.graph import Graph

Agrees = Callable[..., Graph]
Build = Callable[..., Any]


def branch(
    nodes: Sequence[onnx.NodeProto], output: str, weights: dict[str, np.ndarray] | None = None
) -> onnx.GraphProto:
    result = helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)
    tensors = [numpy_helper.from_array(data, name) for name, data in (weights or {}).items()]
    return helper.make_graph(list(nodes), "branch", [], [result], tensors)


@pytest.mark.parametrize("condition", [False, True])
def test_only_the_branch_that_is_taken_is_left(agrees: Agrees, build: Build, condition: bool) -> None:
    then = branch([helper.make_node("Mul", ["a", "w"], ["r"])], "r", {"w": np.full(2, 3, np.float32)})
    other = branch([helper.make_node("Neg", ["a"], ["t"]), helper.make_node("Exp", ["t"], ["r"])], "r")
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("If", ["c"], ["y"], name="n", then_branch=then, else_branch=other),
    ]
    graph = agrees(build(nodes, {"x": (3, 2)}, ["y"], {"c": np.array(condition)}))
    assert [n.op for n in graph.nodes] == (["Relu", "Mul"] if condition else ["Relu", "Neg", "Exp"])


def test_a_squeeze_that_depends_on_the_shape(agrees: Agrees, build: Build) -> None:
    """What exporters write for a squeeze of an axis whose size they do not know."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "axis"], ["size"]),
        helper.make_node("Equal", ["size", "axis"], ["c"]),
        helper.make_node(
            "If",
            ["c"],
            ["s"],
            then_branch=branch([helper.make_node("Squeeze", ["x", "axis"], ["a"])], "a"),
            else_branch=branch([helper.make_node("Identity", ["x"], ["b"])], "b"),
        ),
        helper.make_node("Relu", ["s"], ["y"]),
    ]
    graph = agrees(build(nodes, {"x": (2, 1, 3)}, ["y"], {"axis": np.array([1])}))
    assert graph.types["y"].shape == (2, 3)


def test_branches_within_branches_may_use_the_same_names(agrees: Agrees, build: Build) -> None:
    def choice(x: str, output: str) -> onnx.NodeProto:
        inner = helper.make_node(
            "If",
            ["no"],
            ["r"],
            then_branch=branch([helper.make_node("Neg", ["q"], ["s"])], "s"),
            else_branch=branch([helper.make_node("Exp", ["q"], ["s"])], "s"),
        )
        return helper.make_node(
            "If",
            ["yes"],
            [output],
            then_branch=branch([helper.make_node("Relu", [x], ["q"]), inner], "r"),
            else_branch=branch([helper.make_node("Neg", [x], ["r"])], "r"),
        )

    nodes = [choice("x", "m"), choice("m", "y")]
    graph = agrees(build(nodes, {"x": (3,)}, ["y"], {"yes": np.array(True), "no": np.array(False)}))
    assert [n.op for n in graph.nodes] == ["Relu", "Exp", "Relu", "Exp"]


def test_an_output_that_only_a_branch_reads_is_made(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], axis=0),
        helper.make_node(
            "If",
            ["c"],
            ["y"],
            then_branch=branch([helper.make_node("Neg", ["b"], ["r"])], "r"),
            else_branch=branch([helper.make_node("Neg", ["a"], ["r"])], "r"),
        ),
    ]
    agrees(build(nodes, {"x": (4,)}, ["y"], {"c": np.array(True)}))


def test_a_branch_that_is_constant_is_folded(agrees: Agrees, build: Build) -> None:
    taken = branch([helper.make_node("Add", ["w", "w"], ["r"])], "r", {"w": np.ones(3, np.float32)})
    nodes = [
        helper.make_node("If", ["c"], ["six"], then_branch=taken, else_branch=taken),
        helper.make_node("Mul", ["x", "six"], ["y"]),
    ]
    graph = agrees(build(nodes, {"x": (3,)}, ["y"], {"c": np.array(True)}))
    assert [n.op for n in graph.nodes] == ["Mul"]
