"""What a division leaves."""

from __future__ import annotations

from ..expr import Expr, cast, op
from .float_bits import absolute, copy_sign


def remainder(x: Expr, y: Expr) -> Expr:
    """``x - n * y`` with the whole n nearest to x / y toward zero: exact, with the sign of x, as C's fmod."""
    # Quotients have up to 277 bits. Ten steps take 28 each, from the top: every product of a step's whole number with y is exact, and so is
    # the difference, because it has no bit below the lowest of x and y. An infinite y is any number beyond x.
    r, divisor = (cast(absolute(value), "float64") for value in (x, y))
    divisor = op("min", divisor, 2.0**200)
    inverse = 1.0 / divisor
    for shift in range(252, -1, -28):
        n = op("round_even", r * 2.0**-shift * inverse)
        r = r - n * (divisor * 2.0**shift)
    r = op("select", op("lt", r, 0.0), r + divisor, r)
    return copy_sign(cast(r, "float32"), x)
