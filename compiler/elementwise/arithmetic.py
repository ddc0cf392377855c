"""Arithmetic of floats and integers. Integers wrap around; what a division by zero gives is 0."""

from __future__ import annotations

from functools import reduce

from ..approximation import float_bits, remainder
from ..approximation.power import power as approximate_power
from ..expr import Const, Expr, cast, const, op
from .table import elementwise


def _is_float(x: Expr) -> bool:
    return x.dtype.startswith("float")


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
    """Integers are truncated toward zero."""
    if _is_float(a) or (isinstance(b, Const) and b.value not in (0, -1)):
        return a / b
    # Processors trap on a divisor of 0, and on the one quotient by -1 that has no number.
    zero = op("eq", b, 0)
    if a.dtype == "uint8":
        return op("select", zero, const(0, a.dtype), a / op("select", zero, const(1, a.dtype), b))
    minus_one = op("eq", b, -1)
    quotient = a / op("select", op("or", zero, minus_one), const(1, a.dtype), b)
    return op("select", zero, const(0, a.dtype), op("select", minus_one, -a, quotient))


@elementwise("Mod")
def mod(a: Expr, b: Expr, fmod: int = 0) -> Expr:
    """What is left has the sign of `a` with `fmod`, else that of `b`."""
    left = remainder.remainder(a, b) if _is_float(a) else a - div(a, b) * b
    if fmod or a.dtype == "uint8":
        return left
    opposite = op("xor", op("lt", left, 0), op("lt", b, 0))
    return op("select", op("eq", left, 0), left, op("select", opposite, left + b, left))


@elementwise("Pow")
def power(x: Expr, y: Expr) -> Expr:
    """Constant exponents that are a half or a small integer become products, quotients and roots."""
    if not _is_float(x):
        return _power_of_integer(x, y)
    y = const(y.value, x.dtype) if isinstance(y, Const) else cast(y, x.dtype)
    if isinstance(y, Const) and abs(y.value) == 0.5:
        # The sum turns -0 into 0; the root of minus infinity would be NaN.
        root = op("select", op("eq", x, float("-inf")), const(float("inf")), op("sqrt", x + 0.0))
        return root if y.value > 0 else 1.0 / root
    if isinstance(y, Const) and -4 <= y.value <= 8 and y.value == int(y.value):
        # The reciprocal comes first: the power of a large number would overflow where the result is a denormal.
        return _product(x if y.value >= 0 else 1.0 / x, abs(int(y.value)))
    return approximate_power(x, y)


def _power_of_integer(x: Expr, y: Expr) -> Expr:
    if isinstance(y, Const) and 0 <= y.value <= 64 and y.value == int(y.value):
        return _product(x, int(y.value))
    if not _is_float(y):
        return _product_of_many(x, cast(y, x.dtype))
    # A power that the approximation cannot tell from a whole number is that number.
    value = approximate_power(cast(x, "float32"), y)
    whole = op("round_even", value)
    near = op("le", float_bits.absolute(value - whole), float_bits.absolute(value) * 2.0**-21)
    fraction = cast(op("select", near, whole, value), x.dtype)
    return op("select", op("eq", op("floor", y), y), _product_of_many(x, cast(y, x.dtype)), fraction)


def _product(x: Expr, count: int) -> Expr:
    if count == 0:
        return const(1, x.dtype)
    if count == 1:
        return x
    half = _product(x, count // 2)
    return half * half * x if count % 2 else half * half


def _product_of_many(x: Expr, count: Expr) -> Expr:
    """x**count for integers: square and multiply by the bits of `count`; a negative one gives 0 unless x is 1 or -1."""
    one: Expr = const(1, x.dtype)
    # From 2^63 on all but 0, 1 and -1 overflow, and for these only the lowest bit matters.
    bits = op("min", absolute(count), op("add", op("and", count, 1), 62))
    total, square = one, x
    for bit in range(6):
        total = total * op("select", op("eq", op("and", bits, 1 << bit), 0), one, square)
        square = square * square
    vanishes = op("and", op("lt", count, 0), op("xor", op("eq", x * x, 1), True))
    return op("select", vanishes, const(0, x.dtype), total)


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
    never_nan = not _is_float(b) or (isinstance(b, Const) and b.value == b.value)
    return result if never_nan else op("select", op("eq", b, b), result, b)


@elementwise("Neg")
def neg(x: Expr) -> Expr:
    return -x


@elementwise("Abs")
def absolute(x: Expr) -> Expr:
    if x.dtype == "float32":
        return float_bits.absolute(x)
    return x if x.dtype == "uint8" else op("max", x, -x)


@elementwise("Sign")
def sign(x: Expr) -> Expr:
    one = const(1, x.dtype)
    if x.dtype == "uint8":
        return op("min", x, one)
    return op("select", op("lt", 0, x), one, op("select", op("lt", x, 0), const(-1, x.dtype), x))


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
