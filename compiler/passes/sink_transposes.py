"""Transposes moved behind elementwise operators, concats, reductions and products, where they meet the transposes that undo them.

Exporters that know images channels last put a pair of transposes around whatever they do not convert: Conv, Transpose, HardSwish, Transpose, Conv.
Behind the HardSwish the first one meets the second, and the convolution and the HardSwish are neighbours. ConvNeXt and its kin do the same around a
layer normalization and two products with constants, which are 1x1 convolutions without the transposes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..elementwise import TABLE
from ..graph import REDUCTIONS, Graph, Node, add_value
from .remove_dead_nodes import remove_dead_nodes

Perm = tuple[int, ...]


def sink_transposes(graph: Graph) -> Graph:
    """`graph` with what reads transposed values computed before their Transpose: elementwise operators and concats whose full-sized inputs are
    transposed alike, reductions, and products with constants."""
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
        self.undone: dict[tuple[str, Perm], str] = {}
        """Values with their axes moved, by what moved them."""
        self.kernels: dict[tuple[str, int], str] = {}
        """Matrices as weights of convolutions of a rank."""

    def take(self, node: Node) -> None:
        node = self._joined(replace(node, inputs=tuple(self.same.get(v, v) for v in node.inputs)))
        perm = self._perm(node.inputs[0]) if node.inputs else None
        if perm and node.op in REDUCTIONS:
            self._reduce(node, perm)
        elif perm and self._is_pointwise(node, perm):
            self._convolve(node, perm)
        elif common := self._common_perm(node):
            self._compute(node, common)
        else:
            self.nodes[node.output] = node

    def _compute(self, node: Node, perm: Perm) -> None:
        """An elementwise operator or a concat before the Transposes by `perm` that it reads."""
        attrs = tuple(
            ("axis", perm[v]) if k == "axis" and isinstance(v, int) else (k, v) for k, v in node.attrs
        )
        inputs = tuple(self._undone(value, perm) for value in node.inputs)
        self._then_transposed(replace(node, inputs=inputs, attrs=attrs), perm)

    def _reduce(self, node: Node, perm: Perm) -> None:
        """A reduction before the Transpose by `perm` that it reads; of that remains what moves the axes that are left."""
        over = node.ints("axes")
        axes = tuple(sorted(perm[axis] for axis in over))
        left = [perm[axis] for axis in range(len(perm)) if node.attr("keepdims") or axis not in over]
        attrs = tuple(("axes", axes) if k == "axes" else (k, v) for k, v in node.attrs)
        reduced = replace(node, inputs=(self._undone(node.inputs[0], perm),), attrs=attrs)
        self._then_transposed(reduced, tuple(sorted(left).index(axis) for axis in left))

    def _is_pointwise(self, node: Node, perm: Perm) -> bool:
        """Whether `node` multiplies an image whose channels a Transpose put last, in float32, by a constant matrix: a convolution with 1x1 windows."""
        if node.op != "MatMul" or node.inputs[1] not in self.constants or len(perm) < 3:
            return False
        x, w = (self.types[value] for value in node.inputs)
        return perm == (0, *range(2, len(perm)), 1) and len(w.shape) == 2 and x.dtype == "float32"

    def _convolve(self, node: Node, perm: Perm) -> None:
        """The product as a convolution of what the Transpose by `perm` reads."""
        x, w = node.inputs
        once = (1,) * (len(perm) - 2)
        if (w, len(perm)) not in self.kernels:
            turned = np.ascontiguousarray(self.constants[w].T)
            kernel = add_value(self.types, f"{w}/kernel", self.types[w].shaped((*turned.shape, *once)))
            self.constants[kernel] = turned.reshape(*turned.shape, *once)
            self.kernels[w, len(perm)] = kernel
        attrs = (("dilations", once), ("group", 1), ("pads", (0,) * 2 * len(once)), ("strides", once))
        inputs = self._undone(x, perm), self.kernels[w, len(perm)]
        self._then_transposed(Node("Conv", inputs, node.output, attrs, node.name), perm)

    def _then_transposed(self, node: Node, perm: Perm) -> None:
        """`node`, whose result is now to be transposed by `perm`, and that Transpose; none where `perm` moves nothing."""
        if perm == tuple(range(len(perm))):
            self.nodes[node.output] = node
            return
        shape = _permuted(self.types[node.output].shape, _inverse(perm))
        before = add_value(
            self.types, f"{node.output}/before_transpose", self.types[node.output].shaped(shape)
        )
        self.nodes[before] = replace(node, output=before)
        self.nodes[node.output] = Node(
            "Transpose", (before,), node.output, (("perm", perm),), f"{node.name}/transpose"
        )

    def _perm(self, value: str) -> Perm | None:
        """By what `value` is transposed, where it is."""
        maker = self.nodes.get(value)
        return maker.ints("perm") if maker and maker.op == "Transpose" else None

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
        perms = {self._perm(value) for value in full}
        return perms.pop() if len(perms) == 1 else None

    def _undone(self, value: str, perm: Perm) -> str:
        """`value` with its axes as they are before a Transpose by `perm`."""
        if self._perm(value) == perm:
            return self.nodes[value].inputs[0]
        type_ = self.types[value]
        if len(type_.shape) == 0 or all(n == 1 for n in type_.shape) and len(type_.shape) <= len(perm):
            return value
        inverse = _inverse(perm)
        aligned = (1,) * (len(perm) - len(type_.shape)) + type_.shape
        if (value, perm) in self.undone:
            return self.undone[value, perm]
        name = add_value(
            self.types,
            f"{value}/perm_{'_'.join(map(str, inverse))}",
            self.types[value].shaped(_permuted(aligned, inverse)),
        )
        self.undone[value, perm] = name
        if value in self.constants:
            moved = self.constants[value].reshape(aligned).transpose(inverse)
            self.constants[name] = np.ascontiguousarray(moved)
            return name
        if aligned != type_.shape:
            long = add_value(self.types, f"{value}/rank_{len(perm)}", self.types[value].shaped(aligned))
            self.nodes[long] = Node("Reshape", (value,), long, (), long)
            value = long
        self.nodes[name] = Node("Transpose", (value,), name, (("perm", inverse),), name)
        return name


def _permuted(shape: tuple[int, ...], perm: Perm) -> tuple[int, ...]:
    return tuple(shape[axis] for axis in perm)


def _inverse(perm: Perm) -> Perm:
    return tuple(perm.index(axis) for axis in range(len(perm)))
