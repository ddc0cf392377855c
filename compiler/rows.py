"""Row groups: reductions and the elementwise stages around them in one kernel, a few rows at a time.

A softmax is four loops over the same rows: their largest elements, exponentials, sums and quotients. Where every stage needs of the others only
its own rows, they are computed one after the other for a tile of rows, and what they leave for each other never leaves the cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from .expr import Expr, Lookup, substitute
from .flatten import map_exprs, plain_operand, windows_overlap
from .fusion import Fused
from .graph import Graph
from .index import Axis, Index, Map
from .placement import Placed
from .schedule import NO_ROW, classify
from .stage import Decision, Group, Stage
from .target import Machine, Target

FEW_ROWS = 8
"""With fewer rows than this the threads could not share them out evenly."""

SMALL = 1 << 13
"""Elements up to which one thread may as well compute all rows."""


def form_rows(graph: Graph, fused: Fused, placed: Placed, target: Target) -> Fused:
    """`fused` with neighbouring groups merged where all of them can be computed row by row."""
    groups, ledger = list(fused.groups), list(fused.ledger)
    for group in fused.groups:
        merged: Group | None = group
        while merged is not None:
            merged = _merge_one(graph, fused, placed, target.machine, groups, ledger, merged)
    return replace(fused, groups=tuple(groups), ledger=tuple(ledger))


def _merge_one(
    graph: Graph, fused: Fused, placed: Placed, machine: Machine,
    groups: list[Group], ledger: list[Decision], consumer: Group,
) -> Group | None:  # fmt: skip
    """Merge one producer into `consumer` and return the group that both became; None where none fits."""
    wanted = set(consumer.reads())
    at = groups.index(consumer)
    for producer in reversed(groups[:at]):
        values = [value for value in producer.writes() if value in wanted]
        if not values or not _computes_rows(producer, consumer):
            continue
        between = groups[groups.index(producer) + 1 : at]
        if any(
            value in fused.slots or any(value in g.reads() for g in between) for value in producer.writes()
        ):
            continue
        names = producer.nodes[0], consumer.nodes[0]
        merged = _merged(producer, consumer, placed)
        if obstacle := _obstacle(merged, producer, consumer, placed, machine):
            ledger.append(Decision(False, *names, obstacle))
            continue
        rest = [g for g in groups if g not in (producer, consumer)]
        inner = [
            (value, placed.types[value])
            for value in _made(merged.stages)
            if value not in {*graph.outputs, *fused.slots} and not any(value in g.reads() for g in rest)
        ]
        merged = replace(merged, inner=tuple(inner))
        saved = sum(2 * placed.types[value].nbytes for value in values)
        ledger.append(Decision(True, *names, "computed row by row", saved))
        groups[at] = merged
        groups.remove(producer)
        return merged
    return None


def _computes_rows(*groups: Group) -> bool:
    """Whether rows of the groups can be computed alone: reductions and elementwise work, no windows and no products."""
    simple = all(
        classify(stage) in ("reduce", "pointwise")
        and not any(windows_overlap(stage, o) for o in stage.operands)
        for group in groups
        for stage in group.stages
    )
    return simple and any(stage.reduce for group in groups for stage in group.stages)


def _obstacle(merged: Group, producer: Group, consumer: Group, placed: Placed, machine: Machine) -> str:
    """Why the two should stay apart; empty where they should not."""
    rows = _count(merged.rows)
    if rows < max(_own_rows(producer), _own_rows(consumer)):
        return "they do not compute the same rows"
    sizes = [placed.types[value].size // rows for value in _read_inside(merged.stages)]
    if rows < FEW_ROWS and rows * max(sizes) > SMALL:
        return f"{rows} rows are too few to share among threads"
    if 4 * sum(sizes) > machine.l2_bytes // 2:
        return f"a row of {max(sizes)} elements is no smaller than the cache"
    return ""


def _own_rows(group: Group) -> int:
    """Rows that the results of a group's reductions have by themselves."""
    return _count(group.rows or (group.root.axes if group.root.reduce else ()))


def _count(rows: Sequence[Axis]) -> int:
    return prod(axis.extent for axis in rows)


def _made(stages: Sequence[Stage]) -> dict[str, tuple[int, Map]]:
    """The stage that makes a value, and at which coordinates."""
    return {store.buffer: (number, store.map) for number, s in enumerate(stages) for store in s.stores}


def _read_inside(stages: Sequence[Stage]) -> list[str]:
    """Values that one of the stages makes and another one reads."""
    made = _made(stages)
    return list(dict.fromkeys(load.buffer for s in stages for load in s.loads() if load.buffer in made))


def _merged(producer: Group, consumer: Group, placed: Placed) -> Group:
    """Both as one group; its rows are the axes that all stages share."""
    stages = [
        replace(stage, operands=tuple(plain_operand(stage, operand) for operand in stage.operands))
        for stage in (*producer.stages, *consumer.stages)
    ]
    shared = _outermost(stages, _shared_axes(stages), placed)
    rows = tuple(Axis(number, _axis(stages[0], members[0]).extent) for number, members in enumerate(shared))
    renumbered = tuple(
        _renumbered(stage, [members[number] for members in shared]) for number, stage in enumerate(stages)
    )
    return Group(
        renumbered, producer.nodes + consumer.nodes, producer.ops + consumer.ops, rows=rows or (NO_ROW,)
    )


def _axis(stage: Stage, number: int) -> Axis:
    return next(axis for axis in stage.axes if axis.id == number)


def _shared_axes(stages: Sequence[Stage]) -> list[list[int]]:
    """Axes along which every stage needs only what the others computed at the same place: their numbers, one in each stage."""
    made = _made(stages)
    home: dict[tuple[int, int], tuple[int, int]] = {
        (number, axis.id): (number, axis.id)
        for number, s in enumerate(stages)
        for axis in (*s.axes, *s.reduce)
    }
    unfit = {(number, axis.id) for number, s in enumerate(stages) for axis in s.reduce}

    def root(use: tuple[int, int]) -> tuple[int, int]:
        while home[use] != use:
            use = home[use]
        return use

    for number, stage in enumerate(stages):
        for load in stage.loads():
            if load.buffer not in made:
                continue
            maker, where = made[load.buffer]
            for written, read in zip(where, load.map, strict=True):
                if _plain(written) and _plain(read) and not isinstance(load, Lookup):
                    (a,), (b,) = written.axes, read.axes
                    home[root((number, b))] = root((maker, a))
                else:
                    unfit |= {(maker, a) for a in written.axes} | {(number, b) for b in read.axes if b >= 0}
    barred = {root(use) for use in unfit}
    found = []
    for axis in stages[0].axes:
        members = [use for use in home if root(use) == root((0, axis.id))]
        if (
            axis.extent > 1
            and root((0, axis.id)) not in barred
            and [n for n, _ in members] == list(range(len(stages)))
            and all(_axis(stages[n], number).extent == axis.extent for n, number in members)
        ):
            found.append([number for _, number in members])
    return found


def _plain(index: Index) -> bool:
    """Whether an Index is an axis and nothing else."""
    return index.const == 0 and len(index.terms) == 1 and index.terms[0].linear and index.terms[0].scale == 1


def _outermost(stages: Sequence[Stage], shared: list[list[int]], placed: Placed) -> list[list[int]]:
    """Those of the `shared` axes that lie outside all others in memory, the outermost first: rows are contiguous."""
    made = _made(stages)
    for value in _read_inside(stages):
        maker, where = made[value]
        dims = sorted(
            (dim for dim, n in enumerate(placed.types[value].shape) if n > 1),
            key=lambda dim: -placed.layouts[value].strides[dim],
        )
        order = [next(iter(where[dim].axes), None) for dim in dims]
        inside = next(
            (at for at, axis in enumerate(order) if axis not in {m[maker] for m in shared}), len(order)
        )
        shared = sorted(
            (m for m in shared if m[maker] in order[:inside]), key=lambda m: order.index(m[maker])
        )
    return shared


def _renumbered(stage: Stage, rows: Sequence[int]) -> Stage:
    """The stage with its row axes numbered 0, 1, ... and the others after them."""
    order = [*rows, *(a.id for a in (*stage.axes, *stage.reduce) if a.id not in rows)]
    new = {a.id: replace(a, id=order.index(a.id)) for a in (*stage.axes, *stage.reduce)}
    mapping: Mapping[int, Index] = {number: Index.of(axis) for number, axis in new.items()}

    def moved(expr: Expr) -> Expr:
        return substitute(expr, mapping)

    stage = map_exprs(stage, moved)
    return replace(
        stage,
        axes=tuple(new[a.id] for a in stage.axes),
        reduce=tuple(new[a.id] for a in stage.reduce),
        operands=tuple(
            replace(o, axes=tuple(new[a.id] for a in o.axes), map=tuple(i.substitute(mapping) for i in o.map))
            for o in stage.operands
        ),
        stores=tuple(replace(s, map=tuple(i.substitute(mapping) for i in s.map)) for s in stage.stores),
        support=tuple(bound.substitute(mapping) for bound in stage.support),
    )
