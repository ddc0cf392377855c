"""Planes: what a model takes and gives is row-major, channel after channel, while kernels of images write the channels of a pixel side by side.

Written to planes directly, every lane of a vector goes to a place of its own. So the value gets a home with its channels last, and a group of
its own turns it, tile by tile in registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from .build_stage import dimensions
from .expr import Expr, Load, Lookup, loads, rewrite
from .flatten import map_exprs
from .fusion import Fused
from .graph import MOVEMENT, Graph, Type, add_value
from .index import Index
from .placement import SPATIAL, channels_last, constant_types
from .stage import Decision, Group, Stage, Store
from .target import Machine

LEAST_SIDE, LEAST_ELEMENTS = 4, 1 << 13
"""Channels and pixels from which on there are tiles to turn, and elements of a value from which on a kernel of its own pays."""


def turn_planes(graph: Graph, fused: Fused, machine: Machine, tiled: Sequence[bool]) -> tuple[Graph, Fused]:
    """`fused` with groups that turn what would be read or written across its planes, and `graph` with the types of what they turn.

    Of what a model takes that is what groups read which will be `tiled`, of what it gives what groups of convolutions, pools and resizes make.
    """
    last = channels_last(graph, fused, {**graph.types, **constant_types(fused)})
    makers = {
        value: [number for number, group in enumerate(fused.groups) if value in _homes(fused, group)]
        for value in graph.outputs
        if value in last and has_tiles(graph, value)
    }
    taken = [
        value
        for value in graph.inputs
        if has_tiles(graph, value)
        and any(w and value in group.reads() for w, group in zip(tiled, fused.groups, strict=True))
    ]
    given = [
        value
        for value, numbers in makers.items()
        if any(_across(graph, fused.groups[n], value, tiled[n], machine) for n in numbers)
    ]
    types = dict(graph.types)
    homes = {value: add_value(types, f"{value}/channels last", types[value]) for value in (*taken, *given)}
    groups = [_turn(types[value], value, homes[value], homes[value]) for value in taken]
    for number, group in enumerate(fused.groups):
        moved = [*given, *(taken if tiled[number] else ())]
        groups.append(_renamed(group, {value: homes[value] for value in moved}))
        groups += [
            _turn(types[value], homes[value], value, homes[value])
            for value in given
            if makers[value][-1] == number
        ]
    slots = {
        name: replace(slot, parent=homes[slot.parent] if slot.parent in given else slot.parent)
        for name, slot in fused.slots.items()
    }
    cuts = [
        Decision(False, value, homes[value], "convolved by tiles of channels side by side") for value in taken
    ]
    cuts += [
        Decision(
            False,
            fused.groups[makers[value][-1]].nodes[-1],
            value,
            "vectors of channels would be scattered over planes",
        )
        for value in given
    ]
    ledger = (*fused.ledger, *cuts)
    return replace(graph, types=types), replace(fused, groups=tuple(groups), slots=slots, ledger=ledger)


def has_tiles(graph: Graph, value: str) -> bool:
    """Whether a value of the graph's type is an image that is worth turning."""
    shape = graph.types[value].shape
    return len(shape) == 4 and min(shape[1], prod(shape[2:])) >= LEAST_SIDE and prod(shape) >= LEAST_ELEMENTS


def _homes(fused: Fused, group: Group) -> set[str]:
    """What the group writes to, wholly or in part."""
    homes = set()
    for name in group.writes():
        while name in fused.slots:
            name = fused.slots[name].parent
        homes.add(name)
    return homes


def _across(graph: Graph, group: Group, value: str, tiled: bool, machine: Machine) -> bool:
    """Whether the group writes `value` by vectors of channels, or would compute it faster so.

    Beyond the second-level cache a resize reads its few elements across planes sooner than its result comes by once more.
    """
    if graph.producers()[value].op in MOVEMENT - {"Concat"}:
        return False
    if group.root.operands:
        return bool(SPATIAL & set(group.ops)) and (tiled or not _along_planes(graph, group))
    if "Resize" in group.ops:
        return 2 * graph.types[value].nbytes <= machine.l2_bytes
    return any(_is_of_pixels(graph, name) for name in group.reads())


def _is_of_pixels(graph: Graph, value: str) -> bool:
    """Whether a value has one element for all channels of a pixel, such as the sums of a softmax."""
    shape = graph.types[value].shape if value in graph.types else ()
    return value not in graph.constants and len(shape) == 4 and shape[1] == 1 < prod(shape[2:])


def _along_planes(graph: Graph, group: Group) -> bool:
    """Whether a product reads what the model takes, by vectors along its planes: it then writes as it reads."""
    stage = group.root
    if len(stage.operands) != 2 or len(group.stages) > 1:
        return False
    data, weights = stage.operands
    own = {axis.id for index in weights.map for axis in stage.axes if axis.id in index.axes}
    dense = not any(own & index.axes for index in data.map)
    column = stage.stores[0].map[-1]
    along = any(column == Index.of(axis) and data.map[-1].coefficient(axis.id) == 1 for axis in stage.axes)
    return dense and along and any(load.buffer in graph.inputs for load in loads(data.expr))


def _renamed(group: Group, names: Mapping[str, str]) -> Group:
    """The group reading and writing other buffers."""
    if not names.keys() & {*group.reads(), *group.writes()}:
        return group

    def other(node: Expr) -> Expr | None:
        if isinstance(node, Load | Lookup) and node.buffer in names:
            return replace(node, buffer=names[node.buffer])
        return None

    def renamed(stage: Stage) -> Stage:
        stage = map_exprs(stage, lambda expr: rewrite(expr, other))
        return replace(
            stage, stores=tuple(replace(s, buffer=names.get(s.buffer, s.buffer)) for s in stage.stores)
        )

    return replace(group, stages=tuple(renamed(stage) for stage in group.stages))


def _turn(type_: Type, source: str, to: str, name: str) -> Group:
    """The group that copies `source` to `to`, which lie in different orders."""
    where = tuple(Index.of(axis) if axis.extent > 1 else Index(0) for axis in dimensions(type_.shape))
    store = Store(Load(type_.dtype, source, where), to, where)
    stage = Stage("pointwise", dimensions(type_.shape), (), "sum", (), None, (store,))
    return Group((stage,), (name,), ("Transpose",))
