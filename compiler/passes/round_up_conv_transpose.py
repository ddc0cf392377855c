"""ConvTranspose whose output is no multiple of its stride: computed up to the next multiple, then cut.

Code generation computes a transposed convolution by phases, stride x stride ordinary convolutions whose results interleave; all are equally
large. The cut is movement and costs nothing where the result is read.
"""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node, add_value


def round_up_conv_transpose(graph: Graph) -> Graph:
    """`graph` with every ConvTranspose giving whole multiples of its strides."""
    nodes: list[Node] = []
    types = dict(graph.types)
    for node in graph.nodes:
        shape = graph.types[node.output].shape
        rest = (
            [-extent % stride for extent, stride in zip(shape[2:], node.ints("strides"), strict=True)]
            if node.op == "ConvTranspose"
            else []
        )
        if not any(rest):
            nodes.append(node)
            continue
        larger = (*shape[:2], *(n + r for n, r in zip(shape[2:], rest, strict=True)))
        whole = add_value(types, f"{node.output}/whole", types[node.output].shaped(larger))
        cut = (("starts", (0,) * len(shape)), ("steps", (1,) * len(shape)))
        nodes += [replace(node, output=whole), Node("Slice", (whole,), node.output, cut, f"{node.name}/cut")]
    return replace(graph, nodes=tuple(nodes), types=types)
