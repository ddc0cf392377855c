"""ONNX model in, Graph out.

Every node is handled in order: one whose inputs are all known is evaluated, any other gets the types of its outputs from ONNX's own
shape inference and is lowered to canonical nodes by the function under its name in `IMPORTERS`. What cannot be lowered is collected,
so that one message lists all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference

from ...errors import UserError
from ..elementwise import TABLE
from ..graph import Graph, Node, Type, verify
from . import (
    onnx_einsum,
    onnx_elementwise,
    onnx_gather,
    onnx_matmul,
    onnx_movement,
    onnx_normalization,
    onnx_reduction,
    onnx_resize,
    onnx_window,
)
from .builder import DTYPES, Builder
from .check_shapes import check_count, check_sizes
from .evaluate_constant import evaluate, is_constant
from .inline_branch import inline_branch, names_read
from .onnx_file import bind_inputs, checked, opset, read_model, read_weights, type_proto
from .onnx_node import OnnxNode, Unsupported, Value

Importer = Callable[[Builder, OnnxNode], None]
Problem = tuple[str, str, str]
"""ONNX op (or ``input``, ``output``), name of the node (or value) and the reason."""

IMPORTERS: Mapping[str, Importer] = {
    **onnx_einsum.IMPORTERS,
    **onnx_elementwise.IMPORTERS,
    **onnx_gather.IMPORTERS,
    **onnx_matmul.IMPORTERS,
    **onnx_movement.IMPORTERS,
    **onnx_normalization.IMPORTERS,
    **onnx_reduction.IMPORTERS,
    **onnx_resize.IMPORTERS,
    **onnx_window.IMPORTERS,
}
"""ONNX op name to the function that lowers it; the ops of `elementwise.TABLE` need none of their own."""

UNINFERRED = frozenset({"GroupNormalization", "MeanVarianceNormalization"})
"""Operators that ONNX infers no type for and that give the type they take."""


def import_onnx(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Graph:
    """The model in `path` with static shapes: `shapes` gives those of inputs with dynamic dimensions.

    UserError: see `read_model`, `bind_inputs`, `checked` and `read_weights`; and operators, attributes or element types that are not supported, all of them in one text.
    """
    model = read_model(path)
    inputs = bind_inputs(model, shapes, path)
    model = checked(model, inputs, path)
    names = {name for proto in model.graph.node for name in proto.output}
    builder = Builder(reserved=frozenset(names), types=dict(inputs))
    for name, data in read_weights(model, path).items():
        builder.add_constant(name, data)
    problems = [
        ("input", name, reason) for name, type_ in inputs.items() if (reason := _input_reason(name, type_))
    ]
    outputs = tuple(value.name for value in model.graph.output)
    _import_nodes(model, builder, problems)
    _make_outputs(outputs, inputs, builder, problems)
    if problems:
        raise UserError(_report(path, problems))
    return verify(_graph(path.stem, outputs, builder, tuple(inputs)))


def _import_nodes(model: onnx.ModelProto, builder: Builder, problems: list[Problem]) -> None:
    used = names_read(model.graph.node) | {value.name for value in model.graph.output}
    names: set[str] = set()
    waiting = deque(model.graph.node)
    for position in count():
        if not waiting:
            return
        proto = waiting.popleft()
        name = (
            proto.name
            if proto.name and proto.name not in names
            else f"{proto.name or proto.op_type}_{position}"
        )
        names.add(name)
        try:
            with _as_unsupported():
                if proto.op_type == "If" and proto.input[0] in builder.constants:
                    branch = _inline(proto, builder)
                    used |= names_read(branch)
                    waiting.extendleft(reversed(branch))
                elif is_constant(proto, builder.constants, builder.types):
                    _fold(model, proto, builder)
                elif all(value in builder.types for value in proto.input if value):
                    _import_node(model, proto, name, used, builder)
        except Unsupported as reason:
            problems.append((proto.op_type, name, str(reason)))


def _inline(proto: onnx.NodeProto, builder: Builder) -> list[onnx.NodeProto]:
    """The nodes of the branch that an If takes, its weights recorded."""
    condition = bool(builder.constants[proto.input[0]].all())
    nodes, weights = inline_branch(proto, condition, builder.reserved | builder.types.keys())
    for tensor in weights:
        builder.add_constant(tensor.name, onnx.numpy_helper.to_array(tensor))
    return nodes


def _fold(model: onnx.ModelProto, proto: onnx.NodeProto, builder: Builder) -> None:
    for name, type_ in _infer(model, proto, builder).items():
        check_count(name, type_.shape)
    # Shape and Size look at nothing but the shape, which is known before the data is.
    inputs = {
        name: builder.constants[name]
        if name in builder.constants
        else np.empty(builder.shape(name), np.float32)
        for name in proto.input
        if name
    }
    try:
        values = evaluate(proto, inputs, list(model.opset_import))
    except Exception as error:
        reason = _first_line(error) or type(error).__name__
        raise Unsupported(f"its inputs are constant and ONNX Runtime cannot evaluate it: {reason}") from error
    for name, value in values.items():
        builder.add_constant(name, value)


def _import_node(
    model: onnx.ModelProto, proto: onnx.NodeProto, name: str, used: Collection[str], builder: Builder
) -> None:
    types = _infer(model, proto, builder)
    outputs = tuple(value if value in used else "" for value in proto.output)
    node = OnnxNode(
        proto.op_type,
        name,
        opset(model),
        tuple(proto.input),
        outputs,
        tuple(types.get(v) for v in outputs),
        _attributes(proto),
    )
    # Later nodes are checked too when this one turns out to be unsupported.
    builder.types.update({v: t for v, t in types.items() if v in outputs and min(t.shape, default=1) > 0})
    if proto.domain not in ("", "ai.onnx"):
        raise Unsupported(f"operators of the domain {proto.domain} are not supported")
    importer = IMPORTERS.get(proto.op_type, onnx_elementwise.table_op if proto.op_type in TABLE else None)
    if importer is None:
        raise Unsupported("no such operator in fusekit")
    for value, type_ in zip(outputs, node.types, strict=True):
        if value and type_ is None:
            raise Unsupported(f"the shape of {value} is only known when the model runs")
        if value and type_ is not None and type_.dtype not in DTYPES:
            raise Unsupported(_dtype_reason(type_))
        if value and type_ is not None:
            check_sizes(value, type_.shape)
    if any(outputs):
        importer(builder, node)


def _infer(model: onnx.ModelProto, proto: onnx.NodeProto, builder: Builder) -> dict[str, Type]:
    """Types of the outputs whose shape ONNX can infer."""
    try:
        # Before opset 22 ONNX counts a last pooling window that starts in the padding; ONNX Runtime never did.
        version = (
            max(opset(model), 22) if proto.op_type in ("AveragePool", "LpPool", "MaxPool") else opset(model)
        )
        schema = onnx.defs.get_schema(proto.op_type, version, proto.domain)
    except onnx.defs.SchemaError:
        return {}
    if proto.op_type in UNINFERRED:
        return {proto.output[0]: builder.types[proto.input[0]]}
    types = {name: type_proto(builder.types[name]) for name in proto.input if name}
    data = {
        name: onnx.numpy_helper.from_array(builder.constants[name])
        for name in proto.input
        if name in builder.constants and builder.constants[name].size <= 1024
    }
    try:
        inferred = onnx.shape_inference.infer_node_outputs(
            schema, proto, types, data, opset_imports=list(model.opset_import)
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise Unsupported(f"its inputs do not fit together: {str(error).strip().splitlines()[0]}") from None
    return {name: type_ for name, found in inferred.items() if (type_ := _static_type(found)) is not None}


def _static_type(found: onnx.TypeProto) -> Type | None:
    tensor = found.tensor_type
    if (
        not found.HasField("tensor_type")
        or not tensor.HasField("shape")
        or not all(d.HasField("dim_value") for d in tensor.shape.dim)
    ):
        return None
    return Type(
        onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
        tuple(d.dim_value for d in tensor.shape.dim),
    )


def _attributes(proto: onnx.NodeProto) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for attribute in proto.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, bytes):
            found[attribute.name] = value.decode(errors="replace")
        elif isinstance(value, int | float):
            found[attribute.name] = value
        elif isinstance(value, list) and all(isinstance(v, int | float) for v in value):
            found[attribute.name] = tuple(value)
        elif isinstance(value, onnx.GraphProto):
            raise Unsupported("it runs a subgraph, and control flow is not supported")
        else:
            raise Unsupported(f"its attribute {attribute.name} is not supported")
    return found


@contextmanager
def _as_unsupported() -> Iterator[None]:
    """What numpy or onnx raise of a node that is wrong in a way that no check foresees, as Unsupported."""
    try:
        yield
    except Unsupported:
        raise
    except Exception as error:
        said = _first_line(error)
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise Unsupported(f"it cannot be imported: {reason}") from error


def _first_line(error: Exception) -> str:
    """What an exception says, without what follows in further lines; empty where it says nothing."""
    return str(error).strip().partition("\n")[0]


def _input_reason(name: str, type_: Type) -> str | None:
    """Why a model with such an input cannot be compiled; None where it can."""
    if type_.dtype not in DTYPES:
        return _dtype_reason(type_)
    try:
        check_count(name, type_.shape)
    except Unsupported as reason:
        return str(reason)
    return None


def _dtype_reason(type_: Type) -> str:
    return f"{type_.dtype} values are not supported at run time, only {', '.join(sorted(DTYPES))}"


def _report(path: Path, problems: list[Problem]) -> str:
    nodes: dict[tuple[str, str], list[str]] = {}
    for op, name, reason in problems:
        nodes.setdefault((op, reason), []).append(name)
    clauses = []
    for (op, reason), names in nodes.items():
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        what = f"the {op}" if op in ("input", "output") else f"{op}, node"
        clauses.append(f"{what} {names[0]}{more}: {reason}")
    return f"{path} cannot be compiled; change or cut these parts of the model: " + "; ".join(clauses)


def _make_outputs(
    names: Sequence[str], inputs: Collection[str], builder: Builder, problems: list[Problem]
) -> None:
    """See to it that every output is made by a node: one that is constant becomes a copy of the constant."""
    for name in names:
        if name in inputs:
            problems.append(("output", name, "it is an input, which needs no model"))
        elif name in builder.constants:
            data = builder.constants.pop(name)
            type_ = builder.types[name]
            if type_.dtype not in DTYPES:
                problems.append(("output", name, _dtype_reason(type_)))
            constant = builder.add_constant(f"{name}/constant", data)
            builder.nodes.append(Node("Reshape", (constant,), name, (), name))


def _graph(name: str, outputs: tuple[str, ...], builder: Builder, inputs: tuple[str, ...]) -> Graph:
    read = {value for node in builder.nodes for value in node.inputs}
    made = {node.output for node in builder.nodes}
    constants = {value: data for value, data in builder.constants.items() if value in read}
    types = {
        value: type_
        for value, type_ in builder.types.items()
        if value in made or value in constants or value in inputs
    }
    return Graph(name, inputs, outputs, tuple(builder.nodes), types, constants)
