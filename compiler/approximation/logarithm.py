"""Logarithms of a number, and of one plus a number."""

from __future__ import annotations

from ..expr import Expr, const, op
from .float_bits import MAGIC, ONE_BITS, bits, from_bits, polynomial

# log(1 + f) = f - f^2 / 2 + f^3 (c3 + c4 f + … + c10 f^7) on sqrt(1/2) <= 1 + f <= sqrt(2): 0.10 * 2^-24.
_LOG_1P = (
    *(-0.07635987550020218, 0.12762124836444855, -0.13159729540348053, 0.14201608300209045),
    *(-0.16623403131961823, 0.20001240074634552, -0.2500081956386566, 0.3333333134651184),
)


def log(x: Expr) -> Expr:
    """The natural logarithm to 1 ULP: NaN below 0, minus infinity at either zero."""
    k, f = split_exponent(x)
    positive = op("select", op("lt", x, float("inf")), log_sum(k, f), x)
    zero_or_nan = op("select", op("eq", x, 0.0), const(float("-inf")), float("nan"))
    return op("select", op("lt", 0.0, x), positive, zero_or_nan)


def split_exponent(x: Expr) -> tuple[Expr, Expr]:
    """k and f with ``x = 2**k * (1 + f)`` and ``sqrt(1/2) <= 1 + f <= sqrt(2)``, for finite x > 0; f is exact."""
    tiny = op("lt", x, 2.0**-126)
    # The exponent is counted from the smaller root.
    root = 0x3F3504F3
    offset = op("sub", bits(op("select", tiny, x * 2.0**23, x)), root)
    k = op("cast", op("shr", offset, 23), dtype="float32") - op("select", tiny, const(23.0), 0.0)
    f = from_bits(op("add", op("and", offset, 0x7FFFFF), root)) - 1.0
    return k, f


def log_1p(x: Expr) -> Expr:
    """log(1 + x) for 0 <= x <= 1, without the cancellation near 0: to 2 ULP."""
    upper = op("lt", 0.41421357, x)
    f = op("select", upper, op("muladd", x, 0.5, -0.5), x)
    return log_sum(op("select", upper, const(1.0), 0.0), f)


def split_one_plus(x: Expr) -> tuple[Expr, Expr]:
    """k and f with ``1 + x = 2**k * (1 + f)`` as in `split_exponent`, for 0 <= x <= 2**100; f is right to half a ULP."""
    whole = x + 1.0
    # What the sum lost (Knuth 1969, section 4.2.2), added to the significand again.
    part = whole - 1.0
    lost = (1.0 - (whole - part)) + (x - part)
    k, f = split_exponent(whole)
    scale = from_bits(op("sub", ONE_BITS, op("shl", bits(k + MAGIC), 23)))
    return k, op("muladd", lost, scale, f)


def log_sum(k: Expr, f: Expr) -> Expr:
    """k * ln 2 + log(1 + f)."""
    rest = f * f * op("muladd", f, polynomial(f, _LOG_1P), -0.5)
    small = op("muladd", k, 1.428606765330187e-06, rest)
    return op("muladd", k, 0.693145751953125, f + small)
