"""Physical form of a stage: flat addresses by layout, and as few axes as those addresses allow.

After placement a Load says which element of memory it reads: the sum of strides times coordinates. Axes that every address walks as one are
merged, so a 1x1 convolution over 56 x 56 positions becomes a product with 3136 rows and a ReLU one loop over all elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from .expr import Expr, Guard, Load, Lookup, loads, rewrite, walk
from .graph import Type
from .index import Axis, Bound, Index, Term
from .stage import Operand, Stage, Store


@dataclass(frozen=True)
class Layout:
    """Where the elements of a value lie: a stride per logical dimension and an offset, in elements."""

    strides: tuple[int, ...]
    offset: int = 0

    def address(self, where: tuple[Index, ...]) -> Index:
        """The element number of the logical coordinates `where`."""
        total = Index(self.offset)
        for stride, index in zip(self.strides, where, strict=True):
            total = total + index * stride
        return total

    def size(self, type_: Type) -> int:
        """Elements from the pointer to the last one."""
        return 1 + self.offset + sum((n - 1) * s for n, s in zip(type_.shape, self.strides, strict=True))

    def __str__(self) -> str:
        return f"strides {self.strides}" + (f" + {self.offset}" if self.offset else "")


def dense(shape: tuple[int, ...], order: Iterable[int] | None = None) -> Layout:
    """A gapless layout with the dimensions in `order`, outermost first; row-major without one.

    >>> dense((1, 3, 4, 5), (0, 2, 3, 1)).strides
    (60, 1, 15, 3)
    """
    strides = [0] * len(shape)
    step = 1
    for axis in reversed(list(order) if order is not None else range(len(shape))):
        strides[axis] = step
        step *= shape[axis]
    return Layout(tuple(strides))


def flatten_stage(stage: Stage, layouts: Mapping[str, Layout]) -> Stage:
    """The stage with one flat Index in every Load and Store of a buffer in `layouts`."""

    def flat(node: Expr) -> Expr | None:
        if isinstance(node, Load | Lookup) and node.buffer in layouts:
            return replace(node, map=(layouts[node.buffer].address(node.map),))
        return None

    return map_exprs(
        replace(
            stage,
            stores=tuple(
                replace(s, map=(layouts[s.buffer].address(s.map),)) if s.buffer in layouts else s
                for s in stage.stores
            ),
        ),
        lambda expr: rewrite(expr, flat),
    )


def map_exprs(stage: Stage, change: Callable[[Expr], Expr]) -> Stage:
    """The stage with `change` applied to each of its Exprs; outputs that share a value keep sharing it."""
    done: dict[int, Expr] = {}

    def once(expr: Expr) -> Expr:
        if id(expr) not in done:
            done[id(expr)] = change(expr)
        return done[id(expr)]

    return replace(
        stage,
        operands=tuple(replace(o, expr=once(o.expr)) for o in stage.operands),
        init=None if stage.init is None else once(stage.init),
        stores=tuple(replace(s, value=once(s.value)) for s in stage.stores),
    )


def inline_plain_operands(stage: Stage) -> Stage:
    """Operands that every output reads at places of its own, put on the stage's axes; windows keep their own."""
    return replace(
        stage,
        operands=tuple(o if windows_overlap(stage, o) else plain_operand(stage, o) for o in stage.operands),
    )


def windows_overlap(stage: Stage, operand: Operand) -> bool:
    """Whether outputs share elements of the operand along an axis: overlapping windows, or padded ones, whose bounds are the window's."""
    reduced = {axis.id for axis in stage.reduce}
    for index in operand.map:
        outer = [t for t in index.terms if not (Index(0, (t,)).axes & reduced)]
        inner = Index(0, tuple(t for t in index.terms if Index(0, (t,)).axes & reduced))
        padded = isinstance(operand.expr, Guard)
        if outer and inner.terms and (padded or min(abs(t.scale) for t in outer) <= inner.range[1]):
            return True
    return False


def plain_operand(stage: Stage, operand: Operand) -> Operand:
    """The operand over the axes of the stage that it depends on."""
    expr = operand.inlined()
    used = frozenset().union(*(index.axes for node in walk(expr) for index in _indexes(node)))
    axes = tuple(axis for axis in stage.axes + stage.reduce if axis.id in used)
    return Operand(axes, expr, tuple(Index.of(axis) for axis in axes))


def _indexes(node: Expr) -> tuple[Index, ...]:
    if isinstance(node, Load | Lookup):
        return node.map
    return tuple(bound.index for bound in node.box) if isinstance(node, Guard) else ()


def merge_axes(stage: Stage, constants: frozenset[str], kept: frozenset[int] = frozenset()) -> Stage:
    """Merge axes pairwise until no pair is walked as one; reads of `constants` follow whatever is merged, for they are packed anew.

    The axes `kept` stay as they are: another stage counts in them.
    """
    stage = replace(
        stage,
        axes=tuple(a for a in stage.axes if a.extent > 1),
        reduce=tuple(a for a in stage.reduce if a.extent > 1),
    )
    merged = True
    while merged:
        merged = False
        for axes in (stage.axes, stage.reduce):
            for outer in axes:
                for inner in axes:
                    if outer is inner or merged or {outer.id, inner.id} & kept:
                        continue
                    if _mergeable(wide := _widened(stage, outer, inner), outer, inner, constants):
                        stage, merged = merge_pair(wide, outer, inner), True
    return stage


def _widened(stage: Stage, outer: Axis, inner: Axis) -> Stage:
    """The stage with bounds on steps of `outer` alone as bounds on `outer` and `inner` walked as one: ``lo <= i < hi`` is ``lo * n <= i * n + j < hi * n``."""
    n = inner.extent

    def alone(bound: Bound) -> bool:
        return bound.index == Index.of(outer) + bound.index.const

    def wide(bound: Bound) -> Bound:
        if not alone(bound):
            return bound
        return Bound(bound.index * n + Index.of(inner), bound.lo * n, bound.hi * n)

    guards = (node for node in walk(*stage.exprs()) if isinstance(node, Guard))
    if not any(alone(bound) for node in guards for bound in node.box):
        return stage
    return map_exprs(stage, lambda expr: rewrite(expr, bound=wide))


def merge_shared(
    stages: Sequence[Stage], rows: Sequence[Axis], constants: frozenset[str]
) -> tuple[list[Stage], tuple[Axis, ...]]:
    """Stages that share the axes `rows`, outermost first, with neighbours among these merged where every stage walks them as one."""
    stages, left = list(stages), list(rows)
    for inner in reversed(rows[1:]):
        at = next(i for i, axis in enumerate(left) if axis.id == inner.id)
        outer, inner = left[at - 1], left[at]
        if all(_mergeable(stage, outer, inner, constants) for stage in stages):
            stages = [merge_pair(stage, outer, inner) for stage in stages]
            left[at - 1 : at + 1] = [replace(outer, extent=outer.extent * inner.extent)]
    return stages, tuple(left)


def _free_operand(stage: Stage, operand: Operand, constants: frozenset[str]) -> bool:
    """Whether the operand is a packed constant, whose layout follows the loops."""
    return (
        operand is not stage.operands[0]
        and isinstance(operand.expr, Load)
        and operand.expr.buffer in constants
    )


def _mergeable(stage: Stage, outer: Axis, inner: Axis, constants: frozenset[str]) -> bool:
    exprs: list[Expr] = [s.value for s in stage.stores] + ([stage.init] if stage.init is not None else [])
    indexes = [index for store in stage.stores for index in store.map]
    indexes += [bound.index for bound in stage.support]
    free: list[Operand] = []
    for operand in stage.operands:
        if _free_operand(stage, operand, constants):
            free.append(operand)
        elif tuple(operand.axes) == _own(stage, operand):
            exprs.append(operand.expr)
        elif any(outer.id in index.axes or inner.id in index.axes for index in operand.map):
            address = operand.inlined()
            if not isinstance(address, Load):
                return False
            exprs.append(address)
    for operand in free:  # both axes of a kind: together in the constant, or together not in it
        used = operand.inlined()
        assert isinstance(used, Load)
        if (outer.id in used.map[0].axes) != (inner.id in used.map[0].axes):
            return False
    for node in walk(*exprs):
        indexes += _indexes(node)
    return all(walks_as_one(index, outer, inner) for index in indexes)


def _own(stage: Stage, operand: Operand) -> tuple[Axis, ...]:
    return tuple(a for a in stage.axes + stage.reduce if a in operand.axes and Index.of(a) in operand.map)


def walks_as_one(index: Index, outer: Axis, inner: Axis) -> bool:
    """Whether a step of `outer` is as far as all steps of `inner` together, or the index depends on neither."""
    a, b = index.coefficient(outer.id), index.coefficient(inner.id)
    return a is not None and b is not None and a == b * inner.extent


def merge_pair(stage: Stage, outer: Axis, inner: Axis) -> Stage:
    """The stage with one axis, called as `outer`, in place of both; what does not walk them as one takes quotient and remainder."""
    whole = Axis(outer.id, outer.extent * inner.extent)

    def change(index: Index) -> Index:
        if walks_as_one(index, outer, inner):
            step = index.coefficient(inner.id)
            rest = tuple(
                t
                for t in index.terms
                if not (t.linear and isinstance(t.inner, Axis) and t.inner.id in (outer.id, inner.id))
            )
            return Index(index.const, rest) + Index(0, (Term(step, whole),) if step else ())
        axes = {a.id: Index.of(a) for a in stage.axes + stage.reduce}
        return index.substitute(
            {**axes, outer.id: Index.of(whole) // inner.extent, inner.id: Index.of(whole) % inner.extent}
        )

    def renamed(expr: Expr) -> Expr:
        return rewrite(expr, change=change)

    def operand(o: Operand) -> Operand:
        if tuple(o.axes) == _own(stage, o):
            axes = _replaced(o.axes, outer, inner, whole)
            return Operand(axes, renamed(o.expr), tuple(Index.of(a) for a in axes))
        if not any({outer.id, inner.id} & index.axes for index in o.map):
            return o
        expr = renamed(o.inlined())
        axes = tuple(
            a
            for a in _replaced(stage.axes + stage.reduce, outer, inner, whole)
            if any(a.id in load.map[0].axes for load in loads(expr))
        )
        return Operand(axes, expr, tuple(Index.of(a) for a in axes))

    done: dict[int, Expr] = {}
    for store in stage.stores:
        done.setdefault(id(store.value), renamed(store.value))
    return replace(
        stage,
        axes=_replaced(stage.axes, outer, inner, whole),
        reduce=_replaced(stage.reduce, outer, inner, whole),
        operands=tuple(operand(o) for o in stage.operands),
        init=None if stage.init is None else renamed(stage.init),
        stores=tuple(
            Store(done[id(s.value)], s.buffer, tuple(change(i) for i in s.map)) for s in stage.stores
        ),
        support=tuple(replace(bound, index=change(bound.index)) for bound in stage.support),
    )


def _replaced(axes: tuple[Axis, ...], outer: Axis, inner: Axis, whole: Axis) -> tuple[Axis, ...]:
    return tuple(whole if a.id == outer.id else a for a in axes if a.id != inner.id)
