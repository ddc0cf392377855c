"""The numpy meaning of every primitive, of Guards and of sharing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusekit.compiler.expr import (
    PRIMITIVES,
    Acc,
    Const,
    Expr,
    Guard,
    Load,
    Op,
    cast,
    const,
    guard,
    merged,
    op,
    walk,
)
from fusekit.compiler.index import Axis, Bound, Index
from fusekit.compiler.interpret_expr import NUMPY, evaluate

Array = np.ndarray[Any, Any]
Y, X = Axis(0, 4), Axis(1, 5)


def value(prim: str, *operands: Array, dtype: str | None = None) -> Array:
    """The primitive applied to arrays."""
    loads = [Load(a.dtype.name, str(i), ()) for i, a in enumerate(operands)]
    return evaluate(op(prim, *loads, dtype=dtype), lambda load, _: operands[int(load.buffer)], no_axis)


def no_axis(number: int) -> Array:
    raise AssertionError(f"axis {number}")


def floats(*values: float) -> Array:
    return np.array(values, np.float32)


def integers(*values: int) -> Array:
    return np.array(values, np.int32)


def test_every_primitive_has_a_meaning() -> None:
    assert set(NUMPY) == set(PRIMITIVES)


NAN = float("nan")
INF = float("inf")

CASES: list[tuple[str, tuple[Array, ...], Array]] = [
    ("add", (floats(1, INF), floats(2, -INF)), floats(3, NAN)),
    ("sub", (floats(1, 0), floats(2, 0)), floats(-1, 0)),
    ("mul", (floats(3, INF), floats(2, 0)), floats(6, NAN)),
    ("div", (floats(1, 1, 0), floats(3, 0, 0)), floats(1 / 3, INF, NAN)),
    ("div", (integers(7, -7, 7, -7), integers(2, 2, -2, -2)), integers(3, -3, -3, 3)),
    ("min", (floats(1, NAN, 1, -0.0), floats(2, 1, NAN, 0.0)), floats(1, NAN, 1, -0.0)),
    ("max", (floats(1, NAN, 1, 0.0), floats(2, 1, NAN, -0.0)), floats(2, NAN, 1, 0.0)),
    ("sqrt", (floats(4, -1),), floats(2, NAN)),
    ("floor", (floats(1.5, -1.5),), floats(1, -2)),
    ("round_even", (floats(0.5, 1.5, -0.5, 2.5),), floats(0, 2, -0.0, 2)),
    ("lt", (floats(1, 2, NAN), floats(2, 2, 2)), np.array([True, False, False])),
    ("le", (floats(1, 2, NAN), floats(2, 2, 2)), np.array([True, True, False])),
    ("eq", (floats(1, 2, NAN), floats(2, 2, NAN)), np.array([False, True, False])),
    ("select", (np.array([True, False]), floats(1, 2), floats(3, 4)), floats(1, 4)),
    ("and", (integers(12, -1), integers(10, 7)), integers(8, 7)),
    ("or", (integers(12, 0), integers(10, 7)), integers(14, 7)),
    ("xor", (np.array([True, True]), np.array([True, False])), np.array([False, True])),
    ("shl", (integers(3, -1), integers(4, 23)), integers(48, -(1 << 23))),
    ("shr", (integers(48, -16), integers(4, 2)), integers(3, -4)),
]


@pytest.mark.parametrize(
    ("prim", "operands", "want"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)]
)
def test_primitive(prim: str, operands: tuple[Array, ...], want: Array) -> None:
    got = value(prim, *operands)
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)
    if want.dtype.kind == "f":
        np.testing.assert_array_equal(np.signbit(got)[want == 0], np.signbit(want)[want == 0])


def test_casts_truncate_toward_zero_and_bitcasts_keep_the_bits() -> None:
    np.testing.assert_array_equal(value("cast", floats(1.9, -1.9), dtype="int32"), integers(1, -1))
    np.testing.assert_array_equal(
        value("bitcast", floats(1.0, -0.0), dtype="int32"), integers(0x3F800000, -(1 << 31))
    )
    np.testing.assert_array_equal(value("bitcast", integers(0x40000000), dtype="float32"), floats(2))
    np.testing.assert_array_equal(
        value("bitcast", np.broadcast_to(floats(2), (2, 3)), dtype="int32"), [[1 << 30] * 3] * 2
    )


def test_muladd_rounds_once() -> None:
    a = np.float32(1 + 2**-12)
    assert value("muladd", a.reshape(1), a.reshape(1), floats(-1))[0] == np.float32(2**-11 + 2**-24)


def test_arithmetic_is_in_the_type_of_the_operands() -> None:
    third = value("div", floats(1), floats(3))
    assert value("mul", third, floats(3))[0] == np.float32(np.float32(1) / np.float32(3)) * np.float32(3)
    assert value("add", np.array([2**31 - 1], np.int32), integers(1))[0] == -(2**31)


def test_accumulator_and_constants() -> None:
    got = evaluate(Acc("float32") + 1.5, lambda load, axis: no_axis(0), no_axis, floats(1, 2))
    np.testing.assert_array_equal(got, floats(2.5, 3.5))
    assert evaluate(const(0.1), lambda load, axis: no_axis(0), no_axis).dtype == np.float32
    assert evaluate(cast(const(True, "bool"), "float32"), lambda load, axis: no_axis(0), no_axis) == 1.0


def grid() -> Any:
    values = {0: np.arange(Y.extent).reshape(-1, 1), 1: np.arange(X.extent).reshape(1, -1)}
    return lambda number: values[number]


def strict_loader(buffers: dict[str, Array]) -> Any:
    """Reads a Load and fails where an index is outside its buffer."""

    def load(node: Load, axis: Any) -> Array:
        array = buffers[node.buffer]
        where = tuple(np.asarray(index.evaluate(axis)) for index in node.map)
        for index, extent in zip(where, array.shape, strict=True):
            assert index.min() >= 0 and index.max() < extent, f"{node.buffer} is read out of range"
        return np.asarray(array[where])

    return load


def test_a_guard_reads_only_inside_its_box() -> None:
    buffer = np.arange(6, dtype=np.float32).reshape(2, 3)
    y, x = Index.of(Y) + -1, Index.of(X) + -1
    inside = Load("float32", "b", (y, x))
    expr = guard((Bound(y, 0, 2), Bound(x, 0, 3)), inside, const(-1.0))
    got = evaluate(expr, strict_loader({"b": buffer}), grid())
    np.testing.assert_array_equal(got, np.pad(buffer, 1, constant_values=-1))


def test_a_guard_whose_bounds_share_axes() -> None:
    """The diagonal band 0 <= x - y < 2 of a matrix, read from a buffer that has room for nothing else."""
    buffer = np.arange(8, dtype=np.float32).reshape(4, 2)
    difference = Index.of(X) + Index.of(Y) * -1
    inside = Load("float32", "b", (Index.of(Y), difference))
    expr = guard((Bound(difference, 0, 2), Bound(Index.of(X), 0, 4)), inside, const(0.0))
    got = evaluate(expr, strict_loader({"b": buffer}), grid())
    want = [[buffer[y, x - y] if 0 <= x - y < 2 and x < 4 else 0 for x in range(5)] for y in range(4)]
    np.testing.assert_array_equal(got, want)


def test_nested_guards_as_in_a_concatenation_of_padded_parts() -> None:
    a, b = np.full((2, 5), 2, np.float32), np.full((1, 5), 3, np.float32)
    y, x = Index.of(Y), Index.of(X)
    second = guard((Bound(y, 2, 3),), Load("float32", "b", (y + -2, x)), const(9.0))
    expr = guard((Bound(y, 0, 2),), Load("float32", "a", (y, x)), second)
    got = evaluate(expr * 2.0, strict_loader({"a": a, "b": b}), grid())
    np.testing.assert_array_equal(got, np.repeat([[4.0], [4.0], [6.0], [18.0]], 5, axis=1))


def test_a_guard_that_never_holds_reads_nothing() -> None:
    y = Index.of(Y)
    expr = Guard("float32", (Bound(y, 7, 9),), Load("float32", "b", (y,)), const(5.0))
    got = evaluate(expr, strict_loader({}), grid())
    assert np.all(got == 5.0)


def test_shared_operands_are_evaluated_once() -> None:
    reads: list[str] = []

    def load(node: Load, _: Any) -> Array:
        reads.append(node.buffer)
        return floats(1, 2)

    expr: Expr = Load("float32", "x", ())
    for _ in range(60):
        expr = expr * 0.5 + expr * 0.5
    np.testing.assert_array_equal(evaluate(expr, load, no_axis), floats(1, 2))
    assert reads == ["x"]


def test_a_loader_of_the_wrong_type_is_caught() -> None:
    with pytest.raises(AssertionError, match="Load of float32 gave int64"):
        evaluate(Load("float32", "x", ()), lambda node, axis: np.array([1]), no_axis)


def test_constants_have_their_type() -> None:
    assert evaluate(Const("int32", 7), lambda node, axis: no_axis(0), no_axis).dtype == np.int32


def test_outside_of_a_guard_is_not_read_where_the_guard_holds() -> None:
    index = Index.of(X)
    first = Load("float32", "first", (index,))
    second = Load("float32", "second", (index + -2,))
    joined = guard((Bound(index, 0, 2),), first, second)
    arrays = {"first": floats(1, 2), "second": floats(3, 4, 5)}

    def load(node: Load, axis: Any) -> Array:
        where = node.map[0].evaluate(axis)
        assert where.min() >= 0
        return np.asarray(arrays[node.buffer][where])

    np.testing.assert_array_equal(evaluate(joined, load, lambda _: np.arange(5)), floats(1, 2, 3, 4, 5))


def test_equal_nodes_of_several_roots_become_one() -> None:
    def sum_and(number: float) -> Expr:
        box = (Bound(Index.of(Y), 1, 3),)
        read = guard(box, Load("float32", "x", (Index.of(Y),)), const(0.0))
        return op("max", op("add", read, read), number)

    one, same, other = roots = [sum_and(1.0), sum_and(1.0), sum_and(2.0)]
    assert not {id(node) for node in walk(one)} & {id(node) for node in walk(other)}
    one, same, other = merged(*roots)
    assert one is same
    shared = {id(node) for node in walk(one)} & {id(node) for node in walk(other)}
    assert [type(node) for node in walk(one) if id(node) in shared] == [Load, Const, Guard, Op]


def test_only_what_is_the_same_is_merged() -> None:
    x, y = Load("float32", "x", ()), Load("float32", "x", ())
    pairs = [
        (const(0.0), const(-0.0), False),
        (const(NAN), const(NAN), True),
        (const(1.0), const(1.0, "float64"), False),
        (x, y, True),
        (x, Load("float32", "y", ()), False),
        (op("sub", x, const(1.0)), op("sub", const(1.0), y), False),
        (cast(x, "int32"), cast(y, "int32"), True),
        (cast(x, "int32"), cast(y, "int64"), False),
    ]
    for left, right, equal in pairs:
        a, b = merged(left, right)
        assert (a is b) is equal, (left, right)
