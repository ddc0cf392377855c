"""Sines, cosines and tangents of any angle, and their inverses.

An angle in turns is ``x / (2 pi)``, and whole turns do not matter. The reciprocal of 2 pi is split into pieces so short that float64
products with the 24 bits of `x` are exact; whole turns are dropped from each product before they are added (after Payne and Hanek
1983). What is left is a number of quadrants and an angle that is right to float32 even where it nearly vanishes.
"""

from __future__ import annotations

from itertools import pairwise

from ..expr import Expr, cast, const, op
from .float_bits import MAGIC, absolute, bits, copy_sign, flip_sign, polynomial, sign_bit

_HALF_PI, _HALF_PI_LOW = 1.5707963705062866, -4.3711390001862426e-08

# sin(r) = r + r^3 (c0 + c1 r^2 + c2 r^4) on |r| <= 0.84: largest relative error 0.11 * 2^-24.
_SIN = (-0.00019471060659270734, 0.008331825956702232, -0.16666649281978607)
# cos(r) = 1 - r^2 / 2 + r^4 (c0 + c1 r^2 + c2 r^4) on |r| <= 0.84: 0.004 * 2^-24.
_COS = (2.43769318331033e-05, -0.001388679607771337, 0.04166663438081741)
# asin(a) = a + a^3 (c0 + … + c4 a^8) on 0 <= a <= 1/2: 0.08 * 2^-24.
_ASIN = (
    *(0.042158398777246475, 0.02418474107980728, 0.04546915367245674),
    *(0.074953094124794, 0.16666752099990845),
)
# atan(a) = a + a^3 (c0 + … + c8 a^16) on 0 <= a <= 1: 0.04 * 2^-24.
_ATAN = (
    *(-0.00178281229455024, 0.010868660174310207, -0.031096961349248886),
    *(0.05788138136267662, -0.08399306237697601, 0.10950880497694016),
    *(-0.14264015853405, 0.1999852955341339, -0.33333298563957214),
)

_TURNS_PER_RADIAN = 0x28BE60DB9391054A7F09D5F47D4D377036D8A5664F10E410
"""1 / (2 pi) in units of 2**-192."""


def _pieces(start: int) -> tuple[float, float, float, float]:
    """1 / (2 pi) from the bit worth 2**-(start + 1) on: 25 bits, twice 29, and as many as a float64 has."""
    ends = (start, start + 25, start + 54, start + 83, 192)
    values = []
    for first, last in pairwise(ends):
        piece = (_TURNS_PER_RADIAN >> (192 - last)) & ((1 << (last - first)) - 1)
        values.append(piece * 2.0**-last)
    return values[0], values[1], values[2], values[3]


def sin(x: Expr) -> Expr:
    """The sine of any finite angle in radians to 2 ULP; NaN of an infinite one."""
    sine, cosine, quadrant = _sine_and_cosine(x)
    value = op("select", _odd(quadrant), cosine, sine)
    return flip_sign(value, op("xor", _bit_1_as_sign(quadrant), sign_bit(x)))


def cos(x: Expr) -> Expr:
    """The cosine of any finite angle in radians to 2 ULP; NaN of an infinite one."""
    sine, cosine, quadrant = _sine_and_cosine(x)
    value = op("select", _odd(quadrant), sine, cosine)
    return flip_sign(value, _bit_1_as_sign(op("add", quadrant, 1)))


def tan(x: Expr) -> Expr:
    """The tangent of any finite angle in radians to 4 ULP; NaN of an infinite one."""
    sine, cosine, quadrant = _sine_and_cosine(x)
    odd = _odd(quadrant)
    ratio = op("select", odd, cosine, sine) / op("select", odd, sine, cosine)
    return flip_sign(ratio, op("xor", op("shl", quadrant, 31), sign_bit(x)))


def _odd(quadrant: Expr) -> Expr:
    return op("eq", op("and", quadrant, 1), 1)


def _bit_1_as_sign(quadrant: Expr) -> Expr:
    return op("shl", op("and", quadrant, 2), 30)


def _sine_and_cosine(x: Expr) -> tuple[Expr, Expr, Expr]:
    """Sine and cosine of ``|x|`` less a number of quadrants, and that number modulo 4 in the low bits of an int32."""
    r, quadrants = _reduce(absolute(x))
    square = r * r
    sine = op("muladd", r * square, polynomial(square, _SIN), r)
    cosine = op("muladd", square * square, polynomial(square, _COS), op("muladd", square, -0.5, 1.0))
    return sine, cosine, bits(quadrants + MAGIC)


def _reduce(x: Expr) -> tuple[Expr, Expr]:
    """r and a whole q with ``x = r + q * pi / 2`` up to whole turns, |r| <= 0.84 and |q| <= 8, for finite x >= 0."""
    # x is a whole number of at most 24 bits times 2^k. From k = 53 on the first 53 bits of 1 / (2 pi) give whole turns only.
    near = op("lt", x, 2.0**76)
    wide = cast(x, "float64")
    pieces = zip(_pieces(0), _pieces(53), strict=True)
    p0, p1, p2, p3 = (wide * op("select", near, const(a, "float64"), b) for a, b in pieces)
    # The last product is less than 1/128 turn. The sum of the first two is exact where x is whole: their lowest bit is 2^-54.
    parts = [p - op("round_even", p) for p in (p0, p1, p2)]
    first = (parts[0] + parts[1]) * 4.0
    q0 = op("round_even", first)
    second = op("muladd", parts[2], 4.0, first - q0)
    q1 = op("round_even", second)
    angle = op("muladd", p3, 4.0, second - q1)
    return cast(angle * 1.5707963267948966, "float32"), cast(q0 + q1, "float32")


def asin(x: Expr) -> Expr:
    """The arc sine to 2.5 ULP; NaN beyond 1."""
    a = absolute(x)
    outer, angle = _half_or_whole_asin(a)
    # asin(a) = pi / 2 - 2 asin(sqrt((1 - a) / 2))
    turned = _HALF_PI - op("muladd", angle, 2.0, -_HALF_PI_LOW)
    return copy_sign(op("select", outer, turned, angle), x)


def acos(x: Expr) -> Expr:
    """The arc cosine to 2 ULP; NaN beyond 1."""
    outer, angle = _half_or_whole_asin(absolute(x))
    signed = flip_sign(angle, sign_bit(x))
    near_zero = _HALF_PI - (signed - _HALF_PI_LOW)
    near_minus_one = 2 * _HALF_PI - op("muladd", angle, 2.0, -2 * _HALF_PI_LOW)
    ends = op("select", op("lt", x, 0.0), near_minus_one, angle * 2.0)
    return op("select", outer, ends, near_zero)


def _half_or_whole_asin(a: Expr) -> tuple[Expr, Expr]:
    """Whether a > 1/2; asin(sqrt((1 - a) / 2)) where it is, else asin(a)."""
    outer = op("lt", 0.5, a)
    square = op("select", outer, (1.0 - a) * 0.5, a * a)
    s = op("select", outer, op("sqrt", square), a)
    return outer, op("muladd", s * square, polynomial(square, _ASIN), s)


def atan(x: Expr) -> Expr:
    """The arc tangent to 2 ULP."""
    a = absolute(x)
    outer = op("lt", 1.0, a)
    s = op("select", outer, 1.0 / a, a)
    square = s * s
    angle = op("muladd", s * square, polynomial(square, _ATAN), s)
    # atan(a) = pi / 2 - atan(1 / a)
    turned = _HALF_PI - (angle - _HALF_PI_LOW)
    return copy_sign(op("select", outer, turned, angle), x)
