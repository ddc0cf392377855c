"""Activations of neural networks."""

from __future__ import annotations

from math import ceil, floor, pi, sqrt

from ...errors import UserError
from ..approximation import error_function, exponential
from ..approximation.exponential import LOG2_E, bounded_exp, one_minus_exp2
from ..approximation.float_bits import two_floats
from ..approximation.logarithm import log_1p
from ..expr import Expr, cast, const, op
from .arithmetic import absolute
from .function import exp
from .table import elementwise


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
    negative = one_minus_exp2(op("min", x * -LOG2_E, 26.0)) * -alpha
    return op("select", op("lt", x, 0.0), negative, x)


@elementwise("Celu")
def celu(x: Expr, alpha: float = 1.0) -> Expr:
    if alpha < 0:
        return op("max", x, 0.0) + op("min", (exp(x / alpha) - 1.0) * alpha, 0.0)
    negative = one_minus_exp2(op("min", x * (-LOG2_E / alpha), 26.0)) * -alpha
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
    if alpha == 1:
        return exponential.times_sigmoid(x, x)
    return exponential.times_sigmoid(x, *_clamped(cast(x, "float64") * alpha))


def _clamped(z: Expr) -> tuple[Expr, Expr]:
    """A float64 as two floats, clamped to where a sigmoid is neither 0 nor 1."""
    return two_floats(op("min", op("max", z, -176.5), 20.0))


@elementwise("SwiGLU")
def swiglu(gate: Expr, value: Expr, alpha: float = 1.0) -> Expr:
    return swish(gate, alpha) * value


@elementwise("Mish")
def mish(x: Expr) -> Expr:
    # With e = e^x and d = e (e + 2) + 2: tanh(log(1 + e)) = 1 - 2 / d = e (1 - e (e + 1) / d). The first loses digits below 0, the second above.
    # e = v h^2, and one h comes last, so that a denormal result is rounded once. At e^20 the first rounds to 1.
    v, h = exponential.split_exp(clip(x, -176.5, 20.0))
    small = op("min", h, 1.0)
    e = v * h * h
    negative = op("lt", x, 0.0)
    lost = op("select", negative, op("muladd", e, e, e), 2.0) / op("muladd", e, e + 2.0, 2.0)
    return x * small * (op("select", negative, v, 1.0) * (1.0 - lost)) * small


@elementwise("Gelu")
def gelu(x: Expr, approximate: str = "none") -> Expr:
    if approximate == "none":
        return error_function.gelu(x)
    if approximate != "tanh":
        raise UserError(f"Gelu's approximate is {approximate!r}: ONNX knows none and tanh")
    # (1 + tanh(z / 2)) / 2 = sigmoid(z)
    wide = cast(x, "float64")
    cubic = op("muladd", wide * wide, 0.044715 * sqrt(8 / pi), sqrt(8 / pi))
    return exponential.times_sigmoid(x, *_clamped(wide * cubic))


@elementwise("Softplus")
def softplus(x: Expr) -> Expr:
    # log(1 + e^x) = max(x, 0) + log(1 + e^-|x|)
    e = bounded_exp(op("max", -absolute(x), -104.0))
    return op("max", x, 0.0) + log_1p(e)


@elementwise("Softsign")
def softsign(x: Expr) -> Expr:
    return x / (absolute(x) + 1.0)


@elementwise("Shrink")
def shrink(x: Expr, bias: float = 0.0, lambd: float = 0.5) -> Expr:
    if not x.dtype.startswith("float"):
        return _shrink_of_integer(x, bias, lambd)
    inner = op("select", op("lt", lambd, x), x - bias, 0.0)
    return op("select", op("lt", x, -lambd), x + bias, inner)


def _shrink_of_integer(x: Expr, bias: float, lambd: float) -> Expr:
    wide = x if x.dtype == "int64" else cast(x, "int32")
    upper = cast(cast(wide, "float64") - bias, x.dtype)
    lower = cast(cast(wide, "float64") + bias, x.dtype)
    inner = op("select", op("lt", floor(lambd), wide), upper, const(0, x.dtype))
    return op("select", op("lt", wide, ceil(-lambd)), lower, inner)
