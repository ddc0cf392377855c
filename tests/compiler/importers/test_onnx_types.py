"""Values that are no float32: truth values between elementwise operators, integers that are compared, moved and converted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from fusekit.compiler.graph import Graph

Agrees = Callable[..., Graph]
Build = Callable[..., Any]

FLOAT, INT64, INT32, INT8, UINT8, BOOL = (
    TensorProto.FLOAT,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.INT8,
    TensorProto.UINT8,
    TensorProto.BOOL,
)


@pytest.mark.parametrize("op", ["Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"])
def test_a_comparison_chooses(agrees: Agrees, build: Build, op: str) -> None:
    nodes = [
        helper.make_node(op, ["x", "z"], ["c"]),
        helper.make_node("Not", ["c"], ["n"]),
        helper.make_node("Where", ["n", "x", "z"], ["y"]),
        helper.make_node("Cast", ["c"], ["f"], to=FLOAT),
    ]
    agrees(build(nodes, {"x": (3, 4), "z": (4,)}, ["y", "f", "n"], types={"n": BOOL}))


def test_logic_between_comparisons(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "low"], ["a"]),
        helper.make_node("Less", ["x", "high"], ["b"]),
        helper.make_node("And", ["a", "b"], ["both"]),
        helper.make_node("Or", ["a", "b"], ["any"]),
        helper.make_node("Xor", ["both", "any"], ["odd"]),
        helper.make_node("Reshape", ["odd", "shape"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat", "axis"], ["column"]),
        helper.make_node("Cast", ["column"], ["y"], to=FLOAT),
    ]
    constants = {
        "low": np.float32(-1),
        "high": np.float32(1),
        "shape": np.array([-1]),
        "axis": np.array([1]),
    }
    agrees(build(nodes, {"x": (3, 4)}, ["y"], {k: np.asarray(v) for k, v in constants.items()}))


@pytest.mark.parametrize("dtype", [INT64, INT32, INT8, UINT8, BOOL])
def test_an_input_of_another_type_is_cast(agrees: Agrees, build: Build, dtype: int) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["f"], to=FLOAT), helper.make_node("Mul", ["f", "half"], ["y"])]
    agrees(build(nodes, {"x": (3, 4)}, ["y"], {"half": np.array(0.5, np.float32)}, dtype=dtype))


@pytest.mark.parametrize("dtype", [INT64, INT32, INT8, UINT8, BOOL])
def test_a_value_is_cast_to_another_type(agrees: Agrees, build: Build, dtype: int) -> None:
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Cast", ["a"], ["y"], to=dtype)]
    agrees(build(nodes, {"x": (3, 4)}, ["y"], types={"y": dtype}))


def test_cast_like_takes_the_type_of_a_value(agrees: Agrees, build: Build) -> None:
    nodes = [helper.make_node("CastLike", ["x", "z"], ["i"]), helper.make_node("Add", ["i", "z"], ["y"])]
    agrees(build(nodes, {"x": (3, 4), "z": (3, 4)}, ["y"], types={"z": INT32, "y": INT32}))


@pytest.mark.parametrize("dtype", [INT64, INT32])
def test_arithmetic_of_integers(agrees: Agrees, build: Build, dtype: int) -> None:
    nodes = [
        helper.make_node("Add", ["x", "z"], ["sum"]),
        helper.make_node("Mul", ["sum", "x"], ["product"]),
        helper.make_node("Sub", ["product", "three"], ["difference"]),
        helper.make_node("Div", ["difference", "three"], ["quotient"]),
        helper.make_node("Abs", ["quotient"], ["size"]),
        helper.make_node("Max", ["size", "x"], ["largest"]),
        helper.make_node("Neg", ["largest"], ["y"]),
        helper.make_node("Equal", ["y", "x"], ["same"]),
    ]
    three = {"three": np.array(3, helper.tensor_dtype_to_np_dtype(dtype))}
    outputs = {"y": dtype, "same": BOOL}
    agrees(build(nodes, {"x": (3, 4), "z": (3, 1)}, [*outputs], three, dtype=dtype, types=outputs))


@pytest.mark.parametrize("bounds", [[-1, 2], [-1, None], [None, 2], [None, None]])
def test_clip_of_integers(agrees: Agrees, build: Build, bounds: list[int | None]) -> None:
    constants = {f"b{i}": np.array(b) for i, b in enumerate(bounds) if b is not None}
    operands = ["x", *(f"b{i}" if b is not None else "" for i, b in enumerate(bounds))]
    node = helper.make_node("Clip", operands, ["y"])
    agrees(build([node], {"x": (3, 4)}, ["y"], constants, dtype=INT64, types={"y": INT64}))


@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 9, [0, 1, 2, 3]])
def test_power_of_integers(agrees: Agrees, build: Build, exponent: int | list[int]) -> None:
    node = helper.make_node("Pow", ["x", "e"], ["y"])
    constants = {"e": np.array(exponent)}
    agrees(build([node], {"x": (3, 4)}, ["y"], constants, dtype=INT64, types={"y": INT64}))


@pytest.mark.parametrize("base", [FLOAT, INT32, INT64])
@pytest.mark.parametrize("exponent", [FLOAT, INT32, INT64])
def test_power_of_any_types(agrees: Agrees, build: Build, base: int, exponent: int) -> None:
    types = {"x": base, "e": exponent, "y": base}
    feeds = {
        name: np.array(data, helper.tensor_dtype_to_np_dtype(types[name]))
        for name, data in (("x", [-2, 3, 1, 7]), ("e", [3, 2, 0, 1]))
    }
    node = helper.make_node("Pow", ["x", "e"], ["y"])
    agrees(build([node], {"x": (4,), "e": (4,)}, ["y"], types=types), feeds, 1e-6)


def test_movement_of_integers(agrees: Agrees, build: Build) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"]),
        helper.make_node("Concat", ["t", "t"], ["c"], axis=0),
        helper.make_node("Pad", ["c", "pads", "seven"], ["p"]),
        helper.make_node("Slice", ["p", "start", "end"], ["s"]),
        helper.make_node("Expand", ["s", "shape"], ["y"]),
    ]
    constants = {
        "pads": np.array([1, 0, 0, 2]),
        "seven": np.array(7),
        "start": np.array([1]),
        "end": np.array([4]),
        "shape": np.array([2, 1, 1]),
    }
    agrees(build(nodes, {"x": (3, 4)}, ["y"], constants, dtype=INT64, types={"y": INT64}))


@pytest.mark.parametrize("dtype", [FLOAT, INT64, BOOL])
@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("k", [None, -1, 2])
def test_triangles(agrees: Agrees, build: Build, dtype: int, upper: int, k: int | None) -> None:
    constants = {} if k is None else {"k": np.array(k)}
    node = helper.make_node("Trilu", ["x", *constants], ["y"], upper=upper)
    agrees(build([node], {"x": (2, 3, 4)}, ["y"], constants, dtype=dtype, types={"y": dtype}))


def test_a_mask_from_a_range_is_folded(agrees: Agrees, build: Build) -> None:
    """A causal mask as exporters write it: the shape of x, a range, a comparison, and a choice of minus infinity."""
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"], start=1, end=2),
        helper.make_node("Squeeze", ["shape"], ["length"]),
        helper.make_node("Range", ["zero", "length", "one"], ["columns"]),
        helper.make_node("Unsqueeze", ["columns", "axis"], ["rows"]),
        helper.make_node("LessOrEqual", ["columns", "rows"], ["mask"]),
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("Where", ["mask", "zeros", "low"], ["bias"]),
        helper.make_node("Add", ["x", "bias"], ["y"]),
    ]
    constants = {
        "zero": np.array(0),
        "one": np.array(1),
        "axis": np.array([1]),
        "low": np.array(-1e4, np.float32),
    }
    graph = agrees(build(nodes, {"x": (4, 4)}, ["y"], constants))
    assert [node.op for node in graph.nodes] == ["Add"]


@pytest.mark.parametrize("op", ["ReduceL1", "ReduceMean", "ReduceProd", "ReduceSum", "ReduceSumSquare"])
@pytest.mark.parametrize("attrs", [{}, {"noop_with_empty_axes": 1}, {"keepdims": 0}])
@pytest.mark.parametrize("dtype", [INT64, INT32])
def test_sums_of_integers(agrees: Agrees, build: Build, op: str, attrs: dict[str, Any], dtype: int) -> None:
    constants = {"axes": np.array([0, -1])} if "keepdims" in attrs else {}
    node = helper.make_node(op, ["x", *constants], ["y"], **attrs)
    agrees(build([node], {"x": (2, 3, 4)}, ["y"], constants, 18, dtype, {"y": dtype}))


@pytest.mark.parametrize("dtype", [INT8, UINT8])
@pytest.mark.parametrize(
    "attrs",
    [{"kernel_shape": [2, 3], "pads": [1, 1, 0, 2]}, {"kernel_shape": [5, 7]}],
    ids=["windows", "the whole"],
)
def test_the_largest_bytes_of_windows(
    agrees: Agrees, build: Build, attrs: dict[str, Any], dtype: int
) -> None:
    node = helper.make_node("MaxPool", ["x"], ["y"], **attrs)
    agrees(build([node], {"x": (1, 3, 5, 7)}, ["y"], dtype=dtype, types={"y": dtype}))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize(
    "attrs", [{}, {"axis": 1}, {"axis": -1, "keepdims": 0}, {"axis": 1, "select_last_index": 1}]
)
def test_where_the_largest_and_the_smallest_are(
    agrees: Agrees, build: Build, op: str, attrs: dict[str, Any]
) -> None:
    model = build([helper.make_node(op, ["x"], ["y"], **attrs)], {"x": (2, 5, 3)}, ["y"], types={"y": INT64})
    agrees(model)
    agrees(model, {"x": np.random.default_rng(2).integers(0, 2, (2, 5, 3)).astype(np.float32)})
