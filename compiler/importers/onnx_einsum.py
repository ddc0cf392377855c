"""Einsum as reductions, transposes and matrix products, two operands at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

from .builder import Builder
from .onnx_node import OnnxNode, Unsupported


@dataclass(frozen=True)
class Labelled:
    """A value with one letter per dimension."""

    value: str
    labels: str


def einsum(builder: Builder, node: OnnxNode) -> None:
    """A sum of products over the labels that the output lacks; no label twice in one operand."""
    operands, output = _parse(builder, node)
    total = operands[0]
    for position, operand in enumerate(operands[1:], 1):
        later = output + "".join(o.labels for o in operands[position + 1 :])
        total = _product(
            builder,
            node,
            _summed(builder, node, total, operand.labels + later),
            _summed(builder, node, operand, total.labels + later),
            later,
        )
    total = _ordered(builder, node, _summed(builder, node, total, output), output)
    builder.finish(node, "Reshape", (total.value,))


def _parse(builder: Builder, node: OnnxNode) -> tuple[list[Labelled], str]:
    equation = node.text("equation", "").replace(" ", "")
    left, arrow, output = equation.partition("->")
    terms = left.split(",")
    if "." in equation:
        raise Unsupported(f"the equation {equation} has an ellipsis, which is not supported; name every axis")
    if not arrow:
        output = "".join(sorted(label for label in set(left) - {","} if left.count(label) == 1))
    if any(len(set(term)) != len(term) for term in terms):
        raise Unsupported(f"the equation {equation} takes a diagonal, which is not supported")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, node.inputs, strict=True):
        for label, size in zip(term, builder.shape(value), strict=True):
            if sizes.setdefault(label, size) != size:
                raise Unsupported(f"the equation {equation} broadcasts {label}, which is not supported")
    return [Labelled(value, term) for term, value in zip(terms, node.inputs, strict=True)], output


def _product(builder: Builder, node: OnnxNode, a: Labelled, b: Labelled, later: str) -> Labelled:
    """Both operands as matrices over what only they have and what they share: the labels needed `later` in batches, the others summed."""
    shared = [label for label in a.labels if label in b.labels]
    batch = "".join(label for label in shared if label in later)
    summed = "".join(label for label in shared if label not in later)
    rows = "".join(label for label in a.labels if label not in b.labels)
    columns = "".join(label for label in b.labels if label not in a.labels)
    sizes = dict(zip(a.labels + b.labels, builder.shape(a.value) + builder.shape(b.value), strict=True))

    def size(labels: str) -> int:
        return prod(sizes[label] for label in labels)

    def matrix(operand: Labelled, first: str, second: str) -> str:
        ordered = _ordered(builder, node, operand, batch + first + second)
        shape = (*(sizes[label] for label in batch), size(first), size(second))
        return builder.step(node, "matrix", "Reshape", (ordered.value,), shape)

    batches = tuple(sizes[label] for label in batch)
    product = builder.step(
        node,
        "product",
        "MatMul",
        (matrix(a, rows, summed), matrix(b, summed, columns)),
        (*batches, size(rows), size(columns)),
    )
    labels = batch + rows + columns
    shape = tuple(sizes[label] for label in labels)
    return Labelled(builder.step(node, "unpacked", "Reshape", (product,), shape), labels)


def _summed(builder: Builder, node: OnnxNode, operand: Labelled, kept: str) -> Labelled:
    """`operand` without the labels that are not in `kept`."""
    axes = tuple(i for i, label in enumerate(operand.labels) if label not in kept)
    if not axes:
        return operand
    shape = tuple(n for i, n in enumerate(builder.shape(operand.value)) if i not in axes)
    value = builder.step(node, "sum", "ReduceSum", (operand.value,), shape, axes=axes, keepdims=0)
    return Labelled(value, "".join(label for label in operand.labels if label in kept))


def _ordered(builder: Builder, node: OnnxNode, operand: Labelled, labels: str) -> Labelled:
    """`operand` with its dimensions in the order of `labels`."""
    if operand.labels == labels:
        return operand
    perm = tuple(operand.labels.index(label) for label in labels)
    shape = tuple(builder.shape(operand.value)[axis] for axis in perm)
    value = builder.step(node, "ordered", "Transpose", (operand.value,), shape, perm=perm)
    return Labelled(value, labels)


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {"Einsum": einsum}
