"""An op of the table against ONNX: its schema and onnx.reference."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from fusekit.compiler.elementwise import TABLE

from .definition import Array, evaluate

DENORMAL = 1e-40
SPECIAL = (0.0, -0.0, 1.0, -1.0, DENORMAL, -DENORMAL, math.inf, -math.inf, math.nan)
ORDINARY = (0.25, 0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3.0, -3.0, 6.0, 9.75, -12.0, 40.0, -40.0)

FINITE = {"PRelu": 1}
"""Operands without infinities and NaN: onnx.reference multiplies a 0 by the slope, the specification does not."""


def arity(definition: Any) -> int:
    """The number of inputs that a definition requires; 3 for one that takes any number."""
    kinds = [p.kind for p in inspect.signature(definition).parameters.values() if p.default is p.empty]
    return 3 if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds)


def inputs_of(op: str) -> list[Array]:
    """One array per required input, all of one length: every combination of the values."""
    formal = onnx.defs.get_schema(op).inputs
    count = arity(TABLE[op])
    numbers = np.array(SPECIAL if count > 2 else SPECIAL + ORDINARY, np.float32)
    kinds = [formal[min(i, len(formal) - 1)].types for i in range(count)]
    axes = [numbers if "tensor(float)" in kind else np.array([False, True]) for kind in kinds]
    if op in FINITE:
        axes[FINITE[op]] = numbers[np.isfinite(numbers)]
    return [np.ascontiguousarray(grid.ravel()) for grid in np.meshgrid(*axes)]


def reference(op: str, inputs: list[Array | None], attrs: Mapping[str, Any]) -> Array:
    """The result of onnx.reference, in float64 where ONNX allows it."""
    types = [formal.types for formal in onnx.defs.get_schema(op).inputs]
    # The type that Cast gives is an attribute: float64 operands would hide what it rounds.
    wide = op != "Cast" and all("tensor(double)" in t for t in types if "tensor(float)" in t)
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


def check_values(op: str, attrs: Mapping[str, Any]) -> None:
    """The op computes what onnx.reference does, on every combination of special and ordinary values."""
    inputs = inputs_of(op)
    required = {name for name, a in onnx.defs.get_schema(op).attributes.items() if a.required}
    defaults = {
        p.name: p.default for p in inspect.signature(TABLE[op]).parameters.values() if p.name in required
    }
    assert_close(evaluate(TABLE[op], *inputs, **attrs), reference(op, [*inputs], {**defaults, **attrs}))
