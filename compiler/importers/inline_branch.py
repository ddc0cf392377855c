"""The branch that an If with a constant condition takes, as nodes of the graph around it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import onnx


def inline_branch(
    node: onnx.NodeProto, condition: bool, taken: Collection[str]
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes and initializers of the branch of `node` with names that are not `taken`, and copies that make the outputs of `node`."""
    wanted = "then_branch" if condition else "else_branch"
    branch = onnx.GraphProto()
    branch.CopyFrom(next(a.g for a in node.attribute if a.name == wanted))
    own = [t.name for t in branch.initializer] + [o for n in branch.node for o in n.output if o]
    renamed: dict[str, str] = {}
    for name in own:
        fresh = f"{node.output[0]}/{name}"
        while fresh in taken:
            fresh += "'"
        renamed[name] = fresh
    _rename(branch, renamed)
    copies = [
        onnx.helper.make_node(
            "Identity", [renamed.get(value.name, value.name)], [output], name=f"{node.name}/{output}"
        )
        for value, output in zip(branch.output, node.output, strict=True)
        if output
    ]
    return [*branch.node, *copies], list(branch.initializer)


def names_read(nodes: Collection[onnx.NodeProto]) -> set[str]:
    """Every name that `nodes` or the subgraphs in them read."""
    found: set[str] = set()
    for node in nodes:
        found.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                found |= names_read(attribute.g.node) | {value.name for value in attribute.g.output}
    return found


def _rename(graph: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    """Every use of a renamed value in `graph` and in the subgraphs of its nodes."""
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _rename(attribute.g, renamed)
