"""An op of the table against ONNX: its schema and onnx.reference."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NotInRuntime

from fusekit.compiler.elementwise import TABLE

from .definition import Array, evaluate

DENORMAL = 1e-40
SPECIAL = (0.0, -0.0, 1.0, -1.0, DENORMAL, -DENORMAL, math.inf, -math.inf, math.nan)
ORDINARY = (0.25, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.0, -3.0, 6.0, 9.75, -12.0, 40.0, -40.0)
SIGNED = (-128, -100, -7, -3, -1, 0, 1, 2, 5, 7, 100, 127)

VALUES: Mapping[str, tuple[float, ...]] = {
    "float32": SPECIAL + ORDINARY,
    "bool": (False, True),
    "int32": (*SIGNED, -(2**31) + 1, 2**31 - 1),
    "int64": (*SIGNED, -(2**63) + 1, 2**63 - 1),
    "int8": SIGNED[1:],
    "uint8": (0, 1, 2, 5, 7, 100, 128, 255),
}
"""What is tried of every type; the smallest numbers, whose negatives the types lack, are left out."""

LAST_INTEGERS: Mapping[str, Callable[[float], bool]] = {
    "Div": lambda value: value != 0,
    "Mod": lambda value: value != 0,
    "Pow": lambda value: 0 <= value <= 2,
    "BitShift": lambda value: 0 <= value <= 7,
}
"""Which integers are tried as the last operand: ONNX Runtime dies of the others, or nobody says what they give."""

IN_FLOATS = ("Mod", "Pow", "Shrink")
"""ONNX Runtime computes these of integers in floats: large numbers, which come out inexact, are left out."""

FINITE = {"PRelu": 1}
"""Operands without infinities and NaN: onnx.reference multiplies a 0 by the slope, the specification does not."""


def arity(definition: Any) -> int:
    """The number of inputs that a definition requires; 3 for one that takes any number."""
    kinds = [p.kind for p in inspect.signature(definition).parameters.values() if p.default is p.empty]
    return 3 if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds)


def dtypes_of(op: str) -> list[str]:
    """The element types that ONNX allows for the last operand of `op`, of those that values of a model may have."""
    types = _types_of_inputs(op)[-1]
    return [dtype for dtype in VALUES if f"tensor({_ONNX_NAME.get(dtype, dtype)})" in types]


_ONNX_NAME = {"float32": "float"}


def _types_of_inputs(op: str) -> list[Collection[str]]:
    formal = onnx.defs.get_schema(op).inputs
    return [formal[min(i, len(formal) - 1)].types for i in range(arity(TABLE[op]))]


def inputs_of(op: str, dtype: str | None = None) -> list[Array]:
    """One array per required input, all of one length: every combination of the values of `dtype`, by default the first that ONNX allows."""
    dtype = dtype or dtypes_of(op)[0]
    kinds = _types_of_inputs(op)
    axes = []
    for types in kinds:
        allowed = [d for d in (dtype, "bool", "float32") if f"tensor({_ONNX_NAME.get(d, d)})" in types]
        values = np.array(VALUES[allowed[0]], allowed[0])
        large = op in IN_FLOATS and allowed[0].startswith("int")
        axes.append(values[np.abs(values) < 1000] if large else values)
    if dtype == "float32" and len(kinds) > 2:
        axes = [np.array(SPECIAL, np.float32) if axis.dtype == np.float32 else axis for axis in axes]
    if dtype.startswith(("int", "uint")) and op in LAST_INTEGERS:
        axes[-1] = np.array([v for v in axes[-1].tolist() if LAST_INTEGERS[op](v)], dtype)
    if op in FINITE:
        axes[FINITE[op]] = axes[FINITE[op]][np.isfinite(axes[FINITE[op]])]
    return [np.ascontiguousarray(grid.ravel()) for grid in np.meshgrid(*axes)]


def onnxruntime_result(op: str, inputs: Sequence[Array], attrs: Mapping[str, Any]) -> Array | None:
    """What ONNX Runtime computes; None where it lacks the op for these types."""
    names = [f"x{i}" for i in range(len(inputs))]
    values = [
        onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for name, a in zip(names, inputs, strict=True)
    ]
    node = onnx.helper.make_node(op, names, ["y"], **attrs)
    graph = onnx.helper.make_graph([node], "one_op", values, [onnx.ValueInfoProto(name="y")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 22)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    except (Fail, InvalidGraph, NotInRuntime):
        return None
    return np.asarray(session.run(None, dict(zip(names, inputs, strict=True)))[0])


def reference(op: str, inputs: list[Array | None], attrs: Mapping[str, Any]) -> Array:
    """The result of onnx.reference, in float64 where ONNX allows it."""
    types = [formal.types for formal in onnx.defs.get_schema(op).inputs]
    # The type that these give is an attribute: float64 operands would hide what it rounds.
    wide = op not in ("Cast", "BitCast") and all("tensor(double)" in t for t in types if "tensor(float)" in t)
    given = [a.astype(np.float64) if wide and a is not None and a.dtype == np.float32 else a for a in inputs]
    names = ["" if a is None else f"x{i}" for i, a in enumerate(given)]
    node = onnx.helper.make_node(op, names, ["y"], **attrs)
    feeds = {name: array for name, array in zip(names, given, strict=True) if array is not None}
    values = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        )
        for name, array in feeds.items()
    ]
    result = onnx.helper.make_empty_tensor_value_info("y")
    graph = onnx.helper.make_graph([node], "one_op", values, [result])
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())]
    )
    with np.errstate(all="ignore"):
        results = ReferenceEvaluator(model).run(None, feeds)
        assert isinstance(results, list)
        found = np.asarray(results[0])
        return found.astype(np.float32) if found.dtype == np.float64 else found


def assert_close(got: Array, want: Array) -> None:
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


def check_schema(op: str) -> None:
    """The name is ONNX's and so is the default of every attribute."""
    assert onnx.defs.has(op), f"ONNX has no operator {op}"
    schema = onnx.defs.get_schema(op)
    attributes = {name: a for name, a in schema.attributes.items() if not a.required}
    for parameter in inspect.signature(TABLE[op]).parameters.values():
        if parameter.name in attributes:
            default = onnx.helper.get_attribute_value(attributes[parameter.name].default_value)
            default = default.decode() if isinstance(default, bytes) else default
            assert parameter.default == (default if isinstance(default, str) else pytest.approx(default))


def required_attributes(op: str) -> dict[str, Any]:
    """The attributes that ONNX gives no default, as the definition has them."""
    required = {name for name, a in onnx.defs.get_schema(op).attributes.items() if a.required}
    return {p.name: p.default for p in inspect.signature(TABLE[op]).parameters.values() if p.name in required}


def check_values(op: str, attrs: Mapping[str, Any]) -> None:
    """The op computes what onnx.reference does, on every combination of special and ordinary values."""
    inputs = inputs_of(op)
    assert_close(
        evaluate(TABLE[op], *inputs, **attrs), reference(op, [*inputs], {**required_attributes(op), **attrs})
    )
