"""x**y."""

from __future__ import annotations

from ..expr import Expr, cast, const, op
from .exponential import bounded_exp
from .float_bits import absolute, bits, polynomial, two_floats
from .logarithm import split_exponent

_LN_2 = 0.6931471805599453
# log(1 + f) = s (c0 + c1 s^2 + … + c4 s^8) with s = f / (2 + f), on sqrt(1/2) <= 1 + f <= sqrt(2), in float64: 2^-36.
_LOG_QUOTIENT = (
    *(0.2361832521131431, 0.2853493632056295, 0.40000386763924695),
    *(0.6666666523528377, 2.000000000008471),
)


def power(x: Expr, y: Expr) -> Expr:
    """x**y to 2 ULP, with the special cases of IEEE 754's pow."""
    size = absolute(x)
    # From 2^40 on every power is 0, 1 or infinity.
    bounded = op("min", op("max", y, -(2.0**40)), 2.0**40)
    product = cast(bounded, "float64") * _long_log(size)
    result = bounded_exp(*two_floats(op("min", op("max", product, -107.0), 91.0)))

    zero = op("eq", size, 0.0)
    extreme = op("or", zero, op("eq", size, float("inf")))
    limit = op("select", op("xor", zero, op("lt", y, 0.0)), const(0.0), float("inf"))
    result = op("select", op("and", extreme, op("eq", y, y)), limit, result)
    whole = op("eq", op("floor", bounded), bounded)
    half = bounded * 0.5
    odd = op("and", whole, op("lt", op("floor", half), half))
    negated = op("select", odd, -result, result)
    undefined = op("and", op("lt", x, 0.0), op("xor", op("or", whole, extreme), True))
    negative = op("select", undefined, const(float("nan")), negated)
    result = op("select", op("lt", bits(x), 0), negative, result)
    result = op("select", op("eq", x, x), result, x)
    return op("select", op("or", op("eq", x, 1.0), op("eq", y, 0.0)), const(1.0), result)


def _long_log(x: Expr) -> Expr:
    """log(x) in float64 to a relative 2^-35, for finite x > 0."""
    k, f = (cast(part, "float64") for part in split_exponent(x))
    s = f / (f + 2.0)
    return op("muladd", k, _LN_2, s * polynomial(s * s, _LOG_QUOTIENT))
