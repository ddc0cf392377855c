"""Bands: several anchors in one group, computed row by row, so that what is between them never leaves the cache.

A group whose only result is read by one sliding window or 1x1 convolution joins the reader: the reader's outer loop walks its own rows, and the
rows that it needs are computed just before, into a ring of the thread's own. Rows at the seam of two threads are computed twice.
"""

from __future__ import annotations

from dataclasses import replace

from .expr import Const, Expr, Guard, Load, loads
from .flatten import windows_overlap
from .fusion import Fused
from .graph import Graph
from .index import Box, Index
from .schedule import classify
from .stage import Decision, Group, Operand, Stage
from .target import Machine, Target

MOST_STAGES = 3
"""Convolutions and pools in a band: every window among them adds to the rows that two threads compute both."""


def form_bands(graph: Graph, fused: Fused, target: Target) -> Fused:
    """`fused` with neighbouring groups merged where the traffic that it saves is worth it, those first that save the most."""
    groups = fused.groups
    maker = {value: number for number, group in enumerate(groups) for value in group.writes()}
    read = ((number, _banded_input(group, graph)) for number, group in enumerate(groups))
    seams = [(maker[value], reader, value) for reader, value in read if value in maker]
    bands: list[tuple[int, ...]] = [(number,) for number in range(len(groups))]
    decisions: dict[int, Decision] = {}
    for producer, reader, value in sorted(seams, key=lambda seam: -graph.types[seam[2]].nbytes):
        joined = bands[producer] + bands[reader]
        reason = _obstacle(graph, fused, groups[producer], groups[reader], value, target.machine)
        if not reason and len(joined) > MOST_STAGES:
            reason = f"a band has {MOST_STAGES} operators at most"
        names = groups[producer].nodes[0], groups[reader].nodes[0]
        saved = 0 if reason else 2 * graph.types[value].nbytes
        decisions[reader] = Decision(not reason, *names, reason or "computed in bands", saved)
        if not reason:
            for number in joined:
                bands[number] = joined
    merged = (
        _merged(graph, [groups[i] for i in band]) for number, band in enumerate(bands) if band[-1] == number
    )
    ledger = (*fused.ledger, *(decisions[reader] for _, reader, _ in seams))
    return replace(fused, groups=tuple(merged), ledger=ledger)


def _banded_input(group: Group, graph: Graph) -> str | None:
    """The value that a group reads in place row by row, by a sliding window or a 1x1 convolution; None where there is none."""
    if len(group.stages) > 1 or not group.root.operands:
        return None
    operand = group.root.operands[0]
    expr: Expr = operand.expr
    box: Box = ()
    if isinstance(expr, Guard) and isinstance(expr.outside, Const):
        box, expr = expr.box, expr.inside
    if not isinstance(expr, Load) or not len(operand.axes) == len(expr.map) == 4:
        return None
    fits = _walks_by_rows(group.root) and _reads_as_made(operand, expr, box, graph.types[expr.buffer].shape)
    return expr.buffer if fits else None


def _walks_by_rows(stage: Stage) -> bool:
    """Whether rows of the output need few rows of the input: a window that slides, or a 1x1 convolution without stride."""
    x = stage.operands[0]
    if not _in_one_group(stage):
        return False
    if classify(stage) == "contraction":
        return x.map[2:] == tuple(Index.of(axis) for axis in stage.axes[3:])
    return windows_overlap(stage, x)


def _in_one_group(stage: Stage) -> bool:
    """Whether this is a convolution in one group, or depthwise, or a pool: a channel depends on all channels, or on the same."""
    anchor, where = classify(stage), stage.operands[0].map if stage.operands else ()
    if len(where) != 4 or anchor not in ("contraction", "depthwise", "pool"):
        return False
    if anchor == "contraction":
        return where[1].axes <= {axis.id for axis in stage.reduce}
    return where[1] in {Index.of(axis) for axis in stage.axes}


def _reads_as_made(operand: Operand, load: Load, box: Box, shape: tuple[int, ...]) -> bool:
    """Whether a value of that shape is read itself: all of its channels, its first rows and columns with pads around them, in their order."""
    for number, (axis, index, extent) in enumerate(zip(operand.axes, load.map, shape, strict=True)):
        bounds = [(b.index, b.lo, b.hi) for b in box if axis.id in b.index.axes]
        whole = (Index.of(axis), -index.const, extent - index.const)
        if index.const > 0 or index != Index.of(axis) + index.const or any(b != whole for b in bounds):
            return False
        if bounds and number < 2:
            return False  # pads beside channels, or a batch
        if axis.extent == 1 < extent or (number < 2 and axis.extent != extent):
            return False  # a ring has no place for what is not read
    return True


def _obstacle(
    graph: Graph,
    fused: Fused,
    producer: Group,
    consumer: Group,
    value: str,
    machine: Machine,
) -> str:
    """Why the two cannot or should not be one; empty where they should."""
    if value in graph.outputs or value in fused.slots or sum(value in g.reads() for g in fused.groups) > 1:
        return "its result is needed in memory"
    if sum(load.buffer == value for load in loads(*consumer.root.exprs())) > 1:
        return "its result is read beside the window too"
    stage, shape = producer.root, graph.types[value].shape
    if producer.rows or len(stage.stores) > 1 or not _makes_rows(stage):
        return "only what one convolution or pool makes is computed in bands"
    if shape[0] > 1 or 1 in shape[2:] or 1 in (axis.extent for axis in consumer.root.axes[-2:]):
        return "a batch, or a single row or column, is not computed in bands"
    if _reads(stage) & {value}:
        return "it reads its own result"
    weights = (_weight_bytes(graph, each) for each in (stage, consumer.root))
    if (
        shape[2] * sum(size for size in weights if size > machine.l1_bytes // 2)
        > 2 * graph.types[value].nbytes
    ):
        return "weights that leave the first-level cache would be read again for every row"
    if graph.types[value].nbytes <= _held_bytes(machine):
        return f"{graph.types[value].nbytes} bytes between them stay in the second-level cache anyway"
    return ""


def _makes_rows(stage: Stage) -> bool:
    """Whether an anchor computes its output row by row along axes of its own.

    Pools whose windows do not overlap are reductions, and windows over an enlarged value do not slide along its columns.
    """
    own = {Index.of(axis) for axis in stage.axes}
    if not _in_one_group(stage) or any(index.axes and index not in own for index in stage.stores[0].map):
        return False
    anchor, (x, *_) = classify(stage), stage.operands
    plain = all(t.linear for load in loads(x.inlined()) for index in load.map for t in index.terms)
    return anchor == "contraction" or (plain and (anchor != "pool" or windows_overlap(stage, x)))


def _weight_bytes(graph: Graph, stage: Stage) -> int:
    """Bytes of constants that the stage multiplies by."""
    names = {load.buffer for load in loads(*(operand.expr for operand in stage.operands[1:]))}
    return sum(graph.types[name].nbytes for name in names & graph.constants.keys())


def _held_bytes(machine: Machine) -> int:
    """Up to this size a value is read from the second-level cache as fast as it is used.

    All these caches give about as much in a cycle, and wider vectors use more: with 16 lanes bands of a quarter of the cache gained 2 to 4 %.
    """
    return machine.l2_bytes * 4 // machine.lanes


def _reads(stage: Stage) -> set[str]:
    return {load.buffer for load in loads(*stage.exprs())}


def _merged(graph: Graph, band: list[Group]) -> Group:
    if len(band) == 1:
        return band[0]
    between = [stage.stores[0].buffer for group in band[:-1] for stage in group.stages]
    return Group(
        tuple(stage for group in band for stage in group.stages),
        tuple(node for group in band for node in group.nodes),
        tuple(op for group in band for op in group.ops),
        tuple((value, graph.types[value]) for value in between),
    )
