"""Bands: several anchors in one group, computed row by row, so that what is between them never leaves the cache.

A group whose only result is read by one sliding window joins the reader: the reader's outer loop walks its own rows, and the rows that it needs
are computed just before, into a ring of the thread's own. Rows at the seam of two threads are computed twice.
"""

from __future__ import annotations

from dataclasses import replace

from .expr import Const, Expr, Guard, Load, loads
from .flatten import windows_overlap
from .fusion import Fused
from .graph import Graph, Type
from .index import Box, Index
from .schedule import classify
from .stage import Decision, Group, Operand, Stage
from .target import Machine, Target


def form_bands(graph: Graph, fused: Fused, target: Target) -> Fused:
    """`fused` with pairs of neighbouring groups merged where the traffic that it saves is worth it."""
    groups = list(fused.groups)
    ledger = list(fused.ledger)
    for consumer in fused.groups:
        value = _window_input(consumer, graph)
        producer = next((g for g in groups if value in g.writes()), None) if value else None
        if producer is None or producer is consumer or consumer not in groups:
            continue
        assert value is not None
        reason = _obstacle(graph, groups, fused, producer, consumer, value, target.machine)
        names = " ".join(producer.nodes[:1]), " ".join(consumer.nodes[:1])
        if reason:
            ledger.append(Decision(False, names[0], names[1], reason))
            continue
        ledger.append(Decision(True, names[0], names[1], "computed in bands", 2 * graph.types[value].nbytes))
        groups[groups.index(consumer)] = _merged(producer, consumer, value, graph.types[value])
        groups.remove(producer)
    return replace(fused, groups=tuple(groups), ledger=tuple(ledger))


def _window_input(group: Group, graph: Graph) -> str | None:
    """The value that a group's window slides over, where it is read in place; None where there is none."""
    if len(group.stages) > 1 or not group.root.operands:
        return None
    expr: Expr = group.root.operands[0].expr
    box: Box = ()
    if isinstance(expr, Guard) and isinstance(expr.outside, Const):
        box, expr = expr.box, expr.inside
    slides = windows_overlap(group.root, group.root.operands[0])
    if (
        classify(group.root) not in ("depthwise", "pool")
        or not slides
        or not isinstance(expr, Load)
        or len(expr.map) != 4
        or not _reads_as_made(group.root.operands[0], expr, box, graph.types[expr.buffer].shape)
    ):
        return None
    return expr.buffer


def _reads_as_made(operand: Operand, load: Load, box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a window reads a value of that shape itself with pads around its rows and columns, not a part of it or in another order."""
    for number, (axis, index, extent) in enumerate(zip(operand.axes, load.map, shape, strict=True)):
        bounds = [(b.index, b.lo, b.hi) for b in box if axis.id in b.index.axes]
        whole = (Index.of(axis), -index.const, extent - index.const)
        if index.const > 0 or index != Index.of(axis) + index.const or any(b != whole for b in bounds):
            return False
        if bounds and number < 2:
            return False  # pads beside channels, or a batch
        if axis.extent == 1 < extent:
            return False  # a ring has no place for what is not read
    return True


def _obstacle(
    graph: Graph,
    groups: list[Group],
    fused: Fused,
    producer: Group,
    consumer: Group,
    value: str,
    machine: Machine,
) -> str:
    """Why the two cannot or should not be one; empty where they should."""
    if value in graph.outputs or value in fused.slots or sum(value in g.reads() for g in groups) > 1:
        return "its result is needed in memory"
    if sum(load.buffer == value for load in loads(*consumer.root.exprs())) > 1:
        return "its result is read beside the window too"
    stage = producer.root
    if len(producer.stages) > 1 or len(stage.stores) > 1 or classify(stage) != "contraction":
        return "only a single contraction is computed in bands"
    if not isinstance(stage.operands[0].expr, Load) or not _one_row_to_one(stage):
        return "it reads a window itself"
    if graph.types[value].shape[0] > 1:
        return "a batch is not computed in bands"
    if _reads(stage) & {value}:
        return "it reads its own result"
    if graph.types[value].nbytes <= machine.l2_bytes:
        return f"{graph.types[value].nbytes} bytes between them stay in the second-level cache anyway"
    return ""


def _one_row_to_one(stage: Stage) -> bool:
    """Whether every output is computed from one place of the input: a 1x1 convolution without stride."""
    return all(
        len(index.axes) <= 1 and all(t.scale == 1 for t in index.terms) for index in stage.operands[0].map
    )


def _reads(stage: Stage) -> set[str]:
    return {load.buffer for load in loads(*stage.exprs())}


def _merged(producer: Group, consumer: Group, value: str, type_: Type) -> Group:
    return Group(
        (*producer.stages, *consumer.stages),
        producer.nodes + consumer.nodes,
        producer.ops + consumer.ops,
        (*producer.inner, (value, type_), *consumer.inner),
    )
