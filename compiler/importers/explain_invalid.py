"""What is wrong with a model that ONNX's checker refuses, where it can be said better than the checker does."""

from __future__ import annotations

import difflib
from pathlib import Path

import onnx
import onnx.defs


def explain_invalid(model: onnx.ModelProto, opset: int, path: Path) -> str | None:
    """One sentence about the first node with an unknown operator or an input that nothing makes before it; None where there is neither."""
    graph = model.graph
    known = {_readable(value.name) for value in (*graph.input, *graph.initializer)}
    makers = {
        _readable(value): _called(node, position)
        for position, node in enumerate(graph.node)
        for value in node.output
        if value
    }
    for position, node in enumerate(graph.node):
        called = _called(node, position)
        if node.domain in ("", "ai.onnx") and not onnx.defs.has(op := _readable(node.op_type), opset):
            return _operator(op, called, opset, path)
        for number, value in enumerate(map(_readable, node.input)):
            if not value or value in known:
                continue
            if value in makers:
                return f"{called}, of {path} reads {value} before it is made by {makers[value]}; sort the nodes or export it again"
            close = difflib.get_close_matches(value, sorted(known), n=1)
            hint = f"; did you mean {close[0]}?" if close else "; export it again with all of its weights"
            return f"{called}, of {path} reads {value} as {_input(node, number, opset)}, and no weight, input or node of the model makes {value}{hint}"
        known.update(map(_readable, node.output))
    return None


def _called(node: onnx.NodeProto, position: int) -> str:
    op = _readable(node.op_type)
    return f"{op}, node {_readable(node.name) or f'{op}_{position}'}"


def _readable(name: str | bytes) -> str:
    """A name that protobuf gives as bytes, because it is no UTF-8, with its other bytes replaced."""
    return name.decode(errors="replace") if isinstance(name, bytes) else name


def _operator(op: str, called: str, opset: int, path: Path) -> str | None:
    if onnx.defs.has(op):
        since = min(s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op)
        if since <= opset:
            return None
        return f"{called}, of {path} came with opset {since} and the model uses opset {opset}; export it again with opset {since}"
    names = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
    close = difflib.get_close_matches(op, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else "; write it with the operators of ONNX"
    return f"{called}, of {path} is no operator of ONNX{hint}"


def _input(node: onnx.NodeProto, number: int, opset: int) -> str:
    """Its position among the inputs and, where ONNX knows it, its name."""
    try:
        formal = onnx.defs.get_schema(_readable(node.op_type), opset, node.domain).inputs
    except onnx.defs.SchemaError:
        return f"input {number}"
    return f"input {number} ({formal[number].name})" if number < len(formal) else f"input {number}"
