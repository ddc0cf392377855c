"""ONNX's elementwise operators: those of `elementwise.TABLE` under their own names, the others as chains of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

from ...errors import UserError
from .. import elementwise
from ..expr import Load
from ..graph import Type
from .builder import Builder, onnx_number
from .onnx_node import OnnxNode, Unsupported


def table_op(builder: Builder, node: OnnxNode) -> None:
    """An op of the table; its attributes are the keyword arguments of the definition there."""
    definition = elementwise.TABLE[node.op]
    known = {p.name for p in inspect.signature(definition).parameters.values() if p.default is not p.empty}
    for key in node.attrs:
        if key not in known:
            raise Unsupported(f"its attribute {key} is not supported")
    operands = _operands(builder, node)
    try:
        expr = definition(*(Load(builder.types[value].dtype, value, ()) for value in operands), **node.attrs)
    except UserError as error:
        raise Unsupported(str(error)) from None
    assert expr.dtype == node.type().dtype, f"{node.op} of {node.name} gives {expr.dtype} for {node.type()}"
    builder.finish(node, node.op, operands, **node.attrs)


def clip(builder: Builder, node: OnnxNode) -> None:
    """Constant bounds become the attributes `low` and `high`; bounds that are computed become Max and Min, the lower one first."""
    bounds = {"low": node.attrs.get("min"), "high": node.attrs.get("max")}
    x = node.inputs[0]
    if builder.types[x].dtype != "float32":
        # A bound that is an attribute is a float, which not every integer is.
        return _integer_clip(builder, node)
    steps: list[tuple[str, list[str], dict[str, float]]] = []
    for position, key in ((1, "low"), (2, "high")):
        value = node.input(position)
        if value in builder.constants:
            bounds[key] = builder.scalar(node, position, f"`{key}` bound")
        if isinstance(bound := bounds[key], int | float):
            steps.append(("Clip", [], {key: float(bound)}))
        elif value is not None:
            steps.append(("Max" if key == "low" else "Min", [value], {}))
    if len(steps) == 2 and steps[0][0] == steps[1][0] == "Clip":
        steps = [("Clip", [], steps[0][2] | steps[1][2])]
    if not steps:
        return identity(builder, node)
    for op, operands, attrs in steps[:-1]:
        x = builder.step(node, "low", op, [x, *operands], **attrs)
    op, operands, attrs = steps[-1]
    return builder.finish(node, op, [x, *operands], **attrs)


def _integer_clip(builder: Builder, node: OnnxNode) -> None:
    """Max and Min, whether the bounds are computed or not."""
    x = node.inputs[0]
    if (low := node.input(1)) is not None:
        x = builder.step(node, "low", "Max", [x, low])
    if (high := node.input(2)) is not None:
        x = builder.step(node, "high", "Min", [x, high])
    return builder.finish(node, "Reshape", (x,))


def cast_like(builder: Builder, node: OnnxNode) -> None:
    """A Cast to the type of the second operand, whose elements are not read."""
    builder.finish(node, "Cast", node.inputs[:1], to=onnx_number(node.type().dtype))


def sum_(builder: Builder, node: OnnxNode) -> None:
    """Any number of operands as a chain of Add from the left."""
    if len(node.inputs) == 1:
        return identity(builder, node)
    return builder.finish(node, "Add", (_total(builder, node, node.inputs[:-1]), node.inputs[-1]))


def mean(builder: Builder, node: OnnxNode) -> None:
    """The sum of the operands, divided by their number."""
    count = builder.constant(node, "count", float(len(node.inputs)))
    builder.finish(node, "Div", (_total(builder, node, node.inputs), count))


def identity(builder: Builder, node: OnnxNode) -> None:
    """A copy, as the Reshape to the same shape that the passes remove."""
    builder.finish(node, "Reshape", node.inputs[:1])


def dropout(builder: Builder, node: OnnxNode) -> None:
    """The input itself: inference drops nothing."""
    node.only_first_output()
    if node.input(2) is not None and builder.scalar(node, 2, "`training_mode` input"):
        raise Unsupported("it is in training mode")
    identity(builder, node)


def _operands(builder: Builder, node: OnnxNode) -> tuple[str, ...]:
    """The inputs, those of another element type than the first converted; the exponent of Pow may be a float where the base is not."""
    dtype = builder.types[node.inputs[0]].dtype
    operands = []
    for value in node.inputs:
        have = builder.types[value].dtype
        want = "float32" if node.op == "Pow" and have.startswith("float") else dtype
        if have == want or node.op == "Where":
            operands.append(value)
        elif value in builder.constants:
            data = builder.constants[value].astype(want)
            operands.append(builder.add_constant(builder.fresh(node, "operand"), data))
        else:
            type_ = Type(want, builder.shape(value))
            operands.append(
                builder.typed_step(node, "operand", "Cast", (value,), type_, to=onnx_number(want))
            )
    return tuple(operands)


def _total(builder: Builder, node: OnnxNode, values: tuple[str, ...]) -> str:
    total = values[0]
    for value in values[1:]:
        total = builder.step(node, "sum", "Add", (total, value))
    return total


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "CastLike": cast_like,
    "Clip": clip,
    "Dropout": dropout,
    "Identity": identity,
    "Mean": mean,
    "Sum": sum_,
}
