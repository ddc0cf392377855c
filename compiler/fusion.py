"""Fusion: graph to groups. Which nodes are computed together, and in the ledger why.

Nodes are taken in graph order. An anchor opens a group. Whatever follows joins the *latest* group that makes one of its inputs when it
computes the same elements as that group (an epilogue): all its other inputs are then made before. What cannot join floats: a floating node
with one reader is computed where it is read (a prologue), pure movement wherever it is read, anything else in a pointwise group.

Levels: ``none`` gives every node a kernel of its own (reshapes are free), ``basic`` adds what common engines do (a clamp after an anchor, zero
pads before a convolution), ``full`` everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from .build_stage import MOVES, Anchored, Values, build_stage, dimensions, identity, reshape_map
from .elementwise import TABLE
from .expr import Acc, Expr
from .graph import MOVEMENT, Graph, Node
from .index import Map
from .stage import Decision, Group, Stage, Store

LONGEST = 64
"""Nodes of a group, and of a chain computed where it is read: longer expressions outgrow registers, and real models have none."""

Level = Literal["none", "basic", "full"]
LEVELS: tuple[Level, ...] = ("none", "basic", "full")


@dataclass(frozen=True)
class Slot:
    """Where a value lies inside a concat's result: elements from `start` on along `axis` of `parent`."""

    parent: str
    axis: int
    start: int


@dataclass(frozen=True)
class Fused:
    """The groups in order, constants that they need beyond the graph's, values that are slices of a concat, and the ledger."""

    groups: tuple[Group, ...]
    constants: Mapping[str, np.ndarray]
    slots: Mapping[str, Slot]
    ledger: tuple[Decision, ...]

    def __str__(self) -> str:
        return "\n".join(map(str, self.groups))


@dataclass
class _Open:
    """A group in the making: its nodes and the values it computes, each with its expression and coordinates over the group's axes."""

    first: Node
    stage: Stage
    nodes: list[Node] = field(default_factory=list)
    exprs: dict[str, Expr] = field(default_factory=dict)
    where: dict[str, Map] = field(default_factory=dict)


def fuse(graph: Graph, level: Level) -> Fused:
    """Group the nodes of `graph` at a fusion level."""
    return _Fusion(graph, level).run()


class _Fusion:
    def __init__(self, graph: Graph, level: Level) -> None:
        self.graph, self.level = graph, level
        self.readers = graph.consumers()
        self.producers = graph.producers()
        self.group_of: dict[str, _Open] = {}
        self.order: list[_Open] = []
        self.floating: dict[str, Node] = {}
        self.lengths: dict[str, int] = {}
        self.slots: dict[str, Slot] = {}
        self.assembled: set[str] = set()
        self.ledger: list[Decision] = []
        self.values = Values(graph, lambda value: value not in self.floating)

    def run(self) -> Fused:
        for node in self.graph.nodes:
            if node.op not in TABLE and node.op not in MOVES:
                self._open_anchor(node)
            elif not (self._assemble(node) or self._join(node) or self._float(node)):
                self._open_pointwise(node)
        groups = tuple(self._close(opened) for opened in self.order)
        return Fused(groups, dict(self.values.extra), dict(self.slots), tuple(self.ledger))

    # -- opening

    def _open_anchor(self, node: Node) -> None:
        anchored: Anchored = build_stage(self.values, node)
        opened = _Open(node, anchored.stage)
        self._absorb_floating(node, opened)
        self._add(opened, node, anchored.finish(Acc(self.graph.types[node.output].dtype)), anchored.where)
        self.order.append(opened)

    def _open_pointwise(self, node: Node) -> None:
        type_ = self.graph.types[node.output]
        stage = Stage("pointwise", dimensions(type_.shape), (), "sum", (), None, ())
        opened = _Open(node, stage)
        self._absorb_floating(node, opened)
        self._add(opened, node, self.values.node_expr(node), identity(type_.shape))
        self.order.append(opened)

    def _add(self, opened: _Open, node: Node, expr: Expr, where: Map) -> None:
        opened.nodes.append(node)
        opened.exprs[node.output], opened.where[node.output] = expr, where
        self.group_of[node.output] = opened

    def _absorb_floating(self, node: Node, opened: _Open) -> None:
        """Note the floating nodes that `node` computes where it reads them."""
        for value in dict.fromkeys(node.inputs):
            source = self.floating.get(value)
            if source is not None and source not in opened.nodes:
                self._absorb_floating(source, opened)
                opened.nodes.append(source)
                saved = 0 if source.op == "Reshape" else 2 * self.graph.types[value].nbytes
                self.ledger.append(
                    Decision(True, _label(source), _label(opened.first), "computed where it is read", saved)
                )

    # -- the three fates of a node that is no anchor

    def _assemble(self, node: Node) -> bool:
        """A concat whose inputs are written straight into its result."""
        if node.op != "Concat" or self.level != "full":
            return False
        axis = node.attr("axis")
        assert isinstance(axis, int)
        if len(set(node.inputs)) < len(node.inputs) or not all(self._movable(value) for value in node.inputs):
            self._cut(node, "an input is not made by a kernel of its own, so the concat copies")
            return False
        start = 0
        for value in node.inputs:
            self.slots[value] = Slot(node.output, axis, start)
            start += self.graph.types[value].shape[axis]
            self.ledger.append(
                Decision(
                    True,
                    _label(node),
                    _label(self.producers[value]),
                    "written into its slice",
                    2 * self.graph.types[value].nbytes,
                )
            )
        self.assembled.add(node.output)
        return True

    def _movable(self, value: str) -> bool:
        """Whether a kernel can write `value` anywhere: made by a group or itself assembled, and promised nowhere else."""
        made = value in self.group_of or value in self.assembled
        return made and value not in self.slots and value not in self.graph.outputs

    def _join(self, node: Node) -> bool:
        """Become part of the epilogue of the latest group among those that make the inputs."""
        made = [value for value in node.inputs if value in self.group_of]
        if not made or self.level == "none":
            return False
        opened = max((self.group_of[value] for value in made), key=self.order.index)
        if any(self._made_after(value, opened) for value in node.inputs):
            return False
        if len(opened.nodes) >= LONGEST:
            self._cut(node, f"the group has {LONGEST} nodes already")
            return False
        mine = [value for value in made if self.group_of[value] is opened]
        source = mine[0]
        if self.level == "basic" and not self._is_clamp(node, opened, source):
            return False
        if node.op in ("Reshape", "Transpose"):
            return self._join_movement(node, opened, source)
        if node.op in MOVES:
            return False
        shape = self.graph.types[node.output].shape
        same = [value for value in mine if self.graph.types[value].shape == shape]
        if not same or any(opened.where[value] != opened.where[same[0]] for value in mine):
            self._cut(node, "it computes other elements than the group that makes its input")
            return False
        where = opened.where[same[0]]
        self._absorb_floating(node, opened)
        args = [
            opened.exprs[v] if v in opened.exprs else self.values.broadcast(v, where) for v in node.inputs
        ]
        self._add(opened, node, self.values.apply(node, args), where)
        self.ledger.append(
            Decision(
                True,
                _label(node),
                _label(opened.first),
                "computed on its result",
                2 * self.graph.types[source].nbytes,
            )
        )
        return True

    def _made_after(self, value: str, opened: _Open) -> bool:
        """Whether `value` is not in memory before `opened` runs, nor computed by it: made later, or out of memory that `opened` fills."""
        if value in opened.exprs:
            return False
        if value in self.floating:
            return any(self._needs(v, opened) for v in self.floating[value].inputs)
        return self._needs(value, opened)

    def _needs(self, value: str, opened: _Open) -> bool:
        if value in self.floating or value in self.assembled:
            return any(self._needs(v, opened) for v in self.producers[value].inputs)
        owner = self.group_of.get(value)
        return owner is not None and self.order.index(owner) >= self.order.index(opened)

    def _is_clamp(self, node: Node, opened: _Open, source: str) -> bool:
        """What the basic level fuses: one ReLU or constant Clip on an anchor's only use."""
        bounds = node.op == "Relu" or (
            node.op == "Clip" and all(v in self.graph.constants for v in node.inputs[1:])
        )
        return bounds and opened.stage.anchor == "contraction" and len(opened.exprs) == 1 and len(self.readers.get(source, [])) == 1 and (
            source not in self.graph.outputs
        )  # fmt: skip

    def _join_movement(self, node: Node, opened: _Open, source: str) -> bool:
        """A reshape or transpose of a group's result that has to be in memory: the group stores it in that order."""
        if self.level != "full" or not self._needed_in_memory(node):
            return False
        where, shape = opened.where[source], self.graph.types[source].shape
        if node.op == "Transpose":
            moved = tuple(where[axis] for axis in node.ints("perm"))
        else:
            moved = reshape_map(self.graph.types[node.output].shape, where, shape)
        self._add(opened, node, opened.exprs[source], moved)
        self.ledger.append(
            Decision(
                True,
                _label(node),
                _label(opened.first),
                "stored in that order",
                2 * self.graph.types[source].nbytes,
            )
        )
        return True

    def _needed_in_memory(self, node: Node) -> bool:
        return node.output in self.graph.outputs

    def _float(self, node: Node) -> bool:
        """Be computed where it is read."""
        if node.output in self.graph.outputs or not self.readers.get(node.output):
            return False
        readers = self.readers[node.output]
        if any(r.op == "Gather" and r.inputs[0] == node.output for r in readers):
            self._cut(node, "it is looked up by indices of run time")
            return False
        if node.op == "Reshape":
            self.floating[node.output] = node
            return True
        if self.level == "basic" and node.op == "Pad":
            into_conv = len(readers) == 1 and readers[0].op == "Conv" and readers[0].inputs[0] == node.output
            pads = (*node.ints("pads")[:2], *self._ends(node)[:2])
            if into_conv and node.attr("value") == 0 and not any(pads):
                self.floating[node.output] = node
                return True
        if self.level != "full":
            return False
        length = 1 + max((self.lengths.get(value, 0) for value in node.inputs), default=0)
        if length > LONGEST:
            self._cut(node, f"a chain of {LONGEST} nodes is computed where it is read already")
            return False
        if node.op == "Concat" or (len(readers) > 1 and node.op not in MOVEMENT):
            self._cut(node, "it has several readers")
            return False
        if node.op not in MOVEMENT and any(reader.op == "Resize" for reader in readers):
            self._cut(node, "a resize reads each of its elements several times")
            return False
        if any(reader.op in ("Concat",) for reader in readers):
            self._cut(node, "a concat takes only what a kernel makes")
            return False
        self.floating[node.output] = node
        self.lengths[node.output] = length
        return True

    def _ends(self, node: Node) -> tuple[int, ...]:
        pads = node.ints("pads")
        return pads[len(pads) // 2 :]

    def _cut(self, node: Node, reason: str) -> None:
        source = next((self.producers[v] for v in node.inputs if v in self.producers), node)
        self.ledger.append(Decision(False, _label(source), _label(node), reason))

    # -- closing

    def _close(self, opened: _Open) -> Group:
        """Outputs are the values that something outside reads."""
        inside = {node.output for node in opened.nodes}
        stores = []
        for value, expr in opened.exprs.items():
            outside = [
                r for r in self.readers.get(value, []) if r.output not in inside or self._shared(r, opened)
            ]
            if value in self.graph.outputs or outside:
                stores.append(Store(expr, value, opened.where[value]))
        nodes = sorted(opened.nodes, key=self.graph.nodes.index)
        return Group(
            (replace(opened.stage, stores=tuple(stores)),),
            tuple(map(_label, nodes)),
            tuple(n.op for n in nodes),
        )

    def _shared(self, reader: Node, opened: _Open) -> bool:
        """A floating reader noted in this group may be computed elsewhere as well."""
        return reader.output in self.floating and any(
            r.output not in {n.output for n in opened.nodes} or self._shared(r, opened)
            for r in self.readers.get(reader.output, [])
        )


def _label(node: Node) -> str:
    return node.name or node.output
