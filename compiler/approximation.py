"""Transcendental functions as polynomials over the primitives: float32 Exprs in, float32 Exprs out, no lookup tables.

Each function states its largest error in units of the last place (ULP) of the exact result. The bounds hold whether `muladd` rounds once
or twice, and whether or not the code generator contracts a product and a sum; a NaN gives NaN. Coefficients are minimax fits
(equal ripple on a Chebyshev grid by linear programming, weighted by the result), rounded to float32 one at a time from the lowest
power up, the others refitted after each.

Two devices recur:

- **Rounding by a magic number.** Adding 1.5 * 2**23 rounds a small value to an integer, which then stands in the low bits of the sum:
  one addition gives both the integer as a float (after subtracting again) and, shifted left by 23, the exponent field of a power of
  two. No conversion to an integer is needed, so a NaN meets none.
- **Two-constant reduction** (Cody and Waite 1980). ``x - n * ln 2`` with ``ln 2 = high + low`` where ``n * high`` has at most 24 bits: its
  product and difference are exact even without a fused multiply-add.
"""

from __future__ import annotations

from collections.abc import Sequence

from .expr import Expr, const, op

_MAGIC = 12582912.0
LOG2_E = 1.4426950408889634
_ONE_BITS = 0x3F800000
_SIGN_BIT = -(2**31)

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
# log(1 + f) = f - f^2 / 2 + f^3 (c3 + c4 f + … + c10 f^7) on sqrt(1/2) <= 1 + f <= sqrt(2): 0.10 * 2^-24.
_LOG_1P = (
    *(-0.07635987550020218, 0.12762124836444855, -0.13159729540348053, 0.14201608300209045),
    *(-0.16623403131961823, 0.20001240074634552, -0.2500081956386566, 0.3333333134651184),
)
# -log2(erfc(a)) = a (c0 + c1 a + … + c7 a^7) on 0 <= a <= 3.95: 0.63 * 2^-24 of erf(a).
_LOG2_ERFC = (
    *(5.975655949441716e-05, -0.0005573543021455407, 0.0018281221855431795, 0.000265211594523862),
    *(-0.02785228006541729, 0.14832158386707306, 0.9184446930885315, 1.6279070377349854),
)


def polynomial(x: Expr, coefficients: Sequence[float]) -> Expr:
    """``coefficients[0] * x**n + … + coefficients[n]`` by Horner's rule."""
    total: Expr = const(coefficients[0])
    for coefficient in coefficients[1:]:
        total = op("muladd", total, x, coefficient)
    return total


def absolute(x: Expr) -> Expr:
    """`x` without its sign bit."""
    return op("bitcast", op("and", op("bitcast", x, dtype="int32"), ~_SIGN_BIT), dtype="float32")


def copy_sign(magnitude: Expr, sign: Expr) -> Expr:
    """`magnitude`, whose sign bit is clear, with the sign bit of `sign`."""
    bit = op("and", op("bitcast", sign, dtype="int32"), _SIGN_BIT)
    return op("bitcast", op("or", op("bitcast", magnitude, dtype="int32"), bit), dtype="float32")


def exp(x: Expr) -> Expr:
    """e**x to 2 ULP, denormal results and overflow to infinity included."""
    # Outside of the clamp the result is 0 or infinity, as it is at its ends.
    return bounded_exp(op("min", op("max", x, -104.0), 89.0))


def bounded_exp(x: Expr, tail: Expr | None = None) -> Expr:
    """e**(x + tail) for -107 <= x <= 91 and a `tail` much smaller than 1 (none: 0)."""
    # The power of two is even, 2^m * 2^m: neither half leaves the normal range, so that only the last product rounds a denormal
    # or overflows.
    shifted = op("muladd", x, LOG2_E / 2, _MAGIC)
    m = shifted - _MAGIC
    r = op("muladd", m, -2.857213530660374e-06, op("muladd", m, -1.38629150390625, x))
    r = r if tail is None else r + tail
    half = op(
        "bitcast", op("add", op("shl", op("bitcast", shifted, dtype="int32"), 23), _ONE_BITS), dtype="float32"
    )
    return op("muladd", r * r, polynomial(r, _EXP), r + 1.0) * half * half


def one_minus_exp2(x: Expr) -> Expr:
    """1 - 2**-x for 0 <= x <= 100, without the cancellation near 0: to 2 ULP."""
    # 1 - 2^-m 2^-r = (1 - 2^-m) + 2^-m (1 - 2^-r)
    shifted = x + _MAGIC
    r = x - (shifted - _MAGIC)
    exponent = op("shl", op("bitcast", shifted, dtype="int32"), 23)
    power = op("bitcast", op("sub", _ONE_BITS, exponent), dtype="float32")
    return op("muladd", power, r * polynomial(r, _ONE_MINUS_EXP2), 1.0 - power)


def log(x: Expr) -> Expr:
    """The natural logarithm to 1 ULP: NaN below 0, minus infinity at either zero."""
    k, f = _exponent(x)
    finite = _log_sum(k, f)
    positive = op("select", op("lt", x, float("inf")), finite, x)
    return op(
        "select",
        op("lt", 0.0, x),
        positive,
        op("select", op("eq", x, 0.0), const(float("-inf")), float("nan")),
    )


def _exponent(x: Expr) -> tuple[Expr, Expr]:
    """k and f with ``x = 2**k * (1 + f)`` and ``sqrt(1/2) <= 1 + f <= sqrt(2)``, for finite x > 0; f is exact."""
    tiny = op("lt", x, 2.0**-126)
    bits = op("bitcast", op("select", tiny, x * 2.0**23, x), dtype="int32")
    # k is the exponent field counted from the smaller root.
    root = 0x3F3504F3
    offset = op("sub", bits, root)
    k = op("cast", op("shr", offset, 23), dtype="float32") - op("select", tiny, const(23.0), 0.0)
    f = op("bitcast", op("add", op("and", offset, 0x7FFFFF), root), dtype="float32") - 1.0
    return k, f


def log_1p(x: Expr) -> Expr:
    """log(1 + x) for 0 <= x <= 1, without the cancellation near 0: to 2 ULP."""
    upper = op("lt", 0.41421357, x)
    f = op("select", upper, op("muladd", x, 0.5, -0.5), x)
    return _log_sum(op("select", upper, const(1.0), 0.0), f)


def _log_sum(k: Expr, f: Expr) -> Expr:
    """k * ln 2 + log(1 + f)."""
    rest = f * f * op("muladd", f, polynomial(f, _LOG_1P), -0.5)
    small = op("muladd", k, 1.428606765330187e-06, rest)
    return op("muladd", k, 0.693145751953125, f + small)


def sigmoid(x: Expr) -> Expr:
    """1 / (1 + e**-x) to 3 ULP, denormal results included."""
    # e^20 + 1 rounds to e^20, and the quotient to 1.
    e = bounded_exp(op("min", op("max", x, -104.0), 20.0))
    return e / (e + 1.0)


def tanh(x: Expr) -> Expr:
    """The hyperbolic tangent to 3.5 ULP, never beyond 1."""
    # With u = 1 - e^-2a: tanh(a) = u / (2 - u). From 26 on u rounds to 1.
    u = one_minus_exp2(op("min", absolute(x * (2 * LOG2_E)), 26.0))
    return copy_sign(u / (2.0 - u), x)


def erf(x: Expr) -> Expr:
    """The error function to 3 ULP, never beyond 1."""
    # erf(a) = 1 - 2^-g with g = -log2(erfc(a)); erf(3.95) rounds to 1.
    a = op("min", absolute(x), 3.95)
    return copy_sign(one_minus_exp2(a * polynomial(a, _LOG2_ERFC)), x)


def power(x: Expr, y: Expr) -> Expr:
    """x**y to 16 ULP, with the special cases of IEEE 754's pow.

    The logarithm of x and its product with y are sums of two floats (Dekker 1971), whose high halves have at most 12 bits so that their
    product is exact.
    """
    size = absolute(x)
    # From 2^40 on every power is 0, 1 or infinity, and no product below overflows.
    bounded = op("min", op("max", y, -(2.0**40)), 2.0**40)
    high, low = _long_log(size)
    log_head, y_head = _head(high), _head(bounded)
    log_tail = (high - log_head) + low
    tail = op("muladd", bounded - y_head, log_head, bounded * log_tail)
    product = op("min", op("max", y_head * log_head, -107.0), 91.0)
    result = bounded_exp(product, op("min", op("max", tail, -1.0), 1.0))

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
    result = op("select", op("lt", op("bitcast", x, dtype="int32"), 0), negative, result)
    result = op("select", op("eq", x, x), result, x)
    return op("select", op("or", op("eq", x, 1.0), op("eq", y, 0.0)), const(1.0), result)


def _long_log(x: Expr) -> tuple[Expr, Expr]:
    """log(x) as a float and what it lacks, for finite x > 0."""
    k, f = _exponent(x)
    head = _head(f)
    # f^2 / 2 = head^2 / 2 + (f - head)(f + head) / 2, the first of them exact.
    square = head * head * 0.5
    first = f - square
    lost = (f - first) - square
    cubic = f * f * f * polynomial(f, _LOG_1P)
    rest = op("muladd", (f - head) * (f + head), -0.5, cubic) + lost
    whole = k * 0.693145751953125
    high = whole + first
    low = ((whole - high) + first) + op("muladd", k, 1.428606765330187e-06, rest)
    total = high + low
    return total, (high - total) + low


def _head(x: Expr) -> Expr:
    """The first 12 bits of `x`."""
    return op("bitcast", op("and", op("bitcast", x, dtype="int32"), -4096), dtype="float32")
