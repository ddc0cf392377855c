"""ONNX's matrix products: Gemm and MatMul."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .builder import Builder
from .onnx_node import OnnxNode


def gemm(builder: Builder, node: OnnxNode) -> None:
    """``alpha * a' @ b' + beta * c``; alpha, beta and transposes go into constants where there are any to take them."""
    a = _transposed(builder, node, "a", node.inputs[0], node.integer("transA", 0))
    b = _transposed(builder, node, "b", node.inputs[1], node.integer("transB", 0))
    alpha, beta, c = node.number("alpha", 1.0), node.number("beta", 1.0), node.input(2)
    if b in builder.constants:
        b = _scaled(builder, node, "b", b, alpha)
        alpha = 1.0
    if c is None or beta == 0.0:
        if alpha == 1.0:
            return builder.finish(node, "MatMul", (a, b))
        product = builder.step(node, "matmul", "MatMul", (a, b), node.type().shape)
        return builder.finish(node, "Mul", (product, builder.constant(node, "alpha", alpha)))
    product = builder.step(node, "matmul", "MatMul", (a, b), node.type().shape)
    product = _scaled(builder, node, "product", product, alpha)
    return builder.finish(node, "Add", (product, _scaled(builder, node, "c", c, beta)))


def matmul(builder: Builder, node: OnnxNode) -> None:
    """numpy's matmul; vectors become matrices of one row or column, so that a canonical MatMul has rank two at least."""
    a, b = node.inputs
    rows, columns = builder.shape(a), builder.shape(b)
    if len(rows) > 1 and len(columns) > 1:
        return builder.finish(node, "MatMul", (a, b))
    if len(rows) == 1:
        a = builder.step(node, "row", "Reshape", (a,), (1, *rows))
    if len(columns) == 1:
        b = builder.step(node, "column", "Reshape", (b,), (*columns, 1))
    left, right = builder.shape(a), builder.shape(b)
    shape = (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])
    return builder.finish(node, "Reshape", (builder.step(node, "matmul", "MatMul", (a, b), shape),))


def _transposed(builder: Builder, node: OnnxNode, label: str, value: str, transpose: int) -> str:
    if not transpose:
        return value
    if value in builder.constants:
        return builder.constant(node, f"{label}_transposed", np.ascontiguousarray(builder.constants[value].T))
    return builder.step(
        node, f"{label}_transposed", "Transpose", (value,), builder.shape(value)[::-1], perm=(1, 0)
    )


def _scaled(builder: Builder, node: OnnxNode, label: str, value: str, factor: float) -> str:
    if factor == 1.0:
        return value
    if value in builder.constants:
        return builder.constant(node, f"{label}_scaled", builder.constants[value] * np.float32(factor))
    return builder.step(
        node, f"{label}_scaled", "Mul", (value, builder.constant(node, f"{label}_factor", factor))
    )


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {"Gemm": gemm, "MatMul": matmul}
