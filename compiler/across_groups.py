"""Lanes across groups: a grouped convolution with fewer outputs a group than a vector has lanes, as a window over all of them.

    out[y, x, g * n + o] = sum over (c, i, j) of in[y + i, x + j, g * m + c] * w[g * n + o, c, i, j]

As a contraction its lanes are the n outputs of one group. As a window they run on through the groups, with weights of their own as in a depthwise
convolution; `anchors/lane_groups.py` says what they read.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from .anchors.lane_groups import lane_groups
from .expr import Load
from .flatten import merge_pair, walks_as_one
from .index import Axis, Index
from .stage import Operand, Stage
from .target import Machine

MOST_INPUTS = 2
"""Times its outputs that a group may have inputs: a step then reads two vectors at most."""


def across_groups(stage: Stage, constants: frozenset[str], machine: Machine, most_taps: int) -> Stage | None:
    """The flat stage as a window with lanes across groups, of so many taps at most; None where it has no groups, or lanes enough in one."""
    if len(stage.operands) != 2 or prod(axis.extent for axis in stage.reduce) > most_taps:
        return None
    x, weights = stage.operands
    pair = _group_and_output(stage) if x.expr.dtype == "float32" else None
    if pair is None or not isinstance(weights.expr, Load) or weights.expr.buffer not in constants:
        return None
    group, output = pair
    if output.extent >= machine.lanes or machine.lanes % output.extent:
        return None
    whole = Axis(group.id, group.extent * output.extent)
    merged = merge_pair(replace(stage, operands=(weights,)), group, output)
    by_group = {axis.id: Index.of(axis) for axis in stage.axes + stage.reduce}
    by_group[group.id] = Index.of(whole) // output.extent
    data = Operand(x.axes, x.expr, tuple(index.substitute(by_group) for index in x.map))
    window = replace(merged, anchor="depthwise", operands=(data, *merged.operands), support=())
    read = lane_groups(window, whole.id)
    inputs = read.inputs if read else max(abs(i.coefficient(group.id) or 0) for i in x.map)
    return window if inputs <= MOST_INPUTS * output.extent else None


def _group_and_output(stage: Stage) -> tuple[Axis, Axis] | None:
    """The axis of groups, along which both operands vary, and that of the outputs of a group, next to each other in memory behind it."""
    x, weights = stage.operands
    if not all(term.linear for operand in stage.operands for index in operand.map for term in index.terms):
        return None

    def along(operand: Operand) -> set[int]:
        return {axis for index in operand.map for axis in index.axes}

    groups = [axis for axis in stage.axes if axis.id in along(x) & along(weights)]
    outputs = [axis for axis in stage.axes if axis.id in along(weights) - along(x)]
    if len(groups) != 1 or len(outputs) != 1:
        return None
    address = stage.stores[0].map[0]
    adjacent = address.coefficient(outputs[0].id) == 1 and walks_as_one(address, groups[0], outputs[0])
    return (groups[0], outputs[0]) if adjacent else None
