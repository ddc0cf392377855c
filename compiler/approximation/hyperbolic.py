"""Hyperbolic functions and their inverses."""

from __future__ import annotations

from ..expr import Expr, const, op
from .exponential import LOG2_E, bounded_exp, one_minus_exp2
from .float_bits import absolute, copy_sign, polynomial
from .logarithm import log_sum, split_exponent, split_one_plus

# sinh(a) = a + a^3 (c0 + … + c3 a^6) on 0 <= a <= 1: largest relative error 0.005 * 2^-24.
_SINH = (2.7822131869470468e-06, 0.00019842895562760532, 0.00833331048488617, 0.1666666716337204)


def sinh(x: Expr) -> Expr:
    """The hyperbolic sine to 3 ULP."""
    a = absolute(x)
    square = a * a
    near_zero = op("muladd", a * square, polynomial(square, _SINH), a)
    half = _half_exp(a)
    return copy_sign(op("select", op("lt", a, 1.0), near_zero, half - 0.25 / half), x)


def cosh(x: Expr) -> Expr:
    """The hyperbolic cosine to 2 ULP."""
    half = _half_exp(absolute(x))
    return half + 0.25 / half


def _half_exp(a: Expr) -> Expr:
    """e**a / 2 for a >= 0; beyond 90 it is infinity."""
    return bounded_exp(op("min", a, 90.0), factor=0.5)


def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent to 3.5 ULP, never beyond 1."""
    # With u = 1 - e^-2a: tanh(a) = u / (2 - u). From 26 on u rounds to 1.
    u = one_minus_exp2(op("min", absolute(x * (2 * LOG2_E)), 26.0))
    return copy_sign(u / (2.0 - u), x)


_LARGE = 4096.0
"""From here on log(2 * a) stands for both inverses: what they add to it is less than half a ULP."""


def asinh(x: Expr) -> Expr:
    """The inverse hyperbolic sine to 2 ULP."""
    # log(a + sqrt(a^2 + 1)) = log(1 + a + a^2 / (1 + sqrt(a^2 + 1)))
    a = absolute(x)
    bounded = op("min", a, _LARGE)
    square = bounded * bounded
    return copy_sign(_log_1p_or_double(bounded + square / (op("sqrt", square + 1.0) + 1.0), a), x)


def acosh(x: Expr) -> Expr:
    """The inverse hyperbolic cosine to 2.5 ULP; NaN below 1."""
    # log(x + sqrt(x^2 - 1)) = log(1 + t + sqrt(t (t + 2))) with t = x - 1
    t = op("min", x, _LARGE) - 1.0
    value = _log_1p_or_double(t + op("sqrt", t * (t + 2.0)), x)
    return op("select", op("le", 1.0, x), value, const(float("nan")))


def _log_1p_or_double(z: Expr, a: Expr) -> Expr:
    """log(2 * a) from `_LARGE` on, log(1 + z) below."""
    large = op("lt", _LARGE, a)
    k, f = (op("select", large, *pair) for pair in zip(split_exponent(a), split_one_plus(z), strict=True))
    value = log_sum(k + op("select", large, const(1.0), 0.0), f)
    return op("select", op("eq", a, float("inf")), a, value)


def atanh(x: Expr) -> Expr:
    """The inverse hyperbolic tangent to 2.5 ULP: infinity at 1, NaN beyond."""
    # log((1 + a) / (1 - a)) / 2
    a = absolute(x)
    ratio = a / (1.0 - a)
    value = log_sum(*split_one_plus(ratio + ratio)) * 0.5
    beyond = op("select", op("eq", a, 1.0), const(float("inf")), float("nan"))
    return copy_sign(op("select", op("lt", a, 1.0), value, beyond), x)
