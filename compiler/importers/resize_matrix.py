"""Resampling of one axis as a matrix: cubic interpolation, and filters that widen where the axis gets shorter (``antialias``).

A row has the weights of one output element. Cubic weights are those of R. Keys, "Cubic convolution interpolation for digital image
processing", 1981; the widened filters are Pillow's, which ONNX adopted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Filter:
    """Weights as a function of the distance, which are zero from `reach` on."""

    weight: Callable[[Array], Array]
    reach: int


def triangle() -> Filter:
    """Linear interpolation."""
    return Filter(lambda distance: np.maximum(1 - np.abs(distance), 0), 1)


def cubic(a: float) -> Filter:
    """Keys' kernel with the slope `a` at a distance of one."""

    def weight(distance: Array) -> Array:
        d = np.abs(distance)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return np.where(d <= 1, near, np.where(d < 2, far, 0))

    return Filter(weight, 2)


def resize_matrix(positions: Array, before: int, filter_: Filter, scale: float, renormalised: bool) -> Array:
    """The float32 matrix (samples, `before`) of samples at `positions` of an axis.

    A `scale` below 1 widens the filter by its inverse. What it weighs beyond the ends counts for the last element there or, where the
    weights are `renormalised`, for nothing.
    """
    widened = max(1 / scale, 1.0)
    reach = int(np.ceil(filter_.reach * widened))
    positions = positions.astype(np.float64)
    taps = np.floor(positions)[:, None] + np.arange(-reach, reach + 2)
    weights = filter_.weight((taps - positions[:, None]) / widened)
    if renormalised:
        weights[(taps < 0) | (taps >= before)] = 0
    if renormalised or widened > 1:
        weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((len(positions), before))
    rows = np.broadcast_to(np.arange(len(positions))[:, None], taps.shape)
    np.add.at(matrix, (rows, np.clip(taps, 0, before - 1).astype(np.int64)), weights)
    return matrix.astype(np.float32)
