"""ONNX's resampling on a grid, Resize and the Upsample of old, as the canonical Resize: by one constant scale per dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import ceil, floor, prod

import numpy as np

from ..interpret_graph import ROUNDINGS, resize_positions
from .builder import Builder
from .onnx_gather import GATHERED_SLICES, runs, taken
from .onnx_node import OnnxNode, Unsupported, axis_of
from .resize_matrix import cubic, resize_matrix, triangle

HALF = Fraction(1, 2)


def resize(builder: Builder, node: OnnxNode) -> None:
    """Nearest or linear samples of the input; other filters as matrix products. One of the same scale everywhere is a copy."""
    if node.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported("keeping the aspect ratio is not supported")
    scales = _scales(builder, node)
    mode = node.text("mode", "nearest")
    coordinates, rounding = _grid(builder, node, scales)
    if mode == "cubic" or (mode == "linear" and node.integer("antialias", 0)):
        return _by_matrices(builder, node, scales, coordinates)
    return _finish(builder, node, scales, mode, coordinates, rounding)


def resize_10(builder: Builder, node: OnnxNode) -> None:
    """Upsample, and Resize of opset 10: coordinates are divided by the scale, the nearest element is the one before, or after when shrinking."""
    scales = _scales(builder, node)
    mode = {"bilinear": "linear"}.get(given := node.text("mode", "nearest"), given)
    if mode == "nearest" and min(scales) < 1 < max(scales):
        raise Unsupported("it makes some axes longer and some shorter")
    _finish(builder, node, scales, mode, "asymmetric", "ceil" if min(scales) < 1 else "floor")


def _finish(
    builder: Builder,
    node: OnnxNode,
    scales: tuple[float, ...],
    mode: str,
    coordinates: str,
    rounding: str,
) -> None:
    x = node.inputs[0]
    if mode == "nearest":
        x, scales = _inexact_axes(builder, node, scales, coordinates, rounding)
    if all(scale == 1.0 for scale in scales):
        return builder.finish(node, "Reshape", (x,))
    return builder.finish(
        node, "Resize", (x,), mode=mode, coordinates=coordinates, rounding=rounding, scales=scales
    )


def _by_matrices(builder: Builder, node: OnnxNode, scales: tuple[float, ...], coordinates: str) -> None:
    """One axis after the other as the second to last of a product with a constant matrix from the left."""
    x = node.inputs[0]
    antialias = bool(node.integer("antialias", 0))
    filter_ = triangle() if node.text("mode", "") == "linear" else cubic(node.number("cubic_coeff_a", -0.75))
    renormalised = bool(node.integer("exclude_outside", 0))
    for axis, (scale, after) in enumerate(zip(scales, node.type().shape, strict=True)):
        shape = builder.shape(x)
        if scale == 1.0:
            continue
        positions = resize_positions(coordinates, scale, shape[axis], after)
        data = resize_matrix(positions, shape[axis], filter_, scale if antialias else 1.0, renormalised)
        matrix = builder.constant(node, "matrix", data)
        rows = (prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :]))
        x = builder.step(node, "rows", "Reshape", (x,), rows)
        x = builder.step(node, "resized", "MatMul", (matrix, x), (rows[0], after, rows[2]))
        x = builder.step(node, "axes", "Reshape", (x,), (*shape[:axis], after, *shape[axis + 1 :]))
    builder.finish(node, "Reshape", (x,))


def _inexact_axes(
    builder: Builder, node: OnnxNode, scales: tuple[float, ...], coordinates: str, rounding: str
) -> tuple[str, tuple[float, ...]]:
    """The input with those axes resized whose nearest elements float32 and exact arithmetic do not agree on, and the scales that are left.

    ONNX Runtime computes coordinates in float32, where 3 / (1/3) may be less than 9; canonical Resize is exact.
    """
    x = node.inputs[0]
    for axis, (scale, after) in enumerate(zip(scales, node.type().shape, strict=True)):
        before = builder.shape(x)[axis]
        if scale == 1.0:
            continue
        rough = ROUNDINGS[rounding](resize_positions(coordinates, scale, before, after))
        indices = [int(i) for i in np.clip(rough, 0, before - 1)]
        points = _exact_positions(coordinates, scale, before, after)
        exact = [min(max(_EXACT_ROUNDINGS[rounding](point), 0), before - 1) for point in points]
        if indices != exact and len(runs(indices)) <= GATHERED_SLICES:
            x = taken(builder, node, x, axis, indices)
            scales = (*scales[:axis], 1.0, *scales[axis + 1 :])
    return x, scales


def _exact_positions(coordinates: str, scale: float, before: int, after: int) -> list[Fraction]:
    """`resize_positions` as fractions."""
    ratio = 1 / Fraction(scale).limit_denominator(1 << 12)
    match coordinates:
        case "asymmetric":
            return [i * ratio for i in range(after)]
        case "align_corners":
            return [Fraction(i * (before - 1), max(after - 1, 1)) for i in range(after)]
        case "pytorch_half_pixel" if after == 1:
            return [Fraction(0)]
    return [(i + HALF) * ratio - HALF for i in range(after)]


_EXACT_ROUNDINGS: Mapping[str, Callable[[Fraction], int]] = {
    "floor": floor,
    "ceil": ceil,
    "round_prefer_floor": lambda x: ceil(x - HALF),
    "round_prefer_ceil": lambda x: floor(x + HALF),
}


def _grid(builder: Builder, node: OnnxNode, scales: tuple[float, ...]) -> tuple[str, str]:
    """Coordinate transformation and rounding among those of the canonical Resize."""
    coordinates = node.text("coordinate_transformation_mode", "half_pixel")
    rounding = node.text("nearest_mode", "round_prefer_floor")
    sizes = zip(builder.shape(node.inputs[0]), node.type().shape, scales, strict=True)
    if coordinates == "half_pixel_symmetric" and all(n * scale == out for n, out, scale in sizes):
        # It corrects for the part of an element that the output lacks.
        return "half_pixel", rounding
    if (coordinates, rounding, node.text("mode", "nearest")) == ("tf_half_pixel_for_nn", "floor", "nearest"):
        # floor(x) = floor((x - 1/2) + 1/2)
        return "half_pixel", "round_prefer_ceil"
    if coordinates not in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        raise Unsupported(f"the coordinate transformation {coordinates} is not supported")
    return coordinates, rounding


def _scales(builder: Builder, node: OnnxNode) -> tuple[float, ...]:
    """Output size over input size by dimension, as the model gives it or, where it gives sizes, as these say."""
    before, after = builder.shape(node.inputs[0]), node.type().shape
    rank = len(before)
    axes = node.ints("axes") or tuple(range(rank))
    position = 1 if node.opset < 11 or node.op == "Upsample" else 2
    given = node.attrs.get("scales")
    if given is None and node.input(position) is not None:
        given = tuple(float(s) for s in builder.data(node, position, "`scales` input"))
    if not given:
        builder.data(node, 3, "`sizes` input")
        return tuple(out / n for n, out in zip(before, after, strict=True))
    assert isinstance(given, tuple), f"the scales of {node.name} are not a list"
    by_axis = {axis_of(axis, rank): float(scale) for axis, scale in zip(axes, given, strict=True)}
    return tuple(by_axis.get(axis, 1.0) for axis in range(rank))


def _of_opset(builder: Builder, node: OnnxNode) -> None:
    (resize_10 if node.opset < 11 else resize)(builder, node)


IMPORTERS: Mapping[str, Callable[[Builder, OnnxNode], None]] = {"Resize": _of_opset, "Upsample": resize_10}
