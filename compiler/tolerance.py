"""How far an output may be from the reference: derived from the sums that lead to it, never tuned.

Two float32 evaluations of a dot product of length K in different orders differ by about ``sqrt(K) * eps`` of the size of its terms (rounding
errors as a random walk; Higham, Accuracy and Stability of Numerical Algorithms, section 2.8). What reaches an output through several sums adds up at
worst, and the worst path counts; a safety factor of 4 covers growth in the ops between them. Well-conditioned models stay below one percent of this
bound; MediaPipe's pose landmark net, whose layers amplify errors, uses about a third of it.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np

from .graph import ANCHORS, MOVEMENT, Graph, Node

EPS = float(np.finfo(np.float32).eps)
SAFETY = 4.0
ELEMENTWISE_ULP = 4
"""What two implementations of an elementwise op may differ by: the bound that fusekit keeps for its own."""


def relative_tolerance(graph: Graph, output: str) -> float:
    """Largest difference allowed in `output`, relative to its largest element."""
    producers = graph.producers()
    errors: dict[str, float] = {}
    for node in graph.nodes:
        own = (
            sqrt(_terms(graph, node))
            if node.op in ANCHORS
            else 0.0
            if node.op in MOVEMENT
            else ELEMENTWISE_ULP
        )
        errors[node.output] = own + max((errors.get(v, 0.0) for v in node.inputs), default=0.0)
    return SAFETY * EPS * max(1.0, errors.get(output, 0.0)) if output in producers else 0.0


def _terms(graph: Graph, node: Node) -> int:
    """Numbers that one element of an anchor's output sums over."""
    if node.op == "Conv":
        return prod(graph.types[node.inputs[1]].shape[1:])
    if node.op == "ConvTranspose":
        return prod(graph.types[node.inputs[1]].shape) // graph.types[node.inputs[1]].shape[1]
    if node.op == "MatMul":
        return graph.types[node.inputs[0]].shape[-1]
    if node.op in ("MaxPool", "ReduceMax", "ReduceMin"):
        return 1
    if node.op == "AveragePool":
        return prod(node.ints("kernel"))
    return max(1, graph.types[node.inputs[0]].size // max(1, graph.types[node.output].size))
