"""Expr: what a kernel computes for one element, over some twenty primitives.

An Expr is a directed acyclic graph of frozen nodes; sharing is by identity, so a value that is used twice is computed once.
Interpreters (numpy, LLVM, cost, text) are tables over `PRIMITIVES`.

Floating point: every primitive rounds once, as IEEE 754 says; `muladd` rounds once where the target has a fused multiply-add and twice
elsewhere. ``max(a, b)`` is ``b if b > a else a`` and ``min(a, b)`` is ``b if b < a else a``: a NaN in the first operand stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .index import Bound, Box, Index, Map

PRIMITIVES: Mapping[str, int] = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "muladd": 3, "min": 2, "max": 2, "sqrt": 1, "floor": 1, "round_even": 1,
    "lt": 2, "le": 2, "eq": 2, "select": 3, "cast": 1, "bitcast": 1, "and": 2, "or": 2, "xor": 2, "shl": 2, "shr": 2,
}  # fmt: skip
"""Name and number of operands. Comparisons give bool; `shr` copies the sign of a signed type. `cast` of a float to an integer truncates toward
zero, and what is beyond the type's ends is its end, NaN 0; of an integer to a smaller one it keeps the low bits; to a bool it is ``!= 0``."""


@dataclass(frozen=True, eq=False)
class Expr:
    """A value of one element. Python operators build `add`, `sub`, `mul` and `div`."""

    dtype: str

    @cached_property
    def loads(self) -> tuple[Load | Lookup, ...]:
        """What reads memory here and below, operands first; fusion and scheduling ask for it again and again."""
        return tuple(node for node in walk(self) if isinstance(node, Load | Lookup))

    def __add__(self, other: Expr | float) -> Expr:
        return op("add", self, other)

    def __radd__(self, other: float) -> Expr:
        return op("add", other, self)

    def __sub__(self, other: Expr | float) -> Expr:
        return op("sub", self, other)

    def __rsub__(self, other: float) -> Expr:
        return op("sub", other, self)

    def __mul__(self, other: Expr | float) -> Expr:
        return op("mul", self, other)

    def __rmul__(self, other: float) -> Expr:
        return op("mul", other, self)

    def __truediv__(self, other: Expr | float) -> Expr:
        return op("div", self, other)

    def __rtruediv__(self, other: float) -> Expr:
        return op("div", other, self)

    def __neg__(self) -> Expr:
        return op("sub", -0.0, self) if self.dtype.startswith("float") else op("sub", 0, self)


@dataclass(frozen=True, eq=False)
class Const(Expr):
    """A scalar constant."""

    value: float | int | bool


@dataclass(frozen=True, eq=False)
class Load(Expr):
    """The element of `buffer` at `map`, one Index per logical dimension."""

    buffer: str
    map: Map


@dataclass(frozen=True, eq=False)
class Lookup(Expr):
    """The element of `buffer` at `map`, where the axis number `DYNAMIC` has the value of `index`, which the expression keeps in range."""

    buffer: str
    map: Map
    index: Expr


DYNAMIC = -9
"""Number of the axis that stands for a coordinate computed at run time."""


@dataclass(frozen=True, eq=False)
class Acc(Expr):
    """What the anchor computed for this output element."""


@dataclass(frozen=True, eq=False)
class Nothing(Expr):
    """What a store does not write: outside a Guard at the root of its value."""


NOTHING = Nothing("nothing")


@dataclass(frozen=True, eq=False)
class Op(Expr):
    """A primitive applied to operands."""

    prim: str
    args: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Guard(Expr):
    """`inside` where every bound of `box` holds, else `outside`; `inside` is never evaluated elsewhere."""

    box: Box
    inside: Expr
    outside: Expr


def const(value: float | bool, dtype: str = "float32") -> Const:
    """`value` rounded to `dtype`."""
    return Const(dtype, np.dtype(dtype).type(value).item())


def op(prim: str, *args: Expr | float, dtype: str | None = None) -> Expr:
    """The primitive over `args`; plain numbers take the type of the first Expr among them (after a select's condition)."""
    assert len(args) == PRIMITIVES[prim], f"{prim} takes {PRIMITIVES[prim]} operands"
    typed = args[1:] if prim == "select" else args
    own = next((a.dtype for a in typed if isinstance(a, Expr)), None)
    assert own is not None or dtype is not None, f"{prim} of plain numbers"
    operands = tuple(a if isinstance(a, Expr) else const(a, own or dtype or "float32") for a in args)
    result = "bool" if prim in ("lt", "le", "eq") else dtype or own
    assert result is not None
    return Op(result, prim, operands)


def cast(value: Expr, dtype: str) -> Expr:
    """`value` converted to `dtype`; itself when it has that type."""
    return value if value.dtype == dtype else op("cast", value, dtype=dtype)


def guard(box: Box, inside: Expr, outside: Expr) -> Expr:
    """A Guard without the bounds that always hold; `outside` alone when one never does."""
    if any(bound.verdict is False for bound in box):
        return outside
    open_bounds = tuple(bound for bound in box if bound.verdict is None)
    return Guard(inside.dtype, open_bounds, inside, outside) if open_bounds else inside


def children(expr: Expr) -> tuple[Expr, ...]:
    """The Exprs directly under `expr`."""
    if isinstance(expr, Op):
        return expr.args
    if isinstance(expr, Guard):
        return expr.inside, expr.outside
    return (expr.index,) if isinstance(expr, Lookup) else ()


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every node under `roots` once, operands before their users."""
    entered: set[int] = set()
    left: set[int] = set()
    stack = [*reversed(roots)]
    while stack:
        expr = stack[-1]
        if id(expr) not in entered:
            entered.add(id(expr))
            stack += reversed(children(expr))
            continue
        stack.pop()
        if id(expr) not in left:
            left.add(id(expr))
            yield expr


def rewrite(
    expr: Expr,
    leaf: Callable[[Expr], Expr | None] | None = None,
    change: Callable[[Index], Index] | None = None,
    bound: Callable[[Bound], Bound] | None = None,
) -> Expr:
    """`expr` with what reads memory, and what the anchor computed, replaced by `leaf(node)` (None keeps one), every Index by `change(index)` and every bound of
    a guard by `bound(bound)`; sharing is kept."""
    done: dict[int, Expr] = {}
    for node in walk(expr):
        rebuilt = _rebuild(node, done, change, bound)
        new = leaf(rebuilt) if leaf is not None and isinstance(rebuilt, Load | Lookup | Acc) else None
        done[id(node)] = rebuilt if new is None else new
    return done[id(expr)]


def _rebuild(
    node: Expr,
    done: Mapping[int, Expr],
    change: Callable[[Index], Index] | None,
    bound: Callable[[Bound], Bound] | None,
) -> Expr:
    match node:
        case Op(dtype, prim, args):
            new = tuple(done[id(a)] for a in args)
            return node if all(a is b for a, b in zip(new, args, strict=True)) else Op(dtype, prim, new)
        case Guard(_, box, inside, outside):
            if change is not None:
                box = tuple(Bound(change(b.index), b.lo, b.hi) for b in box)
            if bound is not None:
                box = tuple(map(bound, box))
            return guard(box, done[id(inside)], done[id(outside)])
        case Load(dtype, buffer, where) if change is not None:
            return Load(dtype, buffer, tuple(change(index) for index in where))
        case Lookup(dtype, buffer, where, index):
            moved = where if change is None else tuple(change(i) for i in where)
            same = change is None and done[id(index)] is index
            return node if same else Lookup(dtype, buffer, moved, done[id(index)])
    return node


def substitute(expr: Expr, axes: Mapping[int, Index]) -> Expr:
    """`expr` seen from other axes: those in `axes` replaced by an Index."""
    return rewrite(expr, change=lambda index: index.substitute(axes))


def merged(*roots: Expr) -> list[Expr]:
    """The roots with equal nodes made one, also of different roots."""
    known: dict[tuple[object, ...], Expr] = {}
    done: dict[int, Expr] = {}
    for node in walk(*roots):
        rebuilt = _rebuild(node, done, None, None)
        done[id(node)] = known.setdefault(_contents(rebuilt), rebuilt)
    return [done[id(root)] for root in roots]


def _contents(node: Expr) -> tuple[object, ...]:
    """What two nodes have in common that are equal, their operands being the same objects; zeros of either sign are not equal, a NaN is."""
    match node:
        case Const(dtype, value):
            return Const, dtype, repr(value)
        case Load(dtype, buffer, where):
            return Load, dtype, buffer, where
        case Lookup(dtype, buffer, where, index):
            return Lookup, dtype, buffer, where, id(index)
        case Op(dtype, prim, args):
            return Op, dtype, prim, *map(id, args)
        case Guard(dtype, box, inside, outside):
            return Guard, dtype, box, id(inside), id(outside)
    return type(node), node.dtype


def loads(*roots: Expr) -> list[Load | Lookup]:
    """What reads memory under `roots`, operands first."""
    return list({id(load): load for root in roots for load in root.loads}.values())


def text(*roots: Expr) -> str:
    """Canonical text: one line per node that is shared or a root, equal for equal expressions."""
    uses: dict[int, int] = {}
    order = list(walk(*roots))
    for node in order:
        for child in children(node):
            uses[id(child)] = uses.get(id(child), 0) + 1
    names: dict[int, str] = {}
    lines: list[str] = []
    for node in order:
        line = _line(node, names)
        if uses.get(id(node), 0) > 1 and children(node):
            lines.append(f"t{len(lines)} = {line}")
            names[id(node)] = f"t{len(lines) - 1}"
        else:
            names[id(node)] = line
    return "\n".join(lines + [names[id(root)] for root in roots])


def _line(node: Expr, names: Mapping[int, str]) -> str:
    match node:
        case Const(dtype, value):
            return f"{value!r}" if dtype == "float32" else f"{value!r}:{dtype}"
        case Load(dtype, buffer, where):
            return f"{buffer}[{', '.join(map(str, where))}]" + ("" if dtype == "float32" else f":{dtype}")
        case Lookup(dtype, buffer, where, index):
            kind = "" if dtype == "float32" else f":{dtype}"
            return f"{buffer}[{', '.join(map(str, where))} by {names[id(index)]}]{kind}"
        case Acc():
            return "acc"
        case Nothing():
            return "nothing"
        case Op(dtype, prim, args):
            kind = f"<{dtype}>" if prim in ("cast", "bitcast") else ""
            return f"{prim}{kind}({', '.join(names[id(a)] for a in args)})"
        case Guard(_, box, inside, outside):
            return f"guard({' & '.join(map(str, box))} ? {names[id(inside)]} : {names[id(outside)]})"
    raise AssertionError(f"no text for {type(node).__name__}")


def cost(*roots: Expr) -> int:
    """Primitive operations for one element; a division or root counts 8, a load 1."""
    weight = {"div": 8, "sqrt": 8}
    total = 0
    for node in walk(*roots):
        total += weight.get(node.prim, 1) if isinstance(node, Op) else isinstance(node, Load | Lookup)
    return total
