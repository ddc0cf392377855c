"""Expr to LLVM: a table over the primitives, and loads by the shape of their address along the vector axis.

All addresses are flat by now: a Load has one Index, the element number in its buffer.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from .emit import Coord, Emitter, Value
from .expr import DYNAMIC, Acc, Const, Expr, Guard, Load, Lookup, Nothing, Op, loads, walk
from .index import Axis, Bound, Index
from .lower_primitive import LOWER


@dataclass(frozen=True)
class Point:
    """Where an Expr is evaluated: a coordinate per axis, and `lanes` consecutive values of the axis `lane`."""

    coords: Mapping[int, Coord]
    lane: int | None = None
    lanes: int = 1

    def at(self, axis: int, coord: Coord) -> Point:
        """The same point with `axis` at `coord`."""
        return replace(self, coords={**self.coords, axis: coord})

    def over(self, axis: int, lanes: int) -> Point:
        """The same point, reading `lanes` values of `axis` at once."""
        return replace(self, lane=axis if lanes > 1 else None, lanes=lanes)


Loaded = Callable[[Load], Value | None]
"""What a Load gives at the point of an evaluation, where that is known."""


@dataclass(frozen=True)
class Lowering:
    """Evaluates Exprs of one kernel: knows where its buffers are and how many elements each holds."""

    emitter: Emitter
    pointers: Mapping[str, Value]
    sizes: Mapping[str, int]

    def evaluate(self, expr: Expr, point: Point, acc: Value | None = None) -> Value:
        """The value of `expr` at `point`: a vector of its lanes, a scalar for one lane."""
        return _Evaluation(self, point, acc, None).value(expr)

    def written(
        self, exprs: Sequence[Expr], point: Point, acc: Value | None, loaded: Loaded | None = None
    ) -> Iterator[Value | None]:
        """The values of Exprs that have parts in common, each made when asked for; None for one that is NOTHING at `point`. `loaded` gives Loads that are there already."""
        evaluation = _Evaluation(self, point, acc, None, loaded)
        return map(evaluation.written, exprs)

    def store(self, value: Value, dtype: str, buffer: str, address: Index, point: Point) -> None:
        """Write `value` to `buffer`: one vector store where the lanes are adjacent, else lane by lane."""
        e = self.emitter
        step = lane_step(address, point)
        if point.lanes == 1 or step == 1:
            e.store(value, e.address(self.pointers[buffer], dtype, coordinate(e, address, point)), dtype)
            return
        for number in range(point.lanes):
            where = coordinate(e, address, lane_point(point, number))
            e.store(e.extract(value, number), e.address(self.pointers[buffer], dtype, where), dtype)


def lane_point(point: Point, number: int) -> Point:
    """The single lane `number` of `point`."""
    if point.lane is None:
        return point
    return Point({**point.coords, point.lane: point.coords[point.lane] + number})


def coordinate(e: Emitter, index: Index, point: Point) -> Coord:
    """`index` at the first lane of `point`."""
    total = Coord.at(index.const)
    for term in index.terms:
        inner = (
            point.coords[term.inner.id] if isinstance(term.inner, Axis) else coordinate(e, term.inner, point)
        )
        total = total + _divided(e, inner, term.div, term.mod) * term.scale
    return total


def _divided(e: Emitter, inner: Coord, div: int, mod: int) -> Coord:
    if div == 1 and (mod == 0 or (0 <= inner.lo and inner.hi < mod)):
        return inner
    if inner.static:
        value = inner.const // div
        return Coord.at(value % mod if mod else value)
    if inner.lo < 0:  # machines divide towards zero: so many whole periods further up, where that is the same
        period = div * (mod or 1)
        up = -(inner.lo // period) * period
        return _divided(e, inner + up, div, mod) + (0 if mod else -(up // div))
    plain = all(f % div == 0 for _, f in inner.terms)
    known = mod == 0 and inner.const % div == 0 and inner.lo >= inner.const > 0
    if div != 1 and inner.align % div == 0 and (plain or known):
        # what moves is a multiple of `div`, and so is the constant, which stays known: columns and vectors of a block are apart by it
        terms = tuple((v, f // div) for v, f in inner.terms)
        if not plain:
            moving = e.materialise(inner + -inner.const)
            terms = ((e.builder.udiv(moving, e.i64(div), flags=["exact"]), 1),)
        quotient = Coord(inner.const // div, terms, inner.lo // div, inner.hi // div, inner.align // div)
        return _divided(e, quotient, 1, mod)
    value = e.materialise(inner)
    lo, hi = inner.lo // div, inner.hi // div
    if div != 1:
        value = e.builder.udiv(value, e.i64(div))
    if mod and not hi < mod:
        value = e.builder.urem(value, e.i64(mod))
        lo, hi = 0, mod - 1
    return Coord(0, ((value, 1),), lo, hi, 1)


def lane_step(index: Index, point: Point) -> int | None:
    """How far `index` moves from one lane of `point` to the next; None where that differs between lanes."""
    if point.lane is None:
        return 0
    total = 0
    for term in index.terms:
        if isinstance(term.inner, Axis):
            if term.inner.id != point.lane:
                continue
            inner: int | None = 1
            base = point.coords[point.lane]
        else:
            inner = lane_step(term.inner, point)
            if inner == 0:
                continue
            if term.div != 1 or term.mod:
                return None
            base = Coord.at(0)
        if inner is None:
            return None
        if term.div == 1 and (term.mod == 0 or (0 <= base.lo and base.hi + point.lanes <= term.mod)):
            total += inner * term.scale
            continue
        first = base.align == 0 or base.align % (term.div * (term.mod or 1)) == 0
        if base.static or first:
            values = [(base.const + i) // term.div % (term.mod or 1 << 62) for i in range(point.lanes)]
        elif base.align % term.div == 0 and base.const % term.div + point.lanes <= term.div:
            values = [0] * point.lanes
        else:
            return None
        steps = {b - a for a, b in itertools.pairwise(values)}
        if len(steps) > 1:
            return None
        total += next(iter(steps)) * term.scale
    return total


Clamp = Literal["whole", "lane"] | None
"""Under a guard that is decided at run time, for all lanes together or for each: addresses are forced into their buffers."""


class _Evaluation:
    """One pass over an Expr at one point; shared nodes are emitted once."""

    def __init__(
        self, lowering: Lowering, point: Point, acc: Value | None, clamp: Clamp, loaded: Loaded | None = None
    ) -> None:
        self.lowering, self.point, self.acc, self.clamp = lowering, point, acc, clamp
        self.loaded = loaded
        self.e = lowering.emitter
        self.done: dict[int, Value] = {}

    def value(self, root: Expr) -> Value:
        for node in self._needed(root):
            if id(node) not in self.done:
                self.done[id(node)] = self._emit(node)
        return self.done[id(root)]

    def written(self, root: Expr) -> Value | None:
        """The value of a store's Expr; None where it is outside a Guard that nothing is written beyond."""
        if isinstance(root, Guard) and isinstance(root.outside, Nothing):
            verdicts = {bound_verdict(self.e, bound, self.point) for bound in root.box}
            assert None not in verdicts, "a loop is split where a store begins or ends"
            return self.value(root.inside) if verdicts == {True} else None
        return self.value(root)

    def _needed(self, root: Expr) -> list[Expr]:
        """Nodes in evaluation order, without descending into guards: those decide what they evaluate."""
        order: list[Expr] = []
        seen: set[int] = set()
        stack: list[tuple[Expr, bool]] = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif id(node) not in seen:
                seen.add(id(node))
                stack.append((node, True))
                if isinstance(node, Op):
                    stack += [(a, False) for a in reversed(node.args)]
        return order

    def _emit(self, node: Expr) -> Value:
        lanes = self.point.lanes
        match node:
            case Const(dtype, value):
                return self.e.constant(value, dtype, lanes)
            case Acc():
                assert self.acc is not None, "no accumulator here"
                return self.acc
            case Load(dtype, buffer, (address,)):
                there = self.loaded(node) if self.loaded else None
                return self._load(dtype, buffer, address) if there is None else there
            case Lookup():
                return self._lookup(node)
            case Op(dtype, prim, args):
                return LOWER[prim](self.e, node, [self.done[id(a)] for a in args])
            case Guard(dtype, box, inside, outside):
                return self._guard(dtype, box, inside, outside)
        raise AssertionError(f"cannot lower {node}")

    def _load(self, dtype: str, buffer: str, address: Index) -> Value:
        e, point = self.e, self.point
        step = lane_step(address, point)
        if step is None or step < 0 or (self.clamp == "lane" and step):
            return e.gather(
                [self._element(dtype, buffer, address, lane_point(point, i)) for i in range(point.lanes)]
            )
        where = self._inside_buffer(buffer, coordinate(e, address, point), step * (point.lanes - 1))
        if where is None:
            return e.gather(
                [self._element(dtype, buffer, address, lane_point(point, i)) for i in range(point.lanes)]
            )
        pointer = self.lowering.pointers[buffer]
        if step == 0:
            return e.splat(e.load(e.address(pointer, dtype, where), dtype), point.lanes)
        if step == 1:
            return e.load(e.address(pointer, dtype, where), dtype, point.lanes)
        return e.gather(
            [e.load(e.address(pointer, dtype, where + step * i), dtype) for i in range(point.lanes)]
        )

    def _lookup(self, node: Lookup) -> Value:
        """All lanes at one run-time coordinate where it does not depend on the lane, else each at its own."""
        used = [i for load in loads(node.index) for i in load.map] + [
            b.index for g in walk(node.index) if isinstance(g, Guard) for b in g.box
        ]
        if all(lane_step(index, self.point) == 0 for index in used):
            return self._at_dynamic(node, self.point)
        return self.e.gather(
            [self._at_dynamic(node, lane_point(self.point, i)) for i in range(self.point.lanes)]
        )

    def _at_dynamic(self, node: Lookup, point: Point) -> Value:
        single = Point(point.coords)
        index = _Evaluation(self.lowering, single, None, self.clamp).value(node.index)
        (address,) = node.map
        at = point.at(DYNAMIC, self.e.coord(index, 0, 1 << 31))
        return _Evaluation(self.lowering, at, None, self.clamp)._load(node.dtype, node.buffer, address)

    def _element(self, dtype: str, buffer: str, address: Index, point: Point) -> Value:
        where = self._inside_buffer(buffer, coordinate(self.e, address, point), 0)
        assert where is not None
        return self.e.load(self.e.address(self.lowering.pointers[buffer], dtype, where), dtype)

    def _inside_buffer(self, buffer: str, where: Coord, reach: int) -> Coord | None:
        """`where`, forced into the buffer if its guard may not hold, `reach` elements behind it included; None for a buffer that is too small."""
        if self.clamp is None:
            return where
        e, last = self.e, self.lowering.sizes[buffer] - 1 - reach
        if last < 0:
            return None
        if where.static:
            return Coord.at(min(max(where.const, 0), last))
        if 0 <= where.lo and where.hi <= last:
            return where
        return e.coord(e.minimum(e.maximum(e.materialise(where), 0), last), 0, last)

    def _guard(self, dtype: str, box: tuple[Bound, ...], inside: Expr, outside: Expr) -> Value:
        verdicts = [(bound, bound_verdict(self.e, bound, self.point)) for bound in box]
        if any(v is False for _, v in verdicts):
            return self.value(outside)
        undecided = [bound for bound, v in verdicts if v is None]
        if not undecided:
            return self.value(inside)
        runs = self._runs(undecided)
        if runs is not None:
            return self._by_runs(
                [(first, lanes, inside if holds else outside) for first, lanes, holds in runs]
            )
        uniform = self.clamp != "lane" and all(lane_step(b.index, self.point) == 0 for b in undecided)
        either = _Evaluation(self.lowering, self.point, self.acc, "whole" if uniform else "lane")
        return self.e.builder.select(self._mask(undecided), either.value(inside), either.value(outside))

    def _runs(self, undecided: list[Bound]) -> list[tuple[int, int, bool]] | None:
        """(first lane, lanes, whether they are inside) of lanes next to each other, by bounds that hold for some lanes and not for others; None where a lane is not decided."""
        verdicts: list[bool] = []
        for number in range(self.point.lanes):
            each = {bound_verdict(self.e, bound, lane_point(self.point, number)) for bound in undecided}
            if False not in each and None in each:
                return None
            verdicts.append(False not in each)
        runs, first = [], 0
        for inside, group in itertools.groupby(verdicts):
            lanes = sum(1 for _ in group)
            runs.append((first, lanes, inside))
            first += lanes
        return runs

    def _by_runs(self, parts: list[tuple[int, int, Expr]]) -> Value:
        """One vector of Exprs that each give so many lanes from a first one on: all lanes together."""
        e, point = self.e, self.point
        whole: Value | None = None
        for first, lanes, expr in parts:
            value = e.widened(self._at_lanes(first, lanes).value(expr), point.lanes)
            order = [*range(first), *range(point.lanes, 2 * point.lanes - first)]
            whole = value if whole is None else e.shuffled(whole, value, order)
        return whole

    def _at_lanes(self, first: int, lanes: int) -> _Evaluation:
        """The evaluation at `lanes` of the lanes. Loads are its own: those that are there already were made for all lanes, of which some may be outside a buffer."""
        point, acc = self.point, self.acc
        assert point.lane is not None, "a single lane has no parts"
        here = point.at(point.lane, point.coords[point.lane] + first).over(point.lane, lanes)
        own = None if acc is None else self.e.shuffled(acc, acc, range(first, first + lanes))
        return _Evaluation(self.lowering, here, own, self.clamp)

    def _mask(self, bounds: list[Bound]) -> Value:
        """Which lanes are inside; one i1 for all where the bounds do not depend on the lane."""
        point = self.point
        if all(lane_step(bound.index, point) == 0 for bound in bounds):
            return self._inside(bounds, point)
        return self.e.gather([self._inside(bounds, lane_point(point, i)) for i in range(point.lanes)])

    def _inside(self, bounds: list[Bound], point: Point) -> Value:
        e = self.e
        result = None
        for bound in bounds:
            where = coordinate(e, bound.index, point)
            value = e.materialise(where)
            for relation, limit, needed in (
                (">=", bound.lo, where.lo < bound.lo),
                ("<", bound.hi, where.hi >= bound.hi),
            ):
                if needed:
                    test = e.builder.icmp_signed(relation, value, e.i64(limit))
                    result = test if result is None else e.builder.and_(result, test)
        return e.constant(True, "bool") if result is None else result


def bound_verdict(e: Emitter, bound: Bound, point: Point) -> bool | None:
    """Whether a bound holds at every lane of `point`, at none, or neither is known."""
    lo, hi = _range(bound.index, point)
    if bound.lo <= lo and hi < bound.hi:
        return True
    return False if hi < bound.lo or lo >= bound.hi else None


def _range(index: Index, point: Point) -> tuple[int, int]:
    lo = hi = index.const
    for term in index.terms:
        if isinstance(term.inner, Axis):
            coord = point.coords[term.inner.id]
            low, high = coord.lo, coord.hi + (point.lanes - 1 if term.inner.id == point.lane else 0)
        else:
            low, high = _range(term.inner, point)
        low, high = low // term.div, high // term.div
        if term.mod and low // term.mod != high // term.mod:
            low, high = 0, term.mod - 1
        elif term.mod:
            low, high = low % term.mod, high % term.mod
        ends = sorted((low * term.scale, high * term.scale))
        lo, hi = lo + ends[0], hi + ends[1]
    return lo, hi


def split_points(exprs: tuple[Expr, ...], axis: Axis) -> list[int]:
    """Values of `axis` at which a guard that depends on it alone changes, 0 and its extent included: loops are split there."""
    points = {0, axis.extent}
    for node in walk(*exprs):
        if not isinstance(node, Guard):
            continue
        for bound in node.box:
            scale = bound.index.coefficient(axis.id)
            if bound.index.axes == {axis.id} and scale:
                for limit in (bound.lo, bound.hi):
                    above = bound.index.const - limit
                    edge = -(above // scale) if scale > 0 else above // -scale + 1
                    points.add(min(max(edge, 0), axis.extent))
    return sorted(points)
