"""Expr in numpy: what an expression is worth at many points at once, one table entry per primitive."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .expr import DYNAMIC, Acc, Const, Expr, Guard, Load, Lookup, Op, children
from .index import Bound

Array = np.ndarray[Any, Any]
AxisValues = Callable[[int], Array]
Loader = Callable[[Load, AxisValues], Array]
Rule = Callable[..., Array]


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.asarray(np.divide(a, b))
    # Machine division truncates; numpy's rounds down.
    quotient = np.floor_divide(a, b)
    inexact = np.not_equal(quotient * b, a)
    return np.asarray(quotient + (inexact & (np.less(a, 0) != np.less(b, 0))).astype(a.dtype))


def _muladd(a: Array, b: Array, c: Array) -> Array:
    # The product of two float32 is exact in float64; the second rounding of the sum moves the result in one case of 2**29.
    wide = np.float64 if a.dtype == np.float32 else a.dtype
    return np.asarray(a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(a.dtype)


def _cast(a: Array, dtype: str) -> Array:
    if a.dtype.kind != "f" or dtype == "bool" or dtype.startswith("float"):
        return a.astype(dtype)
    limits = np.iinfo(dtype)
    # Both ends as floats: the upper one may round up to a number that the type does not have.
    low, high = a.dtype.type(limits.min), a.dtype.type(limits.max)
    inside = np.where((low <= a) & (a < high), a, 0).astype(dtype)
    return np.where(a >= high, limits.max, np.where(a < low, limits.min, inside)).astype(dtype)


def _select(condition: Array, a: Array, b: Array) -> Array:
    return np.where(condition, a, b)


NUMPY: Mapping[str, Rule] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": _divide,
    "muladd": _muladd,
    "min": lambda a, b: _select(np.less(b, a), b, a),
    "max": lambda a, b: _select(np.greater(b, a), b, a),
    "sqrt": np.sqrt,
    "floor": np.floor,
    "round_even": np.rint,
    "lt": np.less,
    "le": np.less_equal,
    "eq": np.equal,
    "select": _select,
    "cast": _cast,
    "bitcast": lambda a, dtype: np.ascontiguousarray(a).view(dtype).reshape(a.shape),
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
}
"""Primitive name to its meaning on arrays; `cast` and `bitcast` also take the result's type."""


def evaluate(expr: Expr, load: Loader, axis: AxisValues, acc: Array | None = None) -> Array:
    """`expr` at the points where loop axis `i` has the values ``axis(i)``, arrays that broadcast with each other.

    `load` gives the elements a Load reads at the axis values that it is passed, which may differ from `axis`: inside a Guard the points
    outside its box are moved to one inside, and outside those inside to one outside, so that no Load leaves its buffer. `acc` is what the anchor computed at the points.
    """
    with np.errstate(all="ignore"):
        return _evaluate(expr, load, axis, acc)


def _evaluate(expr: Expr, load: Loader, axis: AxisValues, acc: Array | None) -> Array:
    done: dict[int, Array] = {}
    for node in _operands_first(expr):
        match node:
            case Const(dtype, value):
                result = np.asarray(value, dtype)
            case Load():
                result = load(node, axis)
            case Lookup(dtype, buffer, where, index):
                result = load(Load(dtype, buffer, where), _with_dynamic(axis, done[id(index)]))
            case Acc():
                assert acc is not None, "Acc outside an epilogue"
                result = acc
            case Op(dtype, prim, args):
                extra = (dtype,) if prim in ("cast", "bitcast") else ()
                result = np.asarray(NUMPY[prim](*(done[id(a)] for a in args), *extra))
            case Guard():
                result = _guarded(node, load, axis, acc)
            case _:
                raise AssertionError(f"no rule for {type(node).__name__}")
        assert result.dtype == node.dtype, f"{type(node).__name__} of {node.dtype} gave {result.dtype}"
        done[id(node)] = result
    return done[id(expr)]


def _with_dynamic(axis: AxisValues, index: Array) -> AxisValues:
    return lambda number: index if number == DYNAMIC else axis(number)


def _operands_first(root: Expr) -> Iterator[Expr]:
    """The nodes under `root` that are evaluated at its own points: all but what is under a Guard."""
    seen: set[int] = set()
    stack = [(root, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            if not isinstance(node, Guard):
                stack += [(child, False) for child in children(node)]


def _guarded(node: Guard, load: Loader, axis: AxisValues, acc: Array | None) -> Array:
    """`node`: what is inside evaluated with the points outside its box moved into it, what is outside with the others moved out.

    Bounds that share axes are taken together, bounds that do not are kept apart: a pad in two dimensions then moves rows and columns
    separately and the axis arrays stay as thin as they were.
    """
    holds: Array = np.asarray(True)
    moved: dict[int, Array] = {}
    for axes, bounds in _by_axes(node.box):
        mask: Array = np.asarray(True)
        for bound in bounds:
            index = bound.index.evaluate(axis)
            mask = mask & (bound.lo <= index) & (index < bound.hi)
        if mask.any():
            moved |= _moved(axes, mask, axis)
        holds = holds & mask
    if holds.all():
        return _evaluate(node.inside, load, axis, acc)
    away = {} if isinstance(node.outside, Const) else _moved(moved, ~holds, axis)
    outside = _evaluate(node.outside, load, lambda i: away[i] if i in away else axis(i), acc)
    if not holds.any():
        return outside
    inside = _evaluate(node.inside, load, lambda i: moved[i] if i in moved else axis(i), acc)
    return np.where(holds, inside, outside)


def _moved(axes: Iterable[int], mask: Array, axis: AxisValues) -> dict[int, Array]:
    """Values of `axes` with the points where `mask` does not hold moved to the first where it does."""
    moved = {}
    for number in axes:
        values, where = np.broadcast_arrays(axis(number), mask)
        moved[number] = np.where(where, values, values[where].flat[0])
    return moved


def _by_axes(box: tuple[Bound, ...]) -> list[tuple[frozenset[int], list[Bound]]]:
    """The bounds of `box` in groups that have no axis in common."""
    groups: list[tuple[frozenset[int], list[Bound]]] = []
    for bound in box:
        axes, bounds = bound.index.axes, [bound]
        for other in [g for g in groups if g[0] & axes]:
            groups.remove(other)
            axes, bounds = axes | other[0], other[1] + bounds
        groups.append((axes, bounds))
    return groups
