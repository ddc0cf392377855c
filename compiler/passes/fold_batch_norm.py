"""Per-channel constants multiplied with or added to a linear operator, folded into its weights and bias.

``(w * x + b) * m + a = (m w) * x + (m b + a)`` with `m` and `a` one number per output channel: what batch normalization is at inference.
A MatMul has no bias; the Add of a constant behind it is one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Graph, Node, Type
from .remove_dead_nodes import remove_dead_nodes


@dataclass(frozen=True)
class Linear:
    """A Conv, ConvTranspose or MatMul with constant weights, its bias as one float64 per channel, and the Add that is the bias of a MatMul."""

    node: Node
    weights: np.ndarray
    bias: np.ndarray | None
    add: Node | None = None

    def scaled(self, factor: np.ndarray) -> Linear:
        """It times `factor`, one number per channel."""
        weights = self.weights
        match self.node.op:
            case "MatMul":
                weights = weights * factor
            case "Conv":
                weights = weights * factor.reshape(-1, *[1] * (weights.ndim - 1))
            case _:
                # Weights of a transposed convolution are (input channels, output channels of a group, kernel…).
                grouped = weights.reshape(self.node.ints("group")[0] if False else _group(self.node), -1, *weights.shape[1:])
                shape = (len(grouped), 1, weights.shape[1], *[1] * (weights.ndim - 2))
                weights = (grouped * factor.reshape(shape)).reshape(weights.shape)
        return replace(self, weights=weights, bias=None if self.bias is None else self.bias * factor)

    def shifted(self, addend: np.ndarray) -> Linear:
        """It plus `addend`, one number per channel."""
        return replace(self, bias=addend if self.bias is None else self.bias + addend)


def fold_batch_norm(graph: Graph) -> Graph:
    """`graph` with every Mul, Div, Add or Sub of a per-channel constant folded into the linear operator before it, where nothing else reads that."""
    consumers = graph.consumers()
    once = {v for v, readers in consumers.items() if len(readers) == 1 and v not in graph.outputs}
    constants, types = dict(graph.constants), dict(graph.types)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        nodes[node.output] = node
        linear = _folded(node, nodes, once, constants, types)
        if linear is None:
            continue
        for old in (linear.node, linear.add):
            if old is not None:
                del nodes[old.output]
        del nodes[node.output]
        for new in _nodes(linear, node.output, constants, types):
            nodes[new.output] = new
    return remove_dead_nodes(replace(graph, nodes=tuple(nodes.values()), types=types, constants=constants))
