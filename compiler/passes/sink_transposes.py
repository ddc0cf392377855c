"""Transposes moved behind elementwise operators and concats, where they meet the transposes that undo them.

Exporters that know images channels last put a pair of transposes around whatever they do not convert: Conv, Transpose, HardSwish, Transpose, Conv.
Behind the HardSwish the first one meets the second, and the convolution and the HardSwish are neighbours.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..elementwise import TABLE
from ..graph import Graph, Node, Type
from .remove_dead_nodes import remove_dead_nodes

Perm = tuple[int, ...]


def sink_transposes(graph: Graph) -> Graph:
    """`graph` with every elementwise operator or concat whose full-sized inputs are transposed alike computed before their Transpose."""
    sink = _Sink(graph)
    for node in graph.nodes:
        sink.take(node)
    done = replace(graph, nodes=tuple(sink.nodes.values()), types=sink.types, constants=sink.constants)
    return remove_dead_nodes(done)


class _Sink:
    def __init__(self, graph: Graph) -> None:
        self.nodes: dict[str, Node] = {}
        self.same: dict[str, str] = {}
        """What a Transpose that undoes another one gives back."""
        self.types, self.constants = dict(graph.types), dict(graph.constants)

    def take(self, node: Node) -> None:
        node = self._joined(replace(node, inputs=tuple(self.same.get(v, v) for v in node.inputs)))
        perm = self._common_perm(node)
        if perm is None:
            self.nodes[node.output] = node
            return
        out = self.types[node.output]
        before = f"{node.output}/before_transpose"
        self.types[before] = Type(out.dtype, _permuted(out.shape, _inverse(perm)))
        attrs = tuple(
            ("axis", perm[v]) if k == "axis" and isinstance(v, int) else (k, v) for k, v in node.attrs
        )
        inputs = tuple(self._undone(value, perm) for value in node.inputs)
        self.nodes[before] = replace(node, inputs=inputs, output=before, attrs=attrs)
        self.nodes[node.output] = Node(
            "Transpose", (before,), node.output, (("perm", perm),), f"{node.name}/transpose"
        )

    def _joined(self, node: Node) -> Node:
        """A Transpose of a Transpose as one."""
        before = self.nodes.get(node.inputs[0]) if node.op == "Transpose" else None
        if before is None or before.op != "Transpose":
            return node
        perm = _permuted(before.ints("perm"), node.ints("perm"))
        if perm == tuple(range(len(perm))):
            self.same[node.output] = before.inputs[0]
        return replace(node, inputs=before.inputs, attrs=(("perm", perm),))

    def _common_perm(self, node: Node) -> Perm | None:
        """The permutation of all inputs that are not broadcast, where they share one."""
        if node.op not in TABLE and node.op != "Concat":
            return None
        shape = self.types[node.output].shape
        full = [
            value
            for value in node.inputs
            if value not in self.constants and (node.op == "Concat" or self.types[value].shape == shape)
        ]
        makers = [self.nodes.get(value) for value in full]
        perms = {maker.ints("perm") if maker and maker.op == "Transpose" else None for maker in makers}
        return perms.pop() if len(perms) == 1 else None

    def _undone(self, value: str, perm: Perm) -> str:
        """`value` with its axes as they are before a Transpose by `perm`."""
        maker = self.nodes.get(value)
        if maker and maker.op == "Transpose" and maker.ints("perm") == perm:
            return maker.inputs[0]
        type_ = self.types[value]
        if len(type_.shape) == 0 or all(n == 1 for n in type_.shape) and len(type_.shape) <= len(perm):
            return value
        inverse = _inverse(perm)
        aligned = (1,) * (len(perm) - len(type_.shape)) + type_.shape
        name = f"{value}/perm_{'_'.join(map(str, inverse))}"
        if name in self.types:
            return name
        self.types[name] = Type(type_.dtype, _permuted(aligned, inverse))
        if value in self.constants:
            moved = self.constants[value].reshape(aligned).transpose(inverse)
            self.constants[name] = np.ascontiguousarray(moved)
            return name
        if aligned != type_.shape:
            long = f"{value}/rank_{len(perm)}"
            self.types[long] = Type(type_.dtype, aligned)
            self.nodes[long] = Node("Reshape", (value,), long, (), long)
            value = long
        self.nodes[name] = Node("Transpose", (value,), name, (("perm", inverse),), name)
        return name


def _permuted(shape: tuple[int, ...], perm: Perm) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in perm)


def _inverse(perm: Perm) -> Perm:
    return tuple(perm.index(axis) for axis in range(len(perm)))
