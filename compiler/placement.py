"""Placement: the layout of every value in memory, before any code is generated, for strides are constants in it.

Inputs and outputs of the model are row-major, as ONNX gives them. Inside, what convolutions and pools touch is stored channels last, and so is
what is computed elementwise from it; a slice of a concat takes the strides of the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .expr import Expr, loads
from .flatten import Layout, dense
from .fusion import Fused
from .graph import Graph, Type
from .stage import Group

SPATIAL = frozenset({"Conv", "ConvTranspose", "MaxPool", "AveragePool"})


@dataclass(frozen=True)
class Placed:
    """Layout and type of every value in memory, and for slices of a concat the value whose memory holds them."""

    layouts: Mapping[str, Layout]
    types: Mapping[str, Type]
    storage: Mapping[str, str]

    def __str__(self) -> str:
        lines = []
        for name, layout in self.layouts.items():
            home = self.storage.get(name, name)
            lines.append(f"{name}: {self.types[name]} {layout}" + (f" in {home}" if home != name else ""))
        return "\n".join(lines)


def place(graph: Graph, fused: Fused) -> Placed:
    """Lay out everything that `fused` reads or writes."""
    types = {**graph.types, **constant_types(fused)}
    inner = {name: type_ for group in fused.groups if group.rows for name, type_ in group.inner}
    types |= inner
    fixed = {*graph.inputs, *graph.outputs, *inner}
    last = channels_last(graph, fused, types)
    layouts: dict[str, Layout] = {}
    storage: dict[str, str] = {}
    names = dict.fromkeys(
        [*graph.inputs, *(n for g in fused.groups for n in (*g.reads(), *g.writes())), *inner]
    )
    for name in names:
        home, offsets = name, []
        while home in fused.slots:
            slot = fused.slots[home]
            offsets.append((slot.axis, slot.start))
            home = slot.parent
        shape = types[home].shape
        order = None if home in fixed or home not in last else (0, *range(2, len(shape)), 1)
        whole = dense(shape, order)
        layouts[name] = Layout(whole.strides, sum(whole.strides[axis] * start for axis, start in offsets))
        storage[name] = home
    return Placed(layouts, types, storage)


def constant_types(fused: Fused) -> dict[str, Type]:
    """Of the constants that the groups need beyond the graph's."""
    return {name: Type(data.dtype.name, tuple(data.shape)) for name, data in fused.constants.items()}


def channels_last(graph: Graph, fused: Fused, types: Mapping[str, Type]) -> set[str]:
    """Values of rank 3 or more that convolutions or pools read or write, and what follows elementwise."""
    last: set[str] = set()
    weights = {name for name in graph.constants}
    for group in fused.groups:
        if SPATIAL & set(group.ops):
            last |= {
                n
                for n in (*_data_reads(group), *group.writes())
                if len(types[n].shape) > 2 and n not in weights
            } - _tokens(group)
    changed = True
    while changed:
        before = len(last)
        for group in fused.groups:
            near = [n for n in (*_data_reads(group), *group.writes()) if len(types[n].shape) > 2]
            ranks = {len(types[n].shape) for n in near if n in last} if _keeps_axes(group) else set()
            last |= {n for n in near if len(types[n].shape) in ranks}
            last |= {
                n
                for s in group.stages
                for store in s.stores
                for n in _full_constants(store.value, types, store.buffer in last)
            }
        for name, slot in fused.slots.items():
            if name in last or slot.parent in last:
                last |= {name, slot.parent}
        changed = len(last) != before
    return last


def _keeps_axes(group: Group) -> bool:
    """Whether a group computes element by element, with every axis where it was."""
    return group.root.anchor == "pointwise" and not {"Reshape", "Transpose"} & set(group.ops)


def _data_reads(group: Group) -> list[str]:
    """What a group reads as data: not the weights of a contraction."""
    names = []
    for stage in group.stages:
        exprs = [operand.expr for operand in stage.operands[:1]] + [store.value for store in stage.stores]
        names += [load.buffer for load in loads(*exprs)]
    return names


def _tokens(group: Group) -> set[str]:
    """What the group's anchor reads through a transpose, with channels along the last axis already: a transformer's tokens."""
    if not group.root.operands:
        return set()
    operand = group.root.operands[0]
    channels = operand.axes[1].id
    return {
        load.buffer
        for load in loads(operand.expr)
        if channels in load.map[-1].axes and not any(channels in index.axes for index in load.map[:-1])
    }


def _full_constants(value: Expr, types: Mapping[str, Type], wanted: bool) -> set[str]:
    """Constants with a spatial extent that an epilogue reads next to channels-last data."""
    if not wanted:
        return set()
    return {
        load.buffer
        for load in loads(value)
        if len(types[load.buffer].shape) > 2 and max(types[load.buffer].shape[2:]) > 1
    }
