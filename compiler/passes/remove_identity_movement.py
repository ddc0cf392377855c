"""Data movement that moves nothing, removed; movements that undo or continue each other, merged."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from .remove_dead_nodes import remove_dead_nodes


def remove_identity_movement(graph: Graph) -> Graph:
    """`graph` with chains of Reshape and of Transpose as one node each, and without movements to the same place.

    A movement stays where it makes an output out of an input, a constant or another output, which must keep their own names.
    """
    producers: dict[str, Node] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes:
        node = replace(node, inputs=tuple(renamed.get(value, value) for value in node.inputs))
        node = _merged(node, producers, graph)
        source = node.inputs[0] if _moves_nothing(node, graph) else None
        if source is None or (
            node.output in graph.outputs and (source in graph.outputs or source not in producers)
        ):
            producers[node.output] = node
        elif node.output not in graph.outputs:
            renamed[node.output] = source
        else:
            # The output takes over its source's place, and readers of the source read the output.
            renamed = {old: node.output if new == source else new for old, new in renamed.items()} | {
                source: node.output
            }
            producers = _with_output(producers, source, node.output)
    return remove_dead_nodes(replace(graph, nodes=tuple(producers.values())))


def _merged(node: Node, producers: dict[str, Node], graph: Graph) -> Node:
    """`node` reading what the movement of the same kind before it reads; a Transpose of nothing but single elements as a Reshape."""
    if node.op == "Transpose" and _keeps_order(node.ints("perm"), graph.types[node.inputs[0]].shape):
        node = replace(node, op="Reshape", attrs=())
    before = producers.get(node.inputs[0]) if node.inputs else None
    if before is None or before.op != node.op:
        return node
    if node.op == "Reshape":
        return replace(node, inputs=before.inputs)
    if node.op == "Transpose":
        perm = tuple(before.ints("perm")[axis] for axis in node.ints("perm"))
        joined = replace(node, inputs=before.inputs, attrs=(("perm", perm),))
        return _merged(joined, producers, graph)
    return node


def _keeps_order(perm: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether `perm` leaves the axes of more than one element in their order."""
    moved = [axis for axis in perm if shape[axis] > 1]
    return moved == sorted(moved)


def _moves_nothing(node: Node, graph: Graph) -> bool:
    if len(node.inputs) != 1 or graph.types[node.inputs[0]] != graph.types[node.output]:
        return False
    if node.op == "Slice":
        return all(step > 0 for step in node.ints("steps"))
    return node.op in ("Reshape", "Expand", "Pad", "Concat")


def _with_output(producers: dict[str, Node], old: str, new: str) -> dict[str, Node]:
    """`producers` with the value `old` called `new` wherever it is made or read."""
    changed: dict[str, Node] = {}
    for node in producers.values():
        node = replace(node, inputs=tuple(new if value == old else value for value in node.inputs))
        node = replace(node, output=new) if node.output == old else node
        changed[node.output] = node
    return changed
