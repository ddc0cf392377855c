"""Per-channel constants multiplied with or added to a linear operator, folded into its weights and bias.

``(w * x + b) * m + a = (m w) * x + (m b + a)`` with `m` and `a` one number per output channel: what batch normalization is at inference.
A MatMul has no bias; the Add of a constant behind it is one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph, Node, Type, add_value
from .remove_dead_nodes import remove_dead_nodes


@dataclass(frozen=True)
class Linear:
    """A Conv, ConvTranspose or MatMul with constant float64 weights and bias; `add` is the node that adds the bias of a MatMul."""

    node: Node
    add: Node | None
    weights: np.ndarray
    bias: np.ndarray | None

    def times(self, factor: np.ndarray) -> Linear:
        """It times one number per channel."""
        bias = None if self.bias is None else self.bias * factor
        return replace(self, weights=self.weights * self._by_channel(factor), bias=bias)

    def plus(self, addend: np.ndarray) -> Linear:
        """It plus one number per channel."""
        return replace(self, bias=addend if self.bias is None else self.bias + addend)

    def _by_channel(self, vector: np.ndarray) -> np.ndarray:
        """`vector` where the weights have the output channel."""
        kernel = [1] * (self.weights.ndim - 2)
        if self.node.op == "MatMul":
            return vector
        if self.node.op == "Conv":
            return vector.reshape(-1, 1, *kernel)
        # (input channels, output channels of their group, kernel…)
        inputs, outputs = self.weights.shape[:2]
        groups = vector.reshape(-1, outputs)
        return np.repeat(groups, inputs // len(groups), axis=0).reshape(inputs, outputs, *kernel)


def fold_batch_norm(graph: Graph) -> Graph:
    """`graph` with every Mul, Div, Add or Sub of a per-channel constant folded into the linear operator before it, where nothing else reads that."""
    consumers = graph.consumers()
    once = {v for v, readers in consumers.items() if len(readers) == 1 and v not in graph.outputs}
    constants, types = dict(graph.constants), dict(graph.types)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        folded = _folded(node, nodes, once, types, constants)
        if folded is None:
            nodes[node.output] = node
            continue
        weights = _constant(f"{node.output}/weights", folded.weights, types, constants)
        inputs: tuple[str, ...] = (folded.node.inputs[0], weights)
        del nodes[folded.node.output]
        if folded.bias is not None:
            bias = _constant(f"{node.output}/bias", folded.bias, types, constants)
        if folded.add is None:
            inputs = inputs if folded.bias is None else (*inputs, bias)
            nodes[node.output] = replace(folded.node, inputs=inputs, output=node.output)
        else:
            del nodes[folded.add.output]
            nodes[folded.node.output] = replace(folded.node, inputs=inputs)
            nodes[node.output] = replace(folded.add, inputs=(folded.node.output, bias), output=node.output)
    return remove_dead_nodes(replace(graph, nodes=tuple(nodes.values()), types=types, constants=constants))


def _folded(
    node: Node,
    nodes: Mapping[str, Node],
    once: Collection[str],
    types: Mapping[str, Type],
    constants: Mapping[str, np.ndarray],
) -> Linear | None:
    """The linear operator before `node` with the constant of `node` in it; None where there is none, or float32 has no such weights."""
    for value, data in _operands(node, constants):
        linear = _linear(value, nodes, once, types, constants)
        if linear is None or types[value] != types[node.output]:
            continue
        vector = _per_channel(data, types[value].shape, _axis(linear.node, types))
        if vector is None or (
            node.op in ("Add", "Sub") and linear.node.op == "MatMul" and linear.add is None
        ):
            continue
        with np.errstate(all="ignore"):
            if node.op in ("Mul", "Div"):
                folded = linear.times(vector if node.op == "Mul" else 1 / vector)
            else:
                folded = linear.plus(vector if node.op == "Add" else -vector)
            arrays = [a.astype(np.float32) for a in (folded.weights, folded.bias) if a is not None]
        if all(np.isfinite(array).all() for array in arrays):
            return folded
    return None


def _operands(node: Node, constants: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """The value and the float64 constant that `node` combines."""
    if node.op not in ("Add", "Mul", "Sub", "Div"):
        return
    pairs = [node.inputs, node.inputs[::-1]] if node.op in ("Add", "Mul") else [node.inputs]
    for value, other in pairs:
        if other in constants:
            yield value, constants[other].astype(np.float64)


def _linear(
    value: str,
    nodes: Mapping[str, Node],
    once: Collection[str],
    types: Mapping[str, Type],
    constants: Mapping[str, np.ndarray],
) -> Linear | None:
    """The linear operator that makes `value`, with its bias, if it is made for a single reader."""
    node = nodes.get(value)
    if node is None or value not in once:
        return None
    if node.op in ("Conv", "ConvTranspose", "MatMul") and all(v in constants for v in node.inputs[1:]):
        weights, *rest = (constants[v].astype(np.float64) for v in node.inputs[1:])
        if node.op == "MatMul":
            return Linear(node, None, weights, None)
        return Linear(node, None, weights, rest[0] if rest else np.zeros(types[value].shape[1]))
    if node.op != "Add":
        return None
    for source, data in _operands(node, constants):
        inner = _linear(source, nodes, once, types, constants)
        if (
            inner is None
            or inner.node.op != "MatMul"
            or inner.add is not None
            or types[source] != types[value]
        ):
            continue
        bias = _per_channel(data, types[value].shape, _axis(inner.node, types))
        if bias is not None:
            return replace(inner, add=node, bias=bias)
    return None


def _axis(node: Node, types: Mapping[str, Type]) -> int:
    """The axis of the output channels."""
    return len(types[node.output].shape) - 1 if node.op == "MatMul" else 1


def _per_channel(data: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray | None:
    """`data` as one number per channel of `shape`; None where it differs along another axis."""
    if data.ndim > len(shape):
        return None
    full = data.reshape((1,) * (len(shape) - data.ndim) + data.shape)
    if any(n not in (1, shape[axis] if i == axis else 1) for i, n in enumerate(full.shape)):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[axis],))


def _constant(name: str, data: np.ndarray, types: dict[str, Type], constants: dict[str, np.ndarray]) -> str:
    """Record `data` in float32 under `name` or, where that is taken, a longer one."""
    name = add_value(types, name, Type("float32", data.shape))
    constants[name] = data.astype(np.float32)
    return name
