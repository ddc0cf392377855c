"""What the approximations share: polynomials, and floats taken apart by their bits."""

from __future__ import annotations

from collections.abc import Sequence

from ..expr import Expr, cast, const, op

MAGIC = 12582912.0
"""1.5 * 2**23: adding it to a small value rounds that to an integer in the low bits of the sum."""
ONE_BITS = 0x3F800000
_SIGN_BIT = -(2**31)


def polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    """``coefficients[0] * x**n + … + coefficients[n]`` by Horner's rule."""
    total: Expr = const(coefficients[0], x.dtype)
    for coefficient in coefficients[1:]:
        total = op("muladd", total, x, coefficient)
    return total


def bits(x: Expr) -> Expr:
    """The bits of a float32 as an int32."""
    return op("bitcast", x, dtype="int32")


def from_bits(pattern: Expr) -> Expr:
    """The float32 of those bits."""
    return op("bitcast", pattern, dtype="float32")


def absolute(x: Expr) -> Expr:
    """`x` without its sign bit."""
    return from_bits(op("and", bits(x), ~_SIGN_BIT))


def sign_bit(x: Expr) -> Expr:
    """The sign bit of `x` as an int32, all others clear."""
    return op("and", bits(x), _SIGN_BIT)


def flip_sign(x: Expr, sign: Expr) -> Expr:
    """`x`, negated where the int32 `sign` has its sign bit set."""
    return from_bits(op("xor", bits(x), sign))


def copy_sign(magnitude: Expr, sign: Expr) -> Expr:
    """`magnitude`, whose sign bit is clear, with the sign bit of `sign`."""
    return from_bits(op("or", bits(magnitude), sign_bit(sign)))


def head(x: Expr) -> Expr:
    """The first 12 bits of `x`, whose square is exact."""
    return from_bits(op("and", bits(x), -4096))


def two_floats(x: Expr) -> tuple[Expr, Expr]:
    """A float64 as the nearest float32 and what that lacks."""
    high = cast(x, "float32")
    return high, cast(x - cast(high, "float64"), "float32")
