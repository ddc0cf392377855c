"""Nodes that read nothing but constants, replaced by their values."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph
from ..interpret_graph import run_node
from .remove_dead_nodes import remove_dead_nodes


def fold_constants(graph: Graph) -> Graph:
    """`graph` without nodes whose inputs are all constant, except one that makes an output: an output is always made by a node."""
    constants = dict(graph.constants)
    kept = []
    for node in graph.nodes:
        if node.output not in graph.outputs and all(value in constants for value in node.inputs):
            operands = [constants[value] for value in node.inputs]
            scalars = [operand.size == 1 for operand in operands]
            constants[node.output] = run_node(node, graph.types[node.output], operands, scalars)
        else:
            kept.append(node)
    return remove_dead_nodes(replace(graph, nodes=tuple(kept), constants=constants))
