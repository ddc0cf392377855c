"""Nodes, constants and types that no output depends on, removed."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph


def remove_dead_nodes(graph: Graph) -> Graph:
    """`graph` with what its outputs need; its inputs all stay, being part of its signature."""
    live = set(graph.outputs)
    kept = []
    for node in reversed(graph.nodes):
        if node.output in live:
            live.update(node.inputs)
            kept.append(node)
    constants = {name: data for name, data in graph.constants.items() if name in live}
    types = {name: type_ for name, type_ in graph.types.items() if name in live or name in graph.inputs}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants, types=types)
