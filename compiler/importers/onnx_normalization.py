"""ONNX's normalizations as arithmetic: by constants (batch) or by the input's own mean and variance (layer, instance)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

import numpy as np

from .builder import Builder
from .onnx_node import OnnxNode, Unsupported, axes_of, axis_of


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
    _scaled(builder, node, normalised, (-1,) + (1,) * (rank - 2))


def group_normalization(builder: Builder, node: OnnxNode) -> None:
    """Instance normalization with several channels as one in its statistics, scale and bias per channel as ever."""
    shape = node.type().shape
    groups = node.integer("num_groups", 1)
    if groups < 1 or shape[1] % groups:
        raise Unsupported(f"its {shape[1]} channels do not divide into {groups} groups")
    grouped = builder.step(
        node, "grouped", "Reshape", node.inputs[:1], (shape[0], groups, prod(shape[1:]) // groups)
    )
    normalised = _normalised(builder, node, (2,), grouped)
    whole = builder.step(node, "whole", "Reshape", (normalised,), shape)
    _scaled(builder, node, whole, (-1,) + (1,) * (len(shape) - 2))


def mean_variance_normalization(builder: Builder, node: OnnxNode) -> None:
    """``(x - mean) / sqrt(variance)``, by default over all axes but that of the channels."""
    rank = len(node.type().shape)
    axes = axes_of(node.ints("axes") or (0, 2, 3), rank)
    builder.finish(node, "Reshape", (_normalised(builder, node, axes),))


def rms_normalization(builder: Builder, node: OnnxNode) -> None:
    """``x / sqrt(mean(x * x) + epsilon) * scale``, the mean over all axes from `axis` on."""
    x = node.inputs[0]
    shape = node.type().shape
    axes = tuple(range(axis_of(node.integer("axis", -1), len(shape)), len(shape)))
    deviation = _deviation(builder, node, x, axes)
    builder.finish(node, "Mul", (builder.step(node, "normalised", "Div", (x, deviation)), node.inputs[1]))


def local_response_normalization(builder: Builder, node: OnnxNode) -> None:
    """``x / (bias + alpha / size * sum)^beta``, the sum over the squares of `size` neighbouring channels: a pool along the channels."""
    x = node.inputs[0]
    shape = node.type().shape
    size = node.integer("size", 1)
    squares = builder.step(node, "squares", "Mul", (x, x))
    rows = (shape[0], 1, shape[1], prod(shape[2:]))
    channels = builder.step(node, "channels", "Reshape", (squares,), rows)
    before = (size - 1) // 2
    mean = builder.step(
        node,
        "mean",
        "AveragePool",
        (channels,),
        rows,
        kernel=(size, 1),
        strides=(1, 1),
        dilations=(1, 1),
        pads=(before, 0, size - 1 - before, 0),
        count_include_pad=1,
    )
    mean = builder.step(node, "whole", "Reshape", (mean,), shape)
    alpha, beta, bias = (
        builder.constant(node, key, node.number(key, default))
        for key, default in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))
    )
    total = builder.step(node, "total", "Add", (builder.step(node, "part", "Mul", (mean, alpha)), bias))
    builder.finish(node, "Div", (x, builder.step(node, "power", "Pow", (total, beta))))


def _scaled(builder: Builder, node: OnnxNode, x: str, broadcast: tuple[int, ...]) -> None:
    """`x` times the second input plus the third, both reshaped to `broadcast`."""
    channels = builder.shape(x)[1]
    for position, label in ((1, "scale"), (2, "bias")):
        if (count := prod(builder.shape(node.inputs[position]))) != channels:
            raise Unsupported(f"its {label} has {count} elements and its input {channels} channels")
    scale, bias = (
        builder.constant(node, label, builder.constants[value].reshape(broadcast))
        if (value := node.inputs[position]) in builder.constants
        else builder.step(node, label, "Reshape", (value,), _filled(broadcast, builder.shape(value)))
        for position, label in ((1, "scale"), (2, "bias"))
    )
    builder.finish(node, "Add", (builder.step(node, "scaled", "Mul", (x, scale)), bias))


def _filled(shape: tuple[int, ...], source: tuple[int, ...]) -> tuple[int, ...]:
    """`shape` with its -1 replaced by what is left of `source`."""
    return tuple(prod(source) if n == -1 else n for n in shape)


def _normalised(builder: Builder, node: OnnxNode, axes: tuple[int, ...], x: str = "") -> str:
    """``(x - mean) / sqrt(variance + epsilon)`` over `axes`, of the first input unless another value is given."""
    x = x or node.inputs[0]
    reduced = tuple(1 if i in axes else n for i, n in enumerate(builder.shape(x)))
    mean = builder.step(node, "mean", "ReduceMean", (x,), reduced, axes=axes, keepdims=1)
    centred = builder.step(node, "centred", "Sub", (x, mean))
    return builder.step(node, "normalised", "Div", (centred, _deviation(builder, node, centred, axes)))


def _deviation(builder: Builder, node: OnnxNode, centred: str, axes: tuple[int, ...]) -> str:
    """``sqrt(mean(centred^2) + epsilon)`` over `axes`."""
    reduced = tuple(1 if i in axes else n for i, n in enumerate(builder.shape(centred)))
    squares = builder.step(node, "squares", "Mul", (centred, centred))
    variance = builder.step(node, "variance", "ReduceMean", (squares,), reduced, axes=axes, keepdims=1)
    epsilon = builder.constant(node, "epsilon", node.number("epsilon", EPSILON.get(node.op, 1e-5)))
    return builder.step(
        node, "deviation", "Sqrt", (builder.step(node, "shifted", "Add", (variance, epsilon)),)
    )


EPSILON: Mapping[str, float] = {"MeanVarianceNormalization": 1e-18}
"""Defaults that are not 1e-5: the operator adds 1e-9 to the root, and has no attribute for it."""

IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response_normalization,
    "LayerNormalization": layer_normalization,
    "MeanVarianceNormalization": mean_variance_normalization,
    "RMSNormalization": rms_normalization,
}
