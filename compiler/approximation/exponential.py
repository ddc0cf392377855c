"""e**x and the functions made of it."""

from __future__ import annotations

from ..expr import Expr, op
from .float_bits import MAGIC, ONE_BITS, bits, from_bits, polynomial

LOG2_E = 1.4426950408889634

# exp(r) = 1 + r + r^2 (c2 + c3 r + … + c7 r^5) on |r| <= ln 2: largest relative error 0.25 * 2^-24.
_EXP = (
    *(0.0001963059330591932, 0.001410475466400385, 0.008335930295288563),
    *(0.041661228984594345, 0.166666179895401, 0.5000003576278687),
)
# 1 - 2^-r = r (c1 + c2 r + … + c6 r^5) on |r| <= 1/2: 0.22 * 2^-24.
_ONE_MINUS_EXP2 = (
    *(-0.00015382625861093402, 0.0013387384824454784, -0.009618310257792473),
    *(0.05550367385149002, -0.24022649228572845, 0.6931471824645996),
)


def exp(x: Expr) -> Expr:
    """e**x to 2 ULP, denormal results and overflow to infinity included."""
    # Outside of the clamp the result is 0 or infinity, as it is at its ends.
    return bounded_exp(op("min", op("max", x, -104.0), 89.0))


def bounded_exp(x: Expr, tail: Expr | None = None, factor: float = 1.0) -> Expr:
    """``factor * e**(x + tail)`` for -107 <= x <= 91 and a `tail` much smaller than 1 (none: 0)."""
    value, half = split_exp(x, tail)
    return (value if factor == 1 else value * factor) * half * half


def split_exp(x: Expr, tail: Expr | None = None, sign: int = 1) -> tuple[Expr, Expr]:
    """v and h with ``v * h * h = e**(sign * (x + tail))``: 0.4 < v < 2.1 and h a power of two, for |x| <= 176 and a `tail` much smaller than 1.

    Neither factor leaves the normal range, so that only the last product rounds a denormal or overflows.
    """
    change, half = exp_change(x, tail, sign)
    return change + 1.0 if sign > 0 else 1.0 - change, half


def exp_change(x: Expr, tail: Expr | None = None, sign: int = 1) -> tuple[Expr, Expr]:
    """`split_exp` with c in place of ``v = 1 + sign * c``: ``w + sign * c * w`` is ``w * v`` without the rounding of v."""
    shifted = op("muladd", x, sign * LOG2_E / 2, MAGIC)
    m = shifted - MAGIC
    exact = op("muladd", m, sign * -1.38629150390625, x)
    low = sign * -2.857213530660374e-06
    r = op("muladd", m, low, exact) if tail is None else exact + op("muladd", m, low, tail)
    half = from_bits(op("add", op("shl", bits(shifted), 23), ONE_BITS))
    # e^-r = 1 - (r - r^2 (c2 - c3 r + …))
    coefficients = [sign * c * sign ** (len(_EXP) - 1 - i) for i, c in enumerate(_EXP)]
    return op("muladd", r * r, polynomial(r, coefficients), r), half


def times_sigmoid(x: Expr, z: Expr, tail: Expr | None = None) -> Expr:
    """``x / (1 + e**-(z + tail))`` to 3 ULP, denormal results included. `z` is clamped here; a `tail` is 0 where that has an effect."""
    # With e^-z = v h^2 numerator and denominator are divided by h where that is large. At the lower end of the clamp 1 / h becomes 0:
    # the product with minus infinity is NaN, as it is in ONNX's formula.
    v, h = split_exp(op("min", op("max", z, -176.5), 20.0), tail, sign=-1)
    inverse = from_bits(op("sub", 2 * ONE_BITS, bits(op("max", h, 1.0))))
    return x * inverse / op("muladd", v * h, op("min", h, 1.0), inverse)


def one_minus_exp2(x: Expr) -> Expr:
    """1 - 2**-x for 0 <= x <= 100, without the cancellation near 0: to 2 ULP."""
    # 1 - 2^-m 2^-r = (1 - 2^-m) + 2^-m (1 - 2^-r)
    shifted = x + MAGIC
    r = x - (shifted - MAGIC)
    exponent = op("shl", bits(shifted), 23)
    power = from_bits(op("sub", ONE_BITS, exponent))
    return op("muladd", power, r * polynomial(r, _ONE_MINUS_EXP2), 1.0 - power)


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + e**-x) to 3.5 ULP, denormal results included."""
    # e^20 + 1 rounds to e^20, and the quotient to 1.
    e = bounded_exp(op("min", op("max", x, -104.0), 20.0))
    return e / (e + 1.0)
