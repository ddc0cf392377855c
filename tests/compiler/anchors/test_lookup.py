"""Gather by indices of run time, alone and fused, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import fusekit

RNG = np.random.default_rng(5)


def run_both(
    nodes: list[onnx.NodeProto], indices: np.ndarray, constants: dict[str, np.ndarray], folder: Path
) -> None:
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("i", TensorProto.INT64, indices.shape), helper.make_tensor_value_info("x", TensorProto.FLOAT, (5, 7))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, folder / "net.onnx")
    feeds = {"i": indices, "x": RNG.uniform(-1, 1, (5, 7)).astype(np.float32)}
    (want,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feeds)
    for level in ("none", "full"):
        for threads in (1, 2):
            model_here = fusekit.load(fusekit.compile(folder / "net.onnx", fusion=level, threads=threads))
            got = model_here.run(feeds)["y"]
            assert got.shape == want.shape and float(np.abs(got - want).max()) <= 1e-5


TABLE = {"t": RNG.uniform(-1, 1, (11, 20)).astype(np.float32)}


def test_rows_of_a_constant_table_are_read_where_they_are_used(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["t", "i"], ["g"]),
        helper.make_node("MatMul", ["g", "w"], ["m"]),
        helper.make_node("Flatten", ["x"], ["f"], axis=0),
        helper.make_node("ReduceMean", ["f"], ["r"], keepdims=0),
        helper.make_node("Add", ["m", "r"], ["y"]),
    ]
    weights = {"w": RNG.uniform(-1, 1, (20, 9)).astype(np.float32)}
    run_both(nodes, np.array([[3, 0, -1], [10, 10, -11]]), TABLE | weights, tmp_path)


@pytest.mark.parametrize("axis", [0, 1])
def test_run_time_values_are_looked_up_along_any_axis(axis: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Gather", ["r", "i"], ["y"], axis=axis)]
    run_both(nodes, np.array([4, 0, -2, 1]), {}, tmp_path)


def test_indices_computed_in_the_model(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["i", "one"], ["j"]),
        helper.make_node("Gather", ["t", "j"], ["g"]),
        helper.make_node("Sigmoid", ["g"], ["s"]),
        helper.make_node("ReduceSum", ["x"], ["r"], keepdims=0),
        helper.make_node("Mul", ["s", "r"], ["y"]),
    ]
    run_both(nodes, np.array([3, 0, 9]), TABLE | {"one": np.array(1)}, tmp_path)
