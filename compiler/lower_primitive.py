"""The primitives of Expr as LLVM instructions: one entry each, for scalars and vectors alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .emit import Emitter, Value, lanes_of, mangle
from .expr import Acc, Const, Expr, Op

_Lower = Callable[[Emitter, Op, list[Value]], Value]


def _float(node: Expr) -> bool:
    return node.dtype.startswith("float")


def _unsigned(dtype: str) -> bool:
    return dtype in ("uint8", "bool")


def _arithmetic(float_op: str, int_op: str) -> _Lower:
    def lower(e: Emitter, node: Op, args: list[Value]) -> Value:
        return getattr(e.builder, float_op if _float(node) else int_op)(*args)

    return lower


def _divide(e: Emitter, node: Op, args: list[Value]) -> Value:
    if _float(node):
        return e.builder.fdiv(*args)
    return e.builder.udiv(*args) if _unsigned(node.dtype) else e.builder.sdiv(*args)


def _muladd(e: Emitter, node: Op, args: list[Value]) -> Value:
    if _float(node):
        return e.muladd(*args)
    return e.builder.add(e.builder.mul(args[0], args[1]), args[2])


def _compare(relation: str) -> _Lower:
    def lower(e: Emitter, node: Op, args: list[Value]) -> Value:
        operand = node.args[0]
        if _float(operand):
            return e.builder.fcmp_ordered(relation, *args)
        compare = e.builder.icmp_unsigned if _unsigned(operand.dtype) else e.builder.icmp_signed
        return compare(relation, *args)

    return lower


def _extremum(relation: str, neon: str) -> _Lower:
    def lower(e: Emitter, node: Op, args: list[Value]) -> Value:
        a, b = args
        other = node.args[1]
        if (
            _float(node)
            and e.target.arch == "aarch64"
            and isinstance(other, Const)
            and other.value == other.value
        ):
            return e.intrinsic(f"llvm.{neon}.{mangle(a.type)}", a.type, [a, b])
        if _float(node):
            test = e.builder.fcmp_ordered(relation, b, a)
        else:
            test = (e.builder.icmp_unsigned if _unsigned(node.dtype) else e.builder.icmp_signed)(
                relation, b, a
            )
        return e.builder.select(test, b, a)

    return lower


def _rounding(name: str) -> _Lower:
    def lower(e: Emitter, node: Op, args: list[Value]) -> Value:
        return e.intrinsic(f"llvm.{name}.{mangle(args[0].type)}", args[0].type, args)

    return lower


def _cast(e: Emitter, node: Op, args: list[Value]) -> Value:
    source, target = node.args[0].dtype, node.dtype
    (value,) = args
    lanes = lanes_of(value)
    to = e.type(target, lanes)
    b = e.builder
    if target == "bool":
        zero = e.constant(0, source, lanes)
        return (
            b.fcmp_unordered("!=", value, zero)
            if source.startswith("float")
            else b.icmp_signed("!=", value, zero)
        )
    if source.startswith("float"):
        if target.startswith("float"):
            return b.fpext(value, to) if target == "float64" else b.fptrunc(value, to)
        kind = "ui" if _unsigned(target) else "si"
        return e.intrinsic(f"llvm.fpto{kind}.sat.{mangle(to)}.{mangle(value.type)}", to, [value])
    if target.startswith("float"):
        return b.uitofp(value, to) if _unsigned(source) else b.sitofp(value, to)
    have, want = e.type(source).width, e.type(target).width
    if have == want:
        return value
    if have > want:
        return b.trunc(value, to)
    return b.zext(value, to) if _unsigned(source) else b.sext(value, to)


def _bitcast(e: Emitter, node: Op, args: list[Value]) -> Value:
    lanes = lanes_of(args[0])
    return e.builder.bitcast(args[0], e.type(node.dtype, lanes))


def _shift_right(e: Emitter, node: Op, args: list[Value]) -> Value:
    return e.builder.lshr(*args) if _unsigned(node.dtype) else e.builder.ashr(*args)


def _plain(method: str) -> _Lower:
    def lower(e: Emitter, node: Op, args: list[Value]) -> Value:
        return getattr(e.builder, method)(*args)

    return lower


LOWER: Mapping[str, _Lower] = {
    "add": _arithmetic("fadd", "add"), "sub": _arithmetic("fsub", "sub"), "mul": _arithmetic("fmul", "mul"), "div": _divide,
    "muladd": _muladd, "min": _extremum("<", "minimum"), "max": _extremum(">", "maximum"),
    "sqrt": _rounding("sqrt"), "floor": _rounding("floor"), "round_even": _rounding("roundeven"),
    "lt": _compare("<"), "le": _compare("<="), "eq": _compare("=="), "select": _plain("select"), "cast": _cast, "bitcast": _bitcast,
    "and": _plain("and_"), "or": _plain("or_"), "xor": _plain("xor"), "shl": _plain("shl"), "shr": _shift_right,
}  # fmt: skip


def combine(e: Emitter, how: str, dtype: str, a: Value, b: Value) -> Value:
    """Two partial results of a reduction as one."""
    if how == "sum":
        return e.builder.fadd(a, b) if dtype.startswith("float") else e.builder.add(a, b)
    operands = (Acc(dtype), Acc(dtype))
    return LOWER[how](e, Op(dtype, how, operands), [a, b])
