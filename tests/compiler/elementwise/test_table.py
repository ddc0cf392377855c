"""Every op of the table against onnx.reference: the table is the list of tests, so a new op needs none of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from fusekit.compiler.elementwise import TABLE, cast_to, clip
from fusekit.compiler.expr import Const, Expr, Load, const, walk
from fusekit.errors import UserError

from .definition import evaluate
from .onnx_check import arity, assert_close, check_schema, check_values, inputs_of, reference

ATTRIBUTES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "Cast": ({"to": 9},),
    "Elu": ({"alpha": 0.3},),
    "Gelu": ({"approximate": "tanh"},),
    "HardSigmoid": ({"alpha": 0.5, "beta": 0.25},),
    "LeakyRelu": ({"alpha": 0.0}, {"alpha": 2.0}, {"alpha": -0.5}),
    "Selu": ({"alpha": 1.5, "gamma": 2.0},),
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

            got, want = evaluate(definition, *fixed), reference(op, [*fixed], {})
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


@pytest.mark.parametrize("exponent", [-8.0, -3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0])
def test_power_with_a_common_exponent_needs_no_logarithm(exponent: float) -> None:
    expr = TABLE["Pow"](Load("float32", "x", ()), const(exponent))
    assert len([node for node in walk(expr) if not isinstance(node, Const | Load)]) <= 6


def test_cast_truncates_toward_zero() -> None:
    x = np.array([0.0, 0.9, -0.9, 1.5, -1.5, 100.0], np.float32)
    got = evaluate(cast_to, x, to=onnx.TensorProto.INT32)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, [0, 0, 0, 1, -1, 100])


def test_cast_to_an_unknown_type_names_those_that_are_known() -> None:
    with pytest.raises(UserError) as caught:
        cast_to(Load("float32", "x", ()), to=onnx.TensorProto.STRING)
    assert str(caught.value) == (
        "Cast to ONNX element type 8 is not supported; cast to one of float32 (1), uint8 (2), int8 (3), int16 (5), "
        "int32 (6), int64 (7), bool (9), float16 (10), float64 (11)"
    )
