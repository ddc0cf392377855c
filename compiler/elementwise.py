"""Every elementwise op, once: a Python function from operand Exprs to a result Expr, registered under its ONNX name.

Adding an op here makes it work alone, as prologue and as epilogue of every anchor, on every target and in every interpreter.
Attributes are keyword arguments with ONNX's defaults. Approximations state their source and largest error (`approximation.py`).

NaN: the primitives `max` and `min` keep one in their first operand, so the value comes first and the bound second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import pi, sqrt

from ..errors import UserError
from . import approximation
from .expr import Const, Expr, cast, const, op

Definition = Callable[..., Expr]

TABLE: dict[str, Definition] = {}


def elementwise(name: str) -> Callable[[Definition], Definition]:
    """Register a definition under the ONNX op name `name`."""

    def register(definition: Definition) -> Definition:
        assert name not in TABLE, f"{name} is defined twice"
        TABLE[name] = definition
        return definition

    return register


# Arithmetic


@elementwise("Add")
def add(a: Expr, b: Expr) -> Expr:
    return a + b


@elementwise("Sub")
def sub(a: Expr, b: Expr) -> Expr:
    return a - b


@elementwise("Mul")
def mul(a: Expr, b: Expr) -> Expr:
    return a * b


@elementwise("Div")
def div(a: Expr, b: Expr) -> Expr:
    return a / b


@elementwise("Pow")
def power(x: Expr, y: Expr) -> Expr:
    """Constant exponents that are a half or a small integer become products, quotients and roots."""
    if isinstance(y, Const) and abs(y.value) == 0.5:
        # The sum turns -0 into 0; the root of minus infinity would be NaN.
        root = op("select", op("eq", x, float("-inf")), const(float("inf")), op("sqrt", x + 0.0))
        return root if y.value > 0 else 1.0 / root
    if isinstance(y, Const) and abs(y.value) <= 8 and y.value == int(y.value):
        # The reciprocal comes first: the power of a large number would overflow where the result is a denormal.
        return _integer_power(x if y.value >= 0 else 1.0 / x, abs(int(y.value)))
    return approximation.power(x, y)


def _integer_power(x: Expr, exponent: int) -> Expr:
    if exponent == 0:
        return const(1, x.dtype)
    if exponent == 1:
        return x
    half = _integer_power(x, exponent // 2)
    return half * half * x if exponent % 2 else half * half


@elementwise("Min")
def minimum(*values: Expr) -> Expr:
    return reduce(lambda a, b: _extremum("min", a, b), values)


@elementwise("Max")
def maximum(*values: Expr) -> Expr:
    return reduce(lambda a, b: _extremum("max", a, b), values)


def _extremum(prim: str, a: Expr, b: Expr) -> Expr:
    """The primitive `min` or `max`, where a NaN in either operand stays."""
    if isinstance(a, Const):
        a, b = b, a
    result = op(prim, a, b)
    never_nan = not b.dtype.startswith("float") or (isinstance(b, Const) and b.value == b.value)
    return result if never_nan else op("select", op("eq", b, b), result, b)


@elementwise("Neg")
def neg(x: Expr) -> Expr:
    return -x


@elementwise("Abs")
def absolute(x: Expr) -> Expr:
    return approximation.absolute(x) if x.dtype == "float32" else op("max", x, -x)


@elementwise("Sign")
def sign(x: Expr) -> Expr:
    return op(
        "select", op("lt", 0, x), const(1, x.dtype), op("select", op("lt", x, 0), const(-1, x.dtype), x)
    )


@elementwise("Reciprocal")
def reciprocal(x: Expr) -> Expr:
    return 1.0 / x


@elementwise("Sqrt")
def square_root(x: Expr) -> Expr:
    return op("sqrt", x)


@elementwise("Floor")
def floor(x: Expr) -> Expr:
    return op("floor", x)


@elementwise("Ceil")
def ceil(x: Expr) -> Expr:
    return -op("floor", -x)


@elementwise("Round")
def round_half_to_even(x: Expr) -> Expr:
    return op("round_even", x)


# Transcendental functions


@elementwise("Exp")
def exp(x: Expr) -> Expr:
    return approximation.exp(x)


@elementwise("Log")
def log(x: Expr) -> Expr:
    return approximation.log(x)


@elementwise("Sigmoid")
def sigmoid(x: Expr) -> Expr:
    return approximation.sigmoid(x)


@elementwise("Tanh")
def tanh(x: Expr) -> Expr:
    return approximation.tanh(x)


@elementwise("Erf")
def erf(x: Expr) -> Expr:
    return approximation.erf(x)


# Activations


@elementwise("Relu")
def relu(x: Expr) -> Expr:
    return op("max", x, 0.0)


@elementwise("LeakyRelu")
def leaky_relu(x: Expr, alpha: float = 0.01) -> Expr:
    if 0 < alpha <= 1:
        return op("max", x, x * alpha)
    return op("select", op("lt", x, 0.0), x * alpha, x)


@elementwise("PRelu")
def prelu(x: Expr, slope: Expr) -> Expr:
    return op("select", op("lt", x, 0.0), x * slope, x)


@elementwise("ThresholdedRelu")
def thresholded_relu(x: Expr, alpha: float = 1.0) -> Expr:
    return op("select", op("lt", alpha, x), x, 0.0)


@elementwise("Clip")
def clip(x: Expr, low: Expr | float | None = None, high: Expr | float | None = None) -> Expr:
    x = x if low is None else op("max", x, low)
    return x if high is None else op("min", x, high)


@elementwise("Elu")
def elu(x: Expr, alpha: float = 1.0) -> Expr:
    # 1 - 2^-26 rounds to 1.
    negative = approximation.one_minus_exp2(op("min", x * -approximation.LOG2_E, 26.0)) * -alpha
    return op("select", op("lt", x, 0.0), negative, x)


@elementwise("Selu")
def selu(x: Expr, alpha: float = 1.6732632423543772, gamma: float = 1.0507009873554805) -> Expr:
    return elu(x, alpha) * gamma


@elementwise("HardSigmoid")
def hard_sigmoid(x: Expr, alpha: float = 0.2, beta: float = 0.5) -> Expr:
    return clip(op("muladd", x, alpha, beta), 0.0, 1.0)


@elementwise("HardSwish")
def hard_swish(x: Expr) -> Expr:
    return x * hard_sigmoid(x, 1 / 6, 0.5)


@elementwise("Swish")
def swish(x: Expr, alpha: float = 1.0) -> Expr:
    return x * sigmoid(x if alpha == 1 else x * alpha)


@elementwise("Mish")
def mish(x: Expr) -> Expr:
    # tanh(log(1 + e)) = n / (n + 2) with n = e (e + 2); at e^20 the quotient rounds to 1.
    e = approximation.bounded_exp(clip(x, -104.0, 20.0))
    n = e * (e + 2.0)
    return x * (n / (n + 2.0))


@elementwise("Gelu")
def gelu(x: Expr, approximate: str = "none") -> Expr:
    if approximate == "tanh":
        # (1 + tanh(z / 2)) / 2 = sigmoid(z)
        cubic = op("muladd", x * x, 0.044715 * sqrt(8 / pi), sqrt(8 / pi))
        return x * sigmoid(x * cubic)
    half = x * 0.5
    return op("muladd", half, erf(x * sqrt(0.5)), half)


@elementwise("Softplus")
def softplus(x: Expr) -> Expr:
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
    e = approximation.bounded_exp(op("max", -absolute(x), -104.0))
    return op("max", x, 0.0) + approximation.log_1p(e)


@elementwise("Softsign")
def softsign(x: Expr) -> Expr:
    return x / (absolute(x) + 1.0)


# Comparison, logic, choice and conversion


@elementwise("Equal")
def equal(a: Expr, b: Expr) -> Expr:
    return op("eq", a, b)


@elementwise("Less")
def less(a: Expr, b: Expr) -> Expr:
    return op("lt", a, b)


@elementwise("LessOrEqual")
def less_or_equal(a: Expr, b: Expr) -> Expr:
    return op("le", a, b)


@elementwise("Greater")
def greater(a: Expr, b: Expr) -> Expr:
    return op("lt", b, a)


@elementwise("GreaterOrEqual")
def greater_or_equal(a: Expr, b: Expr) -> Expr:
    return op("le", b, a)


@elementwise("Not")
def logical_not(x: Expr) -> Expr:
    return op("xor", x, True)


@elementwise("And")
def logical_and(a: Expr, b: Expr) -> Expr:
    return op("and", a, b)


@elementwise("Or")
def logical_or(a: Expr, b: Expr) -> Expr:
    return op("or", a, b)


@elementwise("Xor")
def logical_xor(a: Expr, b: Expr) -> Expr:
    return op("xor", a, b)


@elementwise("Where")
def where(condition: Expr, a: Expr, b: Expr) -> Expr:
    return op("select", condition, a, b)


_CAST_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    5: "int16",
    6: "int32",
    7: "int64",
    9: "bool",
    10: "float16",
    11: "float64",
}
"""onnx.TensorProto.DataType to the name of the element type."""


@elementwise("Cast")
def cast_to(x: Expr, to: int = 1, saturate: int = 1) -> Expr:
    """`saturate` only concerns 8-bit floats; a float beyond the range of the integer type gives any integer.

    Raises UserError for a type that has no Expr.
    """
    if to not in _CAST_TYPES:
        known = ", ".join(f"{name} ({number})" for number, name in _CAST_TYPES.items())
        raise UserError(f"Cast to ONNX element type {to} is not supported; cast to one of {known}")
    return cast(x, _CAST_TYPES[to])


@elementwise("Identity")
def identity(x: Expr) -> Expr:
    return x
