"""Stage and Group: what is computed together, before and after memory is laid out.

A `Stage` is one anchor with everything around it: ``out[i] = stores(combine over the reduce axes of the product of the operands)``.
An `Operand` is an Expr over coordinates of its own (a convolution's input, pads included) and the map that says which of them the anchor
reads; so a prologue can be computed where it is read or once into a panel. A pad is a Guard outside the prologue.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Literal

from .expr import Expr, Load, Lookup, Op, loads, substitute, text, walk
from .graph import Type
from .index import Axis, Bound, Map

if TYPE_CHECKING:
    from .choice import Signature

Combine = Literal["sum", "max", "min"]
Role = Literal["input", "output", "weight", "arena", "ring", "panel"]


@dataclass(frozen=True)
class Operand:
    """What an anchor reads: `expr` over `axes`, read at `map` (one Index over the stage's axes per axis)."""

    axes: tuple[Axis, ...]
    expr: Expr
    map: Map

    def inlined(self) -> Expr:
        """The operand over the stage's own axes."""
        return self._inlined

    @cached_property
    def _inlined(self) -> Expr:
        return substitute(
            self.expr, {axis.id: index for axis, index in zip(self.axes, self.map, strict=True)}
        )


@dataclass(frozen=True)
class Store:
    """An output: `value` over Acc and the stage's output axes, written to `buffer` at `map`."""

    value: Expr
    buffer: str
    map: Map


@dataclass(frozen=True)
class Stage:
    """One anchor. `axes` are the output's coordinates, `reduce` the axes it sums or compares over."""

    anchor: str
    axes: tuple[Axis, ...]
    reduce: tuple[Axis, ...]
    combine: Combine
    operands: tuple[Operand, ...]
    init: Expr | None
    """What is added to a sum (a bias); None is 0."""
    stores: tuple[Store, ...]
    support: tuple[Bound, ...] = ()
    """Bounds outside which the terms of a sum are zero and may be left out; as a graph's stages are built, no two share an axis."""

    @property
    def flops(self) -> int:
        """Multiplications and additions (or comparisons) of the anchor, without its fused ops."""
        return self.terms * len(self.operands)

    @property
    def terms(self) -> int:
        """What the anchor combines, of all outputs: elements, or products within the support."""
        if not self.operands:
            return 0
        every = prod(axis.extent for axis in self.axes + self.reduce)
        return round(every * prod(bound.share() for bound in self.support))

    def exprs(self) -> Iterator[Expr]:
        """Every Expr of the stage: operands over their own axes, init, store values."""
        for operand in self.operands:
            yield operand.expr
        if self.init is not None:
            yield self.init
        for store in self.stores:
            yield store.value

    def loads(self) -> list[Load | Lookup]:
        """Every Load of the stage."""
        return [*self._loads]

    @cached_property
    def _loads(self) -> tuple[Load | Lookup, ...]:
        return tuple(loads(*self.exprs()))

    @cached_property
    def independent_stores(self) -> tuple[tuple[Store, ...], ...]:
        """The stores in groups that share no operation with each other, though they may read the same."""
        found: list[tuple[set[int], list[Store]]] = []
        for store in self.stores:
            used, together = {id(node) for node in walk(store.value) if isinstance(node, Op)}, [store]
            for group in [group for group in found if group[0] & used]:
                found.remove(group)
                used, together = used | group[0], group[1] + together
            found.append((used, together))
        return tuple(tuple(together) for _, together in found)

    @cached_property
    def read_again(self) -> frozenset[str]:
        """The buffers of which several `independent_stores` read the same element."""
        read = [loads(*(store.value for store in group)) for group in self.independent_stores]
        every = Counter(id(load) for group in read for load in group)
        return frozenset(load.buffer for group in read for load in group if every[id(load)] > 1)

    def __str__(self) -> str:
        axes = " ".join(f"{a}:{a.extent}" for a in self.axes)
        reduce = " ".join(f"{a}:{a.extent}" for a in self.reduce)
        lines = [f"{self.anchor} [{axes}]" + (f" {self.combine} over [{reduce}]" if self.reduce else "")]
        for number, operand in enumerate(self.operands):
            own = " ".join(f"{a}:{a.extent}" for a in operand.axes)
            lines.append(f"  operand {number} [{own}] at ({', '.join(map(str, operand.map))})")
            lines += ["    " + line for line in text(operand.expr).splitlines()]
        lines += [f"  zero but for {bound}" for bound in self.support]
        if self.init is not None:
            lines.append(f"  plus {text(self.init)}")
        for store in self.stores:
            body = text(store.value).splitlines()
            lines += ["    " + line for line in body[:-1]]
            lines.append(f"  {store.buffer}[{', '.join(map(str, store.map))}] = {body[-1]}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Decision:
    """A line of the ledger: a merge with the bytes it saves, or a cut with its reason."""

    merged: bool
    node: str
    into: str
    reason: str
    saved_bytes: int = 0

    def __str__(self) -> str:
        if self.merged:
            return f"merge {self.node} into {self.into}: {self.reason}, saves {self.saved_bytes} bytes"
        return f"cut   {self.node} before {self.into}: {self.reason}"


@dataclass(frozen=True)
class Group:
    """Stages computed by one kernel, the last of them the root, and the graph nodes that they cover."""

    stages: tuple[Stage, ...]
    nodes: tuple[str, ...]
    """Names of the graph nodes, in graph order."""
    ops: tuple[str, ...]
    """Their ops, in the same order."""
    inner: tuple[tuple[str, Type], ...] = ()
    """Values that only live inside the group, with their types."""
    rows: tuple[Axis, ...] = ()
    """Axes that all stages share, outermost first, where they are computed together row by row."""
    signature: Signature | None = None
    """Of a convolution that could be transformed by Winograd's algorithm, or is."""

    @property
    def root(self) -> Stage:
        """The stage whose rows the group's outer loop walks."""
        return self.stages[-1]

    def reads(self) -> list[str]:
        """Buffers that the group reads and does not make, in order of first use."""
        made = {store.buffer for stage in self.stages for store in stage.stores}
        names = [load.buffer for stage in self.stages for load in stage.loads()]
        return list(dict.fromkeys(n for n in names if n not in made))

    def writes(self) -> list[str]:
        """Buffers that outlive the group."""
        inner = {name for name, _ in self.inner}
        names = [store.buffer for stage in self.stages for store in stage.stores]
        return list(dict.fromkeys(n for n in names if n not in inner))

    def __str__(self) -> str:
        head = f"group {' '.join(f'{op}({node})' for op, node in zip(self.ops, self.nodes, strict=True))}"
        head += f" by rows {' '.join(map(str, self.rows))}" if self.rows else ""
        return "\n".join([head] + ["  " + line for stage in self.stages for line in str(stage).splitlines()])
