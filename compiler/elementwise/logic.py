"""Comparison, logic, bits, choice and conversion."""

from __future__ import annotations

from ...errors import UserError
from ..expr import Expr, cast, const, op
from ..graph import item_bytes
from .table import elementwise


@elementwise("Equal")
def equal(a: Expr, b: Expr) -> Expr:
    return op("eq", a, b)


@elementwise("Less")
def less(a: Expr, b: Expr) -> Expr:
    return op("lt", a, b)


@elementwise("LessOrEqual")
def less_or_equal(a: Expr, b: Expr) -> Expr:
    return op("le", a, b)


@elementwise("Greater")
def greater(a: Expr, b: Expr) -> Expr:
    return op("lt", b, a)


@elementwise("GreaterOrEqual")
def greater_or_equal(a: Expr, b: Expr) -> Expr:
    return op("le", b, a)


@elementwise("Not")
def logical_not(x: Expr) -> Expr:
    return op("xor", x, True)


@elementwise("And")
def logical_and(a: Expr, b: Expr) -> Expr:
    return op("and", a, b)


@elementwise("Or")
def logical_or(a: Expr, b: Expr) -> Expr:
    return op("or", a, b)


@elementwise("Xor")
def logical_xor(a: Expr, b: Expr) -> Expr:
    return op("xor", a, b)


@elementwise("BitwiseNot")
def bitwise_not(x: Expr) -> Expr:
    return op("xor", x, 255 if x.dtype == "uint8" else -1)


@elementwise("BitwiseAnd")
def bitwise_and(a: Expr, b: Expr) -> Expr:
    return op("and", a, b)


@elementwise("BitwiseOr")
def bitwise_or(a: Expr, b: Expr) -> Expr:
    return op("or", a, b)


@elementwise("BitwiseXor")
def bitwise_xor(a: Expr, b: Expr) -> Expr:
    return op("xor", a, b)


@elementwise("BitShift")
def bit_shift(x: Expr, count: Expr, direction: str = "LEFT") -> Expr:
    """A right shift of a signed integer copies its sign; a count that is negative or beyond the last bit shifts all bits out."""
    last = item_bytes(x.dtype) * 8 - 1
    inside = op("le", count, last)
    if x.dtype != "uint8":
        inside = op("and", inside, op("le", 0, count))
    if direction == "LEFT":
        return op(
            "select", inside, op("shl", x, op("select", inside, count, const(0, x.dtype))), const(0, x.dtype)
        )
    shifted = op("shr", x, op("select", inside, count, const(last, x.dtype)))
    return op("select", inside, shifted, const(0, x.dtype)) if x.dtype == "uint8" else shifted


@elementwise("IsNaN")
def is_nan(x: Expr) -> Expr:
    return op("xor", op("eq", x, x), True)


@elementwise("IsInf")
def is_inf(x: Expr, detect_negative: int = 1, detect_positive: int = 1) -> Expr:
    negative, positive = (op("eq", x, sign * float("inf")) for sign in (-1, 1))
    if detect_negative and detect_positive:
        return op("or", negative, positive)
    return negative if detect_negative else positive if detect_positive else op("lt", x, x)


@elementwise("Where")
def where(condition: Expr, a: Expr, b: Expr) -> Expr:
    return op("select", condition, a, b)


_TYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    6: "int32",
    7: "int64",
    9: "bool",
}
"""onnx.TensorProto.DataType to the name of the element type, for all that an Expr of a model may have."""


@elementwise("Cast")
def cast_to(x: Expr, to: int = 1, saturate: int = 1, round_mode: str = "up") -> Expr:
    """See the primitive `cast`; `saturate` and `round_mode` only concern 8-bit floats. Raises UserError for a type that has no Expr."""
    return cast(x, _type_name("Cast", to))


@elementwise("BitCast")
def bit_cast(x: Expr, to: int = 1) -> Expr:
    """Raises UserError for a type that has no Expr, or not the size of what is converted."""
    dtype = _type_name("BitCast", to)
    if item_bytes(dtype) != item_bytes(x.dtype) or (x.dtype != dtype and "bool" in (x.dtype, dtype)):
        raise UserError(
            f"BitCast from {x.dtype} to {dtype} is not supported; the types must have the same number of bits"
        )
    return x if x.dtype == dtype else op("bitcast", x, dtype=dtype)


def _type_name(name: str, number: int) -> str:
    if number not in _TYPES:
        known = ", ".join(f"{name} ({number})" for number, name in _TYPES.items())
        raise UserError(f"{name} to ONNX element type {number} is not supported; convert to one of {known}")
    return _TYPES[number]


@elementwise("Identity")
def identity(x: Expr) -> Expr:
    return x
