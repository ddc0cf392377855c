"""Every other operator with its attributes and the forms it has had over the opsets, against ONNX Runtime."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.graph import Graph

Agrees = Callable[..., Graph]
Build = Callable[..., Any]


@dataclass(frozen=True)
class Case:
    """One node: shapes of its run-time inputs, its constant inputs (by position after them), attributes, opset."""

    op: str
    shapes: Sequence[tuple[int, ...]]
    constants: Sequence[Any] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: int = 1


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


NONE = None
CASES: dict[str, Case] = {
    "clip with attributes": Case("Clip", [(3, 4)], [], {"min": -0.5, "max": 0.5}, 10),
    "clip from below by attribute": Case("Clip", [(3, 4)], [], {"min": -0.5}, 6 + 1),
    "clip with inputs": Case("Clip", [(3, 4)], [np.float32(-1), np.float32(1)]),
    "clip from below": Case("Clip", [(3, 4)], [np.float32(-1)]),
    "clip from above": Case("Clip", [(3, 4)], [NONE, np.float32(1)]),
    "clip by nothing": Case("Clip", [(3, 4)]),
    "clip with computed bounds": Case("Clip", [(3, 4), (), ()]),
    "clip with a computed lower bound": Case("Clip", [(3, 4), ()], [np.float32(1)]),
    "clip from below by a computed bound": Case("Clip", [(3, 4), ()]),
    "sum of three": Case("Sum", [(3, 4), (4,), (3, 1)]),
    "sum of one": Case("Sum", [(3, 4)]),
    "mean of three": Case("Mean", [(3, 4), (4,), (3, 1)]),
    "max of three": Case("Max", [(3, 4), (4,), (3, 1)]),
    "min of two": Case("Min", [(3, 4), (4,)]),
    "pow with an integer exponent": Case("Pow", [(3, 4)], [np.int64(2)]),
    "prelu per channel": Case("PRelu", [(1, 3, 4, 5)], [np.ones((3, 1, 1), np.float32) / 4]),
    "identity": Case("Identity", [(3, 4)]),
    "dropout": Case("Dropout", [(3, 4)], [], {"ratio": 0.5}, 10),
    "dropout with inputs": Case("Dropout", [(3, 4)], [np.float32(0.5), np.bool_(False)], {}, 13),
    "gemm": Case("Gemm", [(3, 4)], [np.ones((4, 5), np.float32), np.arange(5, dtype=np.float32)]),
    "gemm without c": Case("Gemm", [(3, 4)], [np.ones((4, 5), np.float32)], {"alpha": 0.5}),
    "gemm with everything": Case(
        "Gemm",
        [(4, 3)],
        [np.arange(20, dtype=np.float32).reshape(5, 4), floats(1, 2, 3).reshape(3, 1)],
        {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1},
    ),
    "gemm of computed operands": Case(
        "Gemm", [(4, 3), (5, 4), (3, 5)], [], {"alpha": 0.5, "beta": 2.0, "transA": 1, "transB": 1}
    ),
    "gemm of computed operands without c": Case("Gemm", [(3, 4), (4, 5)], [], {"alpha": 0.5}),
    "gemm with beta zero": Case("Gemm", [(3, 4), (4, 5), (5,)], [], {"beta": 0.0}),
    "matmul": Case("MatMul", [(3, 4), (4, 5)]),
    "matmul of batches": Case("MatMul", [(2, 1, 3, 4), (6, 4, 5)]),
    "matmul of a row": Case("MatMul", [(4,), (2, 4, 5)]),
    "matmul of a column": Case("MatMul", [(2, 3, 4), (4,)]),
    "matmul of vectors": Case("MatMul", [(4,), (4,)]),
    "reshape": Case("Reshape", [(2, 3, 4)], [ints(0, -1)]),
    "flatten": Case("Flatten", [(2, 3, 4)]),
    "flatten at a negative axis": Case("Flatten", [(2, 3, 4)], [], {"axis": -1}),
    "flatten at zero": Case("Flatten", [(2, 3, 4)], [], {"axis": 0}),
    "squeeze by attribute": Case("Squeeze", [(1, 3, 1)], [], {"axes": [0]}, 11),
    "squeeze by input": Case("Squeeze", [(1, 3, 1)], [ints(-1)]),
    "squeeze everything": Case("Squeeze", [(1, 3, 1)]),
    "unsqueeze by attribute": Case("Unsqueeze", [(3, 4)], [], {"axes": [0, 3]}, 11),
    "unsqueeze by input": Case("Unsqueeze", [(3, 4)], [ints(-1)]),
    "expand": Case("Expand", [(3, 1)], [ints(2, 1, 4)]),
    "tile": Case("Tile", [(2, 3)], [ints(2, 3)]),
    "transpose": Case("Transpose", [(2, 3, 4)]),
    "transpose with perm": Case("Transpose", [(2, 3, 4)], [], {"perm": [1, 2, 0]}),
    "pad by attribute": Case("Pad", [(2, 3)], [], {"pads": [1, 0, 2, 1], "value": 1.5}, 10),
    "pad by input": Case("Pad", [(2, 3)], [ints(1, 0, 2, 1), np.float32(1.5)]),
    "pad with zeros": Case("Pad", [(2, 3)], [ints(1, 0, 2, 1)]),
    "pad some axes": Case("Pad", [(2, 3, 4)], [ints(1, 2), np.float32(0), ints(-2)], {}, 18),
    "pad by a negative size": Case("Pad", [(4, 5)], [ints(-1, 2, 1, -2)]),
    "pad by reflection": Case("Pad", [(3, 4)], [ints(1, 2, 2, 3)], {"mode": "reflect"}),
    "pad by the edge": Case("Pad", [(3, 4)], [ints(1, 5, 0, 3)], {"mode": "edge"}),
    "pad around": Case("Pad", [(3, 4)], [ints(1, 4, 2, 0)], {"mode": "wrap"}, 19),
    "pad by reflection of what is cut": Case("Pad", [(3, 6)], [ints(0, -2, 1, 2)], {"mode": "reflect"}),
    "slice by attribute": Case("Slice", [(6, 7)], [], {"starts": [1], "ends": [-1], "axes": [1]}, 9),
    "slice by attribute without axes": Case("Slice", [(6, 7)], [], {"starts": [1, 2], "ends": [100, 4]}, 9),
    "slice by input": Case("Slice", [(6, 7)], [ints(1, 0), ints(5, 100)]),
    "slice with axes and steps": Case(
        "Slice", [(6, 7)], [ints(1, -1), ints(100, -100), ints(-1, 0), ints(2, -2)]
    ),
    "slice backwards to the front": Case("Slice", [(6,)], [ints(-1), ints(-(2**63)), ints(0), ints(-1)]),
    "split by attribute": Case("Split", [(6, 7)], [], {"axis": 1, "split": [3, 4]}, 11, 2),
    "split by input": Case("Split", [(6, 7)], [ints(3, 4)], {"axis": -1}, 13, 2),
    "split evenly": Case("Split", [(6, 7)], [], {}, 13, 3),
    "split unevenly": Case("Split", [(7, 2)], [], {"num_outputs": 3}, 18, 3),
    "concat": Case("Concat", [(2, 3), (2, 1), (2, 4)], [], {"axis": -1}),
    "concat of one": Case("Concat", [(2, 3)], [], {"axis": 0}),
    "concat with a constant": Case("Concat", [(2, 3)], [np.ones((2, 2), np.float32)], {"axis": 1}),
    "gather one": Case("Gather", [(4, 5)], [np.int64(2)], {"axis": 1}),
    "gather a run": Case("Gather", [(4, 5)], [ints(1, 2, 3)], {"axis": -1}),
    "gather backwards": Case("Gather", [(4, 5)], [ints(-1, -2, -3)]),
    "gather irregularly": Case("Gather", [(4, 5)], [ints(0, 3, 3, 1).reshape(2, 2)]),
    "reverse sequence": Case("ReverseSequence", [(4, 3, 2)], [ints(3, 3, 3)]),
    "reverse sequence of the whole axis": Case(
        "ReverseSequence", [(2, 5)], [ints(5, 5)], {"time_axis": 1, "batch_axis": 0}
    ),
    "depth to space": Case("DepthToSpace", [(1, 8, 2, 3)], [], {"blocksize": 2}),
    "depth to space by columns": Case("DepthToSpace", [(1, 8, 2, 3)], [], {"blocksize": 2, "mode": "CRD"}),
    "space to depth": Case("SpaceToDepth", [(1, 2, 4, 6)], [], {"blocksize": 2}),
    "softmax": Case("Softmax", [(2, 3, 4)]),
    "softmax along an axis": Case("Softmax", [(2, 3, 4)], [], {"axis": 1}),
    "softmax of opset 11": Case("Softmax", [(2, 3, 4)], [], {"axis": 1}, 11),
    "softmax of opset 11 by default": Case("Softmax", [(2, 3, 4)], [], {}, 11),
    "log softmax": Case("LogSoftmax", [(2, 3, 4)], [], {"axis": -2}),
    "l1 normalization": Case("LpNormalization", [(2, 3)], [], {"p": 1, "axis": 0}),
    "l2 normalization": Case("LpNormalization", [(2, 3)]),
    "batch normalization": Case(
        "BatchNormalization",
        [(2, 3, 4, 5)],
        [floats(1, 2, 3), floats(1, 0, -1), floats(0, 1, 2), floats(1, 2, 0.5)],
        {"epsilon": 1e-3},
    ),
    "batch normalization of vectors": Case(
        "BatchNormalization",
        [(4, 3)],
        [floats(1, 2, 3), floats(1, 0, -1), floats(0, 1, 2), floats(1, 2, 0.5)],
        {},
        9,
    ),
    "layer normalization": Case("LayerNormalization", [(2, 3, 4)], [floats(1, 2, 3, 4), floats(1, 0, -1, 0)]),
    "layer normalization over two axes": Case(
        "LayerNormalization", [(2, 3, 4)], [np.ones((3, 4), np.float32)], {"axis": 1, "epsilon": 0.1}
    ),
    "instance normalization": Case(
        "InstanceNormalization", [(2, 3, 4, 5)], [floats(1, 2, 3), floats(1, 0, -1)]
    ),
    "reduce with keepdims zero": Case("ReduceMean", [(2, 3, 4)], [], {"axes": [-1, 0], "keepdims": 0}),
    "reduce by input": Case("ReduceMax", [(2, 3, 4)], [ints(1)], {}, 18),
    "reduce everything": Case("ReduceSum", [(2, 3, 4)], [], {"keepdims": 0}),
    "instance normalization of one dimension by computed numbers": Case(
        "InstanceNormalization", [(2, 3, 4), (3,), (3,)]
    ),
    "group normalization": Case(
        "GroupNormalization",
        [(2, 6, 3, 2)],
        [np.arange(6, dtype=np.float32), floats(1, 0, -1, 2, 1, 0)],
        {"num_groups": 2, "epsilon": 0.01},
        21,
    ),
    "mean variance normalization": Case("MeanVarianceNormalization", [(2, 3, 4, 5)]),
    "mean variance normalization over axes": Case(
        "MeanVarianceNormalization", [(2, 3, 4, 5)], [], {"axes": [2, -1]}
    ),
    "rms normalization": Case("RMSNormalization", [(2, 3, 4)], [floats(1, 2, 3, 4)], {}, 23),
    "rms normalization over two axes": Case("RMSNormalization", [(2, 3, 4), (4,)], [], {"axis": 1}, 23),
    "local response normalization": Case("LRN", [(2, 7, 3, 4)], [], {"size": 5, "alpha": 0.5, "beta": 0.6}),
    "lp pool": Case("LpPool", [(1, 2, 7, 6)], [], {"kernel_shape": [3, 2], "strides": [2, 1]}),
    "lp pool of the first norm with pads": Case(
        "LpPool", [(1, 2, 7, 6)], [], {"kernel_shape": [3, 3], "p": 1, "pads": [1, 0, 1, 2]}
    ),
    "lp pool of the third norm": Case("LpPool", [(1, 2, 9)], [], {"kernel_shape": [3], "p": 3}),
    "global lp pool": Case("GlobalLpPool", [(2, 3, 4, 5)]),
    "global lp pool of the first norm": Case("GlobalLpPool", [(2, 3, 4)], [], {"p": 1}),
    "global lp pool of the third norm": Case("GlobalLpPool", [(2, 3, 4)], [], {"p": 3}),
    "reduce to the product of one axis": Case("ReduceProd", [(2, 7, 4)], [], {"axes": [1], "keepdims": 0}),
    "reduce to the product of everything": Case("ReduceProd", [(2, 3, 4)]),
    "reduce to the logarithm of a sum of exponentials": Case(
        "ReduceLogSumExp", [(2, 3, 4)], [], {"axes": [1]}
    ),
    "reduce to the logarithm of a sum of exponentials by input": Case(
        "ReduceLogSumExp", [(2, 3, 4)], [ints(0, 2)], {"keepdims": 0}, 18
    ),
    "reduce nothing to the logarithm of a sum of exponentials": Case(
        "ReduceLogSumExp", [(2, 3, 4)], [], {"noop_with_empty_axes": 1}, 18
    ),
    "cumulative sum": Case("CumSum", [(3, 7)], [np.int64(1)]),
    "cumulative sum without the element itself": Case("CumSum", [(5, 3)], [np.int32(-2)], {"exclusive": 1}),
    "cumulative sum from the end": Case("CumSum", [(2, 9)], [np.int64(1)], {"reverse": 1, "exclusive": 1}),
    "cumulative sum of one": Case("CumSum", [(2, 1)], [np.int64(1)], {"exclusive": 1}),
    "reduce nothing": Case("ReduceSum", [(2, 3, 4)], [], {"noop_with_empty_axes": 1}),
}
for _op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare"):
    CASES[f"{_op} by attribute"] = Case(_op, [(2, 3, 4)], [], {"axes": [1]}, 11)


@pytest.mark.parametrize("name", CASES)
def test_operator(agrees: Agrees, build: Build, name: str) -> None:
    case = CASES[name]
    shapes = {f"x{i}": shape for i, shape in enumerate(case.shapes)}
    constants = {f"c{i}": np.asarray(data) for i, data in enumerate(case.constants) if data is not None}
    operands = [*shapes, *(f"c{i}" if data is not None else "" for i, data in enumerate(case.constants))]
    outputs = [f"y{i}" for i in range(case.outputs)]
    node = helper.make_node(case.op, operands, outputs, name="node", **case.attrs)
    graph = agrees(build([node], shapes, outputs, constants, case.opset), rtol=5e-6)
    assert graph.outputs == tuple(outputs)
    assert all(n.name.startswith("node") for n in graph.nodes)


def float_arity(op: str) -> int | None:
    """How many float32 operands `op` takes in opset 23 to give a float32; None where it is no such operator or is no operation (Identity, Cast to float32, Clip by nothing)."""
    versions = [
        s
        for s in onnx.defs.get_all_schemas_with_history()
        if s.name == op and s.domain == "" and s.since_version <= 23
    ]
    if not versions or op in ("Identity", "Cast", "Clip", "Mod"):
        return None
    schema = max(versions, key=lambda s: s.since_version)
    types = {t.type_param_str: t.allowed_type_strs for t in schema.type_constraints}
    slots = [*schema.inputs, schema.outputs[0]]
    if any("tensor(float)" not in types.get(slot.type_str, [slot.type_str]) for slot in slots):
        return None
    required = [p for p in inspect.signature(TABLE[op]).parameters.values() if p.default is p.empty]
    return 2 if required[0].kind is required[0].VAR_POSITIONAL else len(required)


FLOAT_OPS = {op: arity for op in sorted(TABLE) if (arity := float_arity(op)) is not None}


@pytest.mark.parametrize("op", FLOAT_OPS)
def test_every_float_op_of_the_elementwise_table_imports_under_its_name(
    agrees: Agrees, build: Build, op: str
) -> None:
    shapes = {f"x{i}": (2, 3) for i in range(FLOAT_OPS[op])}
    random = np.random.default_rng(1)
    feeds = {name: random.uniform(0.5, 2, shape).astype(np.float32) for name, shape in shapes.items()}
    graph = agrees(build([helper.make_node(op, [*shapes], ["y"])], shapes, ["y"], opset=22), feeds, rtol=1e-5)
    assert graph.nodes[-1].op == op


def test_attributes_of_an_elementwise_op_reach_its_definition(agrees: Agrees, build: Build) -> None:
    graph = agrees(build([helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.3)], {"x": (3, 4)}, ["y"]))
    assert graph.nodes[0].attr("alpha") == pytest.approx(0.3)


def test_a_gemm_that_ignores_c_is_a_matmul(agrees: Agrees, build: Build) -> None:
    node = helper.make_node("Gemm", ["x", "w", "c"], ["y"], beta=0.0, alpha=2.0, transB=1)
    graph = agrees(build([node], {"x": (3, 4), "c": (5,)}, ["y"], {"w": np.ones((5, 4), np.float32)}))
    assert [n.op for n in graph.nodes] == ["MatMul"]


def test_reduce_to_the_logarithm_of_a_sum_of_infinite_exponentials(agrees: Agrees, build: Build) -> None:
    x = np.array([[-np.inf, -np.inf], [-np.inf, 1], [np.inf, 1], [1e30, -1e30]], np.float32)
    node = helper.make_node("ReduceLogSumExp", ["x"], ["y"], axes=[1])
    agrees(build([node], {"x": x.shape}, ["y"]), {"x": x})


@pytest.mark.parametrize("p", [1, 2])
def test_lp_normalization_of_zeros_is_zero(agrees: Agrees, build: Build, p: int) -> None:
    node = helper.make_node("LpNormalization", ["x"], ["y"], p=p)
    agrees(build([node], {"x": (2, 3)}, ["y"], opset=22), {"x": np.array([[0, 0, 0], [1, 2, 3]], np.float32)})
