"""ONNX's normalizations as arithmetic: by constants (batch) or by the input's own mean and variance (layer, instance)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .builder import Builder
from .onnx_node import OnnxNode, Unsupported, axis_of


def batch_normalization(builder: Builder, node: OnnxNode) -> None:
    """``x * (scale / sqrt(variance + epsilon)) + (bias - mean * …)`` with both factors computed here, in float64."""
    node.only_first_output()
    if node.integer("training_mode", 0):
        raise Unsupported("it is in training mode")
    parameters = (
        builder.data(node, i, what) for i, what in enumerate(("scale", "bias", "mean", "variance"), 1)
    )
    scale, bias, mean, variance = (p.astype(np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + node.number("epsilon", 1e-5))
    broadcast = (-1,) + (1,) * (len(node.type().shape) - 2)
    multiplier = builder.constant(node, "scale", factor.reshape(broadcast))
    addend = builder.constant(node, "shift", (bias - mean * factor).reshape(broadcast))
    scaled = builder.step(node, "mul", "Mul", (node.inputs[0], multiplier))
    builder.finish(node, "Add", (scaled, addend))


def layer_normalization(builder: Builder, node: OnnxNode) -> None:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, statistics over all axes from `axis` on."""
    node.only_first_output()
    rank = len(node.type().shape)
    axes = tuple(range(axis_of(node.integer("axis", -1), rank), rank))
    normalised = _normalised(builder, node, axes)
    bias = node.input(2)
    if bias is None:
        return builder.finish(node, "Mul", (normalised, node.inputs[1]))
    scaled = builder.step(node, "scaled", "Mul", (normalised, node.inputs[1]))
    return builder.finish(node, "Add", (scaled, bias))


def instance_normalization(builder: Builder, node: OnnxNode) -> None:
    """``(x - mean) / sqrt(variance + epsilon) * scale + bias``, statistics over the spatial axes, scale and bias per channel."""
    rank = len(node.type().shape)
    normalised = _normalised(builder, node, tuple(range(2, rank)))
    broadcast = (-1,) + (1,) * (rank - 2)
    scale = builder.constant(node, "scale", builder.data(node, 1, "scale").reshape(broadcast))
    bias = builder.constant(node, "bias", builder.data(node, 2, "bias").reshape(broadcast))
    scaled = builder.step(node, "scaled", "Mul", (normalised, scale))
    builder.finish(node, "Add", (scaled, bias))


def _normalised(builder: Builder, node: OnnxNode, axes: tuple[int, ...]) -> str:
    x = node.inputs[0]
    reduced = tuple(1 if i in axes else n for i, n in enumerate(builder.shape(x)))
    mean = builder.step(node, "mean", "ReduceMean", (x,), reduced, axes=axes, keepdims=1)
    centred = builder.step(node, "centred", "Sub", (x, mean))
    squares = builder.step(node, "squares", "Mul", (centred, centred))
    variance = builder.step(node, "variance", "ReduceMean", (squares,), reduced, axes=axes, keepdims=1)
    epsilon = builder.constant(node, "epsilon", node.number("epsilon", 1e-5))
    shifted = builder.step(node, "shifted", "Add", (variance, epsilon))
    deviation = builder.step(node, "deviation", "Sqrt", (shifted,))
    return builder.step(node, "normalised", "Div", (centred, deviation))


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "BatchNormalization": batch_normalization,
    "InstanceNormalization": instance_normalization,
    "LayerNormalization": layer_normalization,
}
