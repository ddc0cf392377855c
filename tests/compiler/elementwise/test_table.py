"""Every op of the table against onnx.reference: the table is the list of tests, so a new op needs none of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from fusekit.compiler.elementwise import TABLE, Definition
from fusekit.compiler.elementwise.activation import clip
from fusekit.compiler.elementwise.logic import bit_cast, cast_to
from fusekit.compiler.expr import Const, Expr, Load, const, walk
from fusekit.errors import UserError

from .definition import evaluate
from .onnx_check import (
    arity,
    assert_close,
    check_schema,
    check_values,
    dtypes_of,
    inputs_of,
    onnxruntime_result,
    reference,
    required_attributes,
)

ATTRIBUTES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "BitCast": ({"to": 6},),
    "BitShift": ({"direction": "RIGHT"},),
    "Cast": ({"to": 9},),
    "Celu": ({"alpha": 2.0}, {"alpha": -1.5}),
    "Elu": ({"alpha": 0.3},),
    "Gelu": ({"approximate": "tanh"},),
    "HardSigmoid": ({"alpha": 0.5, "beta": 0.25},),
    "IsInf": ({"detect_negative": 0}, {"detect_positive": 0}, {"detect_negative": 0, "detect_positive": 0}),
    "LeakyRelu": ({"alpha": 0.0}, {"alpha": 2.0}, {"alpha": -0.5}),
    "Mod": ({"fmod": 1},),
    "Selu": ({"alpha": 1.5, "gamma": 2.0},),
    "Shrink": ({"lambd": 1.5, "bias": 1.0},),
    "SwiGLU": ({"alpha": 0.5},),
    "Swish": ({"alpha": 1.702},),
    "ThresholdedRelu": ({"alpha": -1.0}, {"alpha": 2.0}),
}
"""What is tried beside the default attributes."""

CASES = [(name, attrs) for name in TABLE for attrs in ({}, *ATTRIBUTES.get(name, ()))]


@pytest.mark.parametrize("op", TABLE)
def test_name_and_attribute_defaults_are_those_of_onnx(op: str) -> None:
    check_schema(op)


@pytest.mark.parametrize(
    ("op", "attrs"), CASES, ids=lambda value: value if isinstance(value, str) else str(dict(value))
)
def test_op_is_what_onnx_reference_computes(op: str, attrs: Mapping[str, Any]) -> None:
    check_values(op, attrs)


@pytest.mark.parametrize(
    ("op", "dtype"), [(op, dtype) for op in TABLE for dtype in dtypes_of(op)[dtypes_of(op)[0] == "float32" :]]
)
def test_op_on_other_types_is_what_onnx_runtime_computes(op: str, dtype: str) -> None:
    inputs = inputs_of(op, dtype)
    for attrs in ({}, *ATTRIBUTES.get(op, ())):
        if op == "BitCast" and np.dtype(dtype).itemsize != 4:
            continue
        complete = {**required_attributes(op), **attrs}
        want = onnxruntime_result(op, inputs, complete)
        want = reference(op, [*inputs], complete) if want is None else want
        got = evaluate(TABLE[op], *inputs, **attrs)
        np.testing.assert_array_equal(got, want)
        assert got.dtype == want.dtype


@pytest.mark.parametrize("op", [op for op in TABLE if arity(TABLE[op]) > 1])
def test_op_takes_a_constant_in_any_position(op: str) -> None:
    inputs = inputs_of(op)
    for position, column in enumerate(inputs):
        for value in np.unique(column):
            fixed = [*inputs]
            fixed[position] = np.full_like(column, value)

            def definition(*operands: Expr, at: int = position, value: Any = value) -> Expr:
                constant = const(value.item(), operands[at].dtype)
                return TABLE[op](*operands[:at], constant, *operands[at + 1 :])

            got, want = evaluate(definition, *fixed), reference(op, [*fixed], required_attributes(op))
            assert_close(np.broadcast_to(got, want.shape), want)


@pytest.mark.parametrize("low", [None, -0.5, 0.0])
@pytest.mark.parametrize("high", [None, 2.5, -1.0])
@pytest.mark.parametrize("computed", [False, True])
def test_clip_takes_bounds_as_attributes_and_as_operands(
    low: float | None, high: float | None, computed: bool
) -> None:
    (x,) = inputs_of("Clip")
    bounds = [None if bound is None else np.array(bound, np.float32) for bound in (low, high)]
    want = reference("Clip", [x, *bounds], {})

    def definition(x: Expr) -> Expr:
        if computed:
            return clip(x, *(None if bound is None else const(bound) + 0.0 for bound in (low, high)))
        return clip(x, low=low, high=high)

    assert_close(evaluate(definition, x), want)


@pytest.mark.parametrize("exponent", [-4.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0])
def test_power_with_a_common_exponent_needs_no_logarithm(exponent: float) -> None:
    expr = TABLE["Pow"](Load("float32", "x", ()), const(exponent))
    assert len([node for node in walk(expr) if not isinstance(node, Const | Load)]) <= 6


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_cast_truncates_and_ends_at_the_ends_of_the_type(dtype: str) -> None:
    x = np.array(
        [0.0, 0.9, -0.9, 1.5, -1.5, 100.0, 300.0, -300.0, 3e9, -3e9, 1e30, -math.inf, math.nan], np.float32
    )
    limits = np.iinfo(dtype)
    want = [
        0 if math.isnan(v) else max(limits.min, min(limits.max, int(max(-1e20, min(v, 1e20)))))
        for v in x.tolist()
    ]
    got = evaluate(cast_to, x, to=onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    assert got.dtype == dtype
    assert got.tolist() == want


def test_cast_of_an_integer_keeps_the_low_bits() -> None:
    got = evaluate(cast_to, np.array([200, -1, 300, 2**40 + 5], np.int64), to=onnx.TensorProto.INT8)
    assert got.tolist() == [-56, -1, 44, 5]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64"])
def test_division_of_integers_never_traps(dtype: str) -> None:
    low = np.iinfo(dtype).min
    a, b = np.array([7, 0, low, low], dtype), np.array([0, 0, 0, -1 if low else 1], dtype)
    assert evaluate(TABLE["Div"], a, b).tolist() == [0, 0, 0, low]
    assert evaluate(TABLE["Mod"], a, b).tolist() == [7, 0, low, 0]


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shift_beyond_the_last_bit_leaves_the_sign(direction: str) -> None:
    x, count = np.array([-5, -5, 5, 5], np.int32), np.array([32, -1, 40, 31], np.int32)
    want = {"LEFT": [0, 0, 0, -(2**31)], "RIGHT": [-1, -1, 0, 0]}
    assert evaluate(TABLE["BitShift"], x, count, direction=direction).tolist() == want[direction]


def test_power_mixes_types() -> None:
    base = np.array([2, -2, 3, 9, 10, -1, 7, 1, 0, 5], np.int32)
    exponent = np.array([3, 3, -1, 0.5, 2.5, 7, 11, -5, 0, 0], np.float32)
    assert evaluate(TABLE["Pow"], base, exponent).tolist() == [8, -8, 0, 3, 316, -1, 7**11, 1, 1, 1]
    whole = exponent.astype(np.int64)
    assert evaluate(TABLE["Pow"], base, whole).tolist() == [8, -8, 0, 1, 100, -1, 7**11, 1, 1, 1]
    floats = evaluate(TABLE["Pow"], base.astype(np.float32), whole)
    np.testing.assert_allclose(floats, base.astype(float) ** whole, rtol=1e-6)


@pytest.mark.parametrize(("definition", "name"), [(cast_to, "Cast"), (bit_cast, "BitCast")])
def test_conversion_to_an_unknown_type_names_those_that_are_known(definition: Definition, name: str) -> None:
    with pytest.raises(UserError) as caught:
        definition(Load("float32", "x", ()), to=onnx.TensorProto.STRING)
    assert str(caught.value) == (
        f"{name} to ONNX element type 8 is not supported; convert to one of float32 (1), uint8 (2), int8 (3), "
        "int32 (6), int64 (7), bool (9)"
    )


def test_bits_are_only_converted_to_a_type_of_the_same_size() -> None:
    with pytest.raises(UserError) as caught:
        bit_cast(Load("float32", "x", ()), to=onnx.TensorProto.INT64)
    assert str(caught.value) == (
        "BitCast from float32 to int64 is not supported; the types must have the same number of bits"
    )
