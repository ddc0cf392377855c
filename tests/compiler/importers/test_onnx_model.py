"""Whole models: names, constants, outputs that are not computed, shapes given, weights in files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.expr import Expr
from fusekit.compiler.graph import Graph
from fusekit.compiler.importers.onnx import IMPORTERS, import_onnx
from fusekit.compiler.passes import canonicalise
from fusekit.toolkit.zoo import ZOO

Agrees = Callable[..., Graph]
Build = Callable[..., Any]
Importing = Callable[..., Graph]


@pytest.mark.parametrize(
    "name",
    ["blazeface_like", "ds_cnn", "face_landmark_like", "mobilenet_v3_large", "shufflenet_v2", "vit_tiny"],
)
def test_zoo_nets_agree_with_onnx_runtime(agrees: Agrees, name: str) -> None:
    agrees(ZOO[name](), rtol=1e-5)


def test_shape_arithmetic_is_evaluated_at_import(agrees: Agrees, build: Build) -> None:
    """Reshape of x to (its first dimension, -1), as exporters write it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Constant", [], ["zero"], value_int=0),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Unsqueeze", ["batch", "axis"], ["batches"]),
        helper.make_node("Concat", ["batches", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    constants = {"axis": np.array([0]), "rest": np.array([-1])}
    graph = agrees(build(nodes, {"x": (2, 3, 4)}, ["y"], constants))
    assert [node.op for node in graph.nodes] == ["Reshape"]
    assert graph.constants == {}


def test_outputs_that_are_an_input_or_a_constant_are_made_by_a_node(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Identity", ["x"], ["copy"]),
        helper.make_node("Identity", ["copy"], ["copy2"]),
        helper.make_node("Add", ["c", "c"], ["six"]),
    ]
    graph = agrees(build(nodes, {"x": (2, 3)}, ["copy", "copy2", "six"], {"c": np.full((2,), 3, np.float32)}))
    assert {node.output for node in graph.nodes} == {"copy", "copy2", "six"}


def test_nodes_keep_their_names_and_unnamed_ones_get_one(importing: Importing, build: Build) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["b"], name="first"),
        helper.make_node("Relu", ["b"], ["y"]),
    ]
    graph = importing(build(nodes, {"x": (2,)}, ["y"]))
    assert [node.name for node in graph.nodes] == ["first", "first_1", "Relu_2"]


def test_initializers_listed_as_inputs_are_constants(agrees: Agrees, build: Build) -> None:
    model = build(
        [helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2,)}, ["y"], {"c": np.ones(2, np.float32)}
    )
    model.graph.input.append(helper.make_tensor_value_info("c", onnx.TensorProto.FLOAT, (2,)))
    assert agrees(model).inputs == ("x",)


def test_local_functions_are_inlined(agrees: Agrees, build: Build) -> None:
    model = build([helper.make_node("Twice", ["x"], ["y"], domain="mine")], {"x": (2,)}, ["y"])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    body = [helper.make_node("Add", ["a", "a"], ["b"])]
    model.functions.append(
        helper.make_function("mine", "Twice", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    )
    assert [node.op for node in agrees(model).nodes] == ["Add"]


def test_dynamic_dimensions_take_the_shape_that_is_given(importing: Importing, build: Build) -> None:
    model = build([helper.make_node("Relu", ["x"], ["y"])], {"x": ("batch", 3)}, ["y"])
    assert importing(model, {"x": (5, 3)}).types["y"].shape == (5, 3)


def test_external_weights_are_read(tmp_path: Path, build: Build) -> None:
    data = np.arange(2000, dtype=np.float32)
    model = build([helper.make_node("Add", ["x", "c"], ["y"])], {"x": (2000,)}, ["y"], {"c": data})
    onnx.save(model, str(tmp_path / "m.onnx"), save_as_external_data=True, location="m.bin")
    graph = import_onnx(tmp_path / "m.onnx", {})
    np.testing.assert_array_equal(graph.constants["c"], data)


def test_importers_are_names_of_onnx_operators() -> None:
    assert [op for op in IMPORTERS if not onnx.defs.has(op)] == []


def test_an_op_that_is_added_to_the_table_is_imported(
    importing: Importing, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def celu(x: Expr, alpha: float = 1.0) -> Expr:
        return x * alpha

    model = build([helper.make_node("Celu", ["x"], ["y"], alpha=2.0)], {"x": (2, 3)}, ["y"])
    monkeypatch.setitem(TABLE, "Celu", celu)
    assert str(importing(model).nodes[0]) == "y = Celu(x) {alpha=2.0}"


def test_names_made_by_the_importer_keep_clear_of_the_models(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Softmax", ["x"], ["y"]),
        helper.make_node("Relu", ["y"], ["y/max"]),
        helper.make_node("Conv", ["y/max", "w"], ["c"]),
        helper.make_node("Mul", ["c", "z/weights"], ["z"]),
    ]
    constants = {"w": np.ones((2, 3, 1, 1), np.float32), "z/weights": np.full((2, 1, 1), 3, np.float32)}
    graph = agrees(build(nodes, {"x": (1, 3, 2, 2)}, ["z", "y/max"], constants))
    assert "y/max2" in graph.types


def test_importing_twice_gives_the_same_graph(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(ZOO["face_landmark_like"](), str(path))
    first, second = (canonicalise(import_onnx(path, {})) for _ in range(2))
    assert str(first) == str(second)
    assert list(first.constants) == list(second.constants)
