"""Enlargements moved behind the 1x1 convolutions that read them, which then compute a fraction of the positions.

A resized element is a weighted mean of elements of its channel, with weights that sum to one, and a 1x1 convolution is a weighted sum of channels plus
a bias: each may come first.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node, add_value


def delay_resize(graph: Graph) -> Graph:
    """`graph` with ``Conv(Resize(x))`` as ``Resize(Conv(x))`` where the convolution is 1x1 and nothing else reads the larger image."""
    producers, consumers = graph.producers(), graph.consumers()
    types = dict(graph.types)
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        resize = producers.get(node.inputs[0]) if node.inputs else None
        if (
            resize is None
            or not _enlarges(graph, resize)
            or not _is_pointwise(graph, node)
            or resize.output in graph.outputs
            or len(consumers[resize.output]) > 1
        ):
            nodes[node.output] = node
            continue
        batch, channels = types[node.output].shape[:2]
        shape = batch, channels, *types[resize.inputs[0]].shape[2:]
        small = add_value(types, f"{node.output}/before_resize", types[node.output].shaped(shape))
        del nodes[resize.output]
        nodes[small] = replace(node, inputs=(resize.inputs[0], *node.inputs[1:]), output=small)
        nodes[node.output] = replace(resize, inputs=(small,), output=node.output)
    return replace(graph, nodes=tuple(nodes.values()), types=types)


def _enlarges(graph: Graph, node: Node) -> bool:
    """Whether a node is a Resize of images, not of channels, to more elements."""
    if node.op != "Resize":
        return False
    before, after = graph.types[node.inputs[0]], graph.types[node.output]
    return before.shape[:2] == after.shape[:2] and before.size < after.size


def _is_pointwise(graph: Graph, node: Node) -> bool:
    if node.op != "Conv" or node.attr("group") != 1:
        return False
    kernel = graph.types[node.inputs[1]].shape[2:]
    return all(n == 1 for n in (*kernel, *node.ints("strides"))) and not any(node.ints("pads"))
