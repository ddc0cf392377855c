"""Per-channel constants multiplied with or added to a convolution, folded into its weights and bias.

``(w * x + b) * m + a = (m w) * x + (m b + a)`` with `m` and `a` one number per output channel: what batch normalization is at inference.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from ..graph import Graph, Node, Type
from .remove_dead_nodes import remove_dead_nodes


def fold_batch_norm(graph: Graph) -> Graph:
    """`graph` with every Mul or Add of a per-channel constant folded into the Conv before it, where nothing else reads the Conv."""
    consumers = graph.consumers()
    constants, types = dict(graph.constants), dict(graph.types)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        found = _foldable(node, nodes, graph, consumers, constants)
        if found is None:
            nodes[node.output] = node
            continue
        conv, vector = found
        weights = constants[conv.inputs[1]].astype(np.float64)
        bias = constants[conv.inputs[2]].astype(np.float64) if len(conv.inputs) > 2 else np.zeros(len(vector))
        if node.op == "Mul":
            weights, bias = weights * vector.reshape(-1, *[1] * (weights.ndim - 1)), bias * vector
        else:
            bias = bias + vector
        names = (_fresh(f"{node.output}/weights", types), _fresh(f"{node.output}/bias", types))
        for name, data in zip(names, (weights, bias), strict=True):
            constants[name] = data.astype(np.float32)
            types[name] = Type("float32", data.shape)
        del nodes[conv.output]
        nodes[node.output] = replace(conv, inputs=(conv.inputs[0], *names), output=node.output)
    return remove_dead_nodes(replace(graph, nodes=tuple(nodes.values()), types=types, constants=constants))


def _fresh(name: str, taken: Collection[str]) -> str:
    """`name`, lengthened until nothing else has it."""
    while name in taken:
        name += "'"
    return name


def _foldable(
    node: Node,
    nodes: dict[str, Node],
    graph: Graph,
    consumers: dict[str, list[Node]],
    constants: dict[str, np.ndarray],
) -> tuple[Node, np.ndarray] | None:
    """The Conv before `node` and the constant to fold into it, one number per output channel; None where there is no such pair."""
    if node.op not in ("Mul", "Add"):
        return None
    for value, other in (node.inputs, node.inputs[::-1]):
        conv = nodes.get(value)
        if conv is None or conv.op != "Conv" or graph.types[value] != graph.types[node.output]:
            continue
        only_reader = len(consumers[value]) == 1 and value not in graph.outputs
        if only_reader and all(name in constants for name in (other, *conv.inputs[1:])):
            vector = _per_channel(constants[other], graph.types[value].shape)
            return None if vector is None else (conv, vector)
    return None


def _per_channel(data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """`data` as one float64 per channel of `shape`; None where it differs along another axis."""
    if data.ndim > len(shape):
        return None
    full = data.reshape((1,) * (len(shape) - data.ndim) + data.shape).astype(np.float64)
    if any(n != 1 for axis, n in enumerate(full.shape) if axis != 1):
        return None
    return np.broadcast_to(full.reshape(-1), (shape[1],))
