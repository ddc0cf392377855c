"""Resize as an expression: which elements of the input an output element is made of, by exact integer arithmetic on coordinates.

ONNX defines the sampling point of output x along an axis of ``n`` elements resized to ``m`` as a fraction; every grid here is
``(p * x + q) / d`` with integers, so its floor is an Index. A scale that is no simple fraction is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING

import numpy as np

from ..errors import UserError
from .expr import Expr, guard
from .graph import Node
from .index import Bound, Index, Map

if TYPE_CHECKING:
    from .build_stage import Values


@dataclass(frozen=True)
class Grid:
    """Sampling points ``(p * x + q) / d`` along one axis, of `size` elements in and `count` out."""

    p: int
    q: int
    d: int
    size: int
    count: int

    def point(self, x: int) -> Fraction:
        """The sampling point of output x."""
        return Fraction(self.p * x + self.q, self.d)

    def floor(self, x: Index, plus: Fraction = Fraction(0)) -> Index:
        """``floor(point(x) + plus)``, whose numerator is kept positive for the sake of unsigned division."""
        scale = plus.denominator
        d = self.d * scale
        q = self.q * scale + plus.numerator * self.d
        lift = max(0, -(q // d))
        return (x * (self.p * scale) + (q + lift * d)) // d + -lift


def resize(read: Callable[[Map], Expr], values: Values, node: Node, where: Map) -> Expr:
    """The element of a Resize's output at `where`; `read` gives the input's element at a Map."""
    source, out = values.type(node.inputs[0]).shape, values.type(node.output).shape
    scales = node.attr("scales")
    assert isinstance(scales, tuple)
    step = _nearest if node.attr("mode") == "nearest" else _linear
    for axis in range(len(out)):
        if source[axis] != out[axis] or scales[axis] != 1:
            grid = _grid(node, source[axis], out[axis], float(scales[axis]))
            read = step(read, values, node, axis, grid)
    return read(where)


def _grid(node: Node, size: int, count: int, scale: float) -> Grid:
    ratio = Fraction(scale).limit_denominator(1 << 12)
    if abs(float(ratio) - scale) > 1e-6 * scale:
        raise UserError(
            f"Resize, node {node.name}: the scale {scale} is not a simple fraction; give sizes instead of scales"
        )
    a, b = ratio.denominator, ratio.numerator  # point = x * a / b
    match node.attr("coordinates"):
        case "asymmetric":
            return _reduced(Fraction(a, b), Fraction(0), size, count)
        case "half_pixel":
            return _reduced(Fraction(a, b), Fraction(a, 2 * b) - Fraction(1, 2), size, count)
        case "pytorch_half_pixel":
            half = Fraction(a, 2 * b) - Fraction(1, 2) if count > 1 else Fraction(0)
            return _reduced(Fraction(a, b) if count > 1 else Fraction(0), half, size, count)
        case "align_corners":
            return _reduced(
                Fraction(size - 1, count - 1) if count > 1 else Fraction(0), Fraction(0), size, count
            )
    raise UserError(
        f"Resize, node {node.name}: coordinates {node.attr('coordinates')} are not supported; use half_pixel or asymmetric"
    )


def _reduced(slope: Fraction, start: Fraction, size: int, count: int) -> Grid:
    d = lcm(slope.denominator, start.denominator)
    return Grid(int(slope * d), int(start * d), d, size, count)


def _nearest(
    read: Callable[[Map], Expr], values: Values, node: Node, axis: int, grid: Grid
) -> Callable[[Map], Expr]:
    # floor(v), ceil(v) = floor(v + 1 - 1/d), and the two ways to round a half: all are floors of a shifted point
    last = Fraction(1, grid.d)
    shift = {
        "floor": Fraction(0), "ceil": 1 - last, "round_prefer_floor": Fraction(1, 2) - last / 2, "round_prefer_ceil": Fraction(1, 2),
    }[str(node.attr("rounding"))]  # fmt: skip

    def sample(where: Map) -> Expr:
        return _clamped(
            lambda i: read((*where[:axis], i, *where[axis + 1 :])),
            where[axis],
            grid,
            grid.floor(where[axis], shift),
            shift,
        )

    return sample


def _clamped(read: Callable[[Index], Expr], x: Index, grid: Grid, index: Index, shift: Fraction) -> Expr:
    """`read(index)`, or the first or last element where the index would be outside."""
    found = [int((grid.point(i) + shift) // 1) for i in range(grid.count)]
    first = sum(v < 0 for v in found)
    end = sum(v < grid.size for v in found)
    inside = guard((Bound(x, first, end),), read(index), read(Index(grid.size - 1)))
    return guard((Bound(x, first, grid.count),), inside, read(Index(0))) if first else inside


def _linear(
    read: Callable[[Map], Expr], values: Values, node: Node, axis: int, grid: Grid
) -> Callable[[Map], Expr]:
    points = [grid.point(x) for x in range(grid.count)]
    first = sum(v < 0 for v in points)
    end = sum(v < grid.size - 1 for v in points)
    fractions = np.array([float(v - v // 1) for v in points], np.float32)
    fraction_at = values.constant(f"{node.output}/fractions{axis}", fractions)

    def sample(where: Map) -> Expr:
        x = where[axis]

        def at(index: Index) -> Expr:
            return read((*where[:axis], index, *where[axis + 1 :]))

        low = grid.floor(x)
        a, b = at(low), at(low + 1)
        between = a + (b - a) * fraction_at((x,))
        inside = guard((Bound(x, first, end),), between, at(Index(grid.size - 1)))
        return guard((Bound(x, first, grid.count),), inside, at(Index(0))) if first else inside

    return sample
