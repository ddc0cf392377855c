"""Elementwise steps: named operators, operands that broadcast either way, and the composites that exporters write."""

from __future__ import annotations

from collections.abc import Mapping
from math import pi, sqrt

import numpy as np

from .draft import Tensor, rounding
from .elementwise import UNARY
from .maker import Maker, Step
from .net import EPS


def unary(maker: Maker, x: Tensor) -> Tensor:
    """Any smooth or piecewise linear function."""
    op = maker.pick(*(op for op in UNARY if op != "Swish"))
    rule = UNARY[op]
    x = tamed(maker, x)
    slope = rule.slope(x.bound)
    exact = op in ("Relu", "Neg", "Abs")
    return maker.draft.node(
        op,
        [x],
        lambda out: slope * x.error + (0.0 if exact else rounding(np.abs(out).max())),
        **(rule.attrs or {}),
    )


def tamed(maker: Maker, x: Tensor, most: float = 3.0) -> Tensor:
    """`x`, scaled down where its magnitude has grown."""
    if x.bound <= most:
        return x
    scale = float(np.float32(1 / x.bound))
    return maker.draft.node("Mul", [x, maker.draft.constant(scale)], scale * x.error + EPS)


def binary(maker: Maker, x: Tensor) -> Tensor:
    """An operator of two operands, the other one a value made before, an input or a constant, that broadcast to each other."""
    op = maker.pick("Add", "Mul", "Sub", "Max", "Min", "Div", "Pow")
    draft, x = maker.draft, tamed(maker, x, 16)
    if op == "Div":
        divisor = draft.constant(draft.random.uniform(1, 2, narrowed(maker, x.shape)))
        return draft.node(op, [x, divisor], lambda out: x.error + rounding(np.abs(out).max()))
    if op == "Pow":
        x = tamed(maker, x)
        square = draft.constant(maker.pick(2.0, 3.0))
        return draft.node(op, [x, square], lambda out: 27 * x.error + rounding(np.abs(out).max()))
    y = operand(maker, x)
    a, b = (x, y) if not maker.chance(3) else (y, x)
    if op == "Mul":
        return draft.node(
            op, [a, b], lambda out: x.error * y.bound + y.error * x.bound + rounding(np.abs(out).max())
        )
    if op in ("Min", "Max"):
        return draft.node(op, [a, b], max(x.error, y.error))
    return draft.node(op, [a, b], lambda out: x.error + y.error + rounding(np.abs(out).max()))


def variadic(maker: Maker, x: Tensor) -> Tensor:
    """The sum, mean or extreme of three values."""
    op = maker.pick("Sum", "Mean", "Max", "Min")
    xs = [x, operand(maker, x), maker.draft.input(*narrowed(maker, x.shape))]
    share = {"Sum": 1.0, "Mean": 1 / 3, "Max": 0.0, "Min": 0.0}[op]
    error = sum(t.error for t in xs) * share if share else max(t.error for t in xs)
    bound = sum(t.bound for t in xs) * share
    return maker.draft.node(op, xs, error + (rounding(bound) if share else 0.0))


def prelu(maker: Maker, x: Tensor) -> Tensor:
    """A slope per element, channel or column."""
    slope = maker.draft.uniform(*narrowed(maker, x.shape))
    return maker.draft.node("PRelu", [x, slope], x.error + EPS * x.bound)


def clip(maker: Maker, x: Tensor) -> Tensor:
    """Both bounds, one, or one that is computed."""
    draft = maker.draft
    low, high = draft.constant(-0.5), draft.constant(0.75)
    kind = maker.number(0, 3)
    bounds = [low, high] if kind == 0 else [low] if kind == 1 else [None, high]
    if kind == 3:
        bounds = [low, draft.fed(np.asarray(0.5, np.float32))]
    return draft.node("Clip", [x, *bounds], x.error)


def where(maker: Maker, x: Tensor) -> Tensor:
    """A choice by a comparison, or by two, of values that no rounding changes."""
    draft = maker.draft
    decider = x if not x.error and maker.chance(2) else draft.input(*narrowed(maker, x.shape))
    mask = draft.node(maker.pick("Less", "Greater", "GreaterOrEqual"), [decider, draft.constant(0.25)])
    if maker.chance(3):
        other = draft.node("Less", [draft.input(*narrowed(maker, x.shape)), draft.constant(0.5)])
        mask = draft.node(maker.pick("And", "Or", "Xor"), [mask, draft.node("Not", [other])])
    if maker.chance(4):
        draft.marked.add(mask.name)
    y = operand(maker, x)
    return draft.node("Where", [mask, x, y], max(x.error, y.error))


def stepped(maker: Maker, x: Tensor) -> Tensor:
    """Whole numbers of a value that no rounding has changed: rounded, or through an integer type."""
    draft = maker.draft
    if x.error:
        return x
    op = maker.pick("Floor", "Ceil", "Round", "Sign", "Cast")
    if op != "Cast":
        return draft.node(op, [x])
    whole = draft.node("Cast", [x], to=maker.pick(6, 7))  # int32, int64
    if maker.chance(3):
        draft.marked.add(whole.name)
    return draft.node("Cast", [whole], to=1)


def silu(maker: Maker, x: Tensor) -> Tensor:
    """``x * sigmoid(x)``."""
    x = tamed(maker, x)
    return times(maker, x, maker.draft.node("Sigmoid", [x], x.error / 4 + rounding(1)))


def hard_swish(maker: Maker, x: Tensor) -> Tensor:
    """``x * clip(x + 3, 0, 6) / 6``, however the sixth is written."""
    draft, x = maker.draft, tamed(maker, x)
    shifted = draft.node("Add", [x, draft.constant(3.0)], x.error + rounding(6))
    gate = draft.node("Clip", [shifted, draft.constant(0.0), draft.constant(6.0)], shifted.error)
    if maker.chance(2):
        gate = draft.node("Mul", [gate, draft.constant(1 / 6)], gate.error / 6 + rounding(1))
        return times(maker, x, gate)
    product = times(maker, x, gate)
    return draft.node("Div", [product, draft.constant(6.0)], product.error / 6 + rounding(product.bound / 6))


def gelu(maker: Maker, x: Tensor) -> Tensor:
    """``x / 2 * (1 + erf(x / sqrt(2)))``, or with the tanh that stands in for erf."""
    draft, x = maker.draft, tamed(maker, x)
    if maker.chance(2):
        cube = times(maker, times(maker, x, x), x)
        part = draft.node("Mul", [cube, draft.constant(0.044715)], 0.05 * cube.error + rounding(cube.bound))
        total = draft.node("Add", [x, part], x.error + part.error + rounding(x.bound + part.bound))
        scaled = draft.node("Mul", [total, draft.constant(sqrt(2 / pi))], total.error + rounding(total.bound))
        bell = draft.node("Tanh", [scaled], scaled.error + rounding(1))
    else:
        scaled = draft.node("Div", [x, draft.constant(sqrt(2))], x.error + rounding(x.bound))
        bell = draft.node("Erf", [scaled], 1.13 * scaled.error + rounding(1))
    gate = draft.node("Add", [bell, draft.constant(1.0)], bell.error + rounding(2))
    if maker.chance(2):
        x = draft.node("Mul", [x, draft.constant(0.5)], x.error / 2)
        return times(maker, x, gate)
    product = times(maker, x, gate)
    return draft.node("Mul", [product, draft.constant(0.5)], product.error / 2)


def residual(maker: Maker, x: Tensor) -> Tensor:
    """A branch of elementwise steps, added to where it left."""
    branch = binary(maker, unary(maker, x))
    return maker.draft.node("Add", [x, branch], x.error + branch.error + rounding(x.bound + branch.bound))


def times(maker: Maker, a: Tensor, b: Tensor) -> Tensor:
    """The product of two values."""
    error = a.error * b.bound + b.error * a.bound + rounding(a.bound * b.bound)
    return maker.draft.node("Mul", [a, b], error)


def operand(maker: Maker, x: Tensor) -> Tensor:
    """A value that `x` broadcasts with: one made before, an input or a constant; it may be the larger of the two."""
    fitting = [t for t in maker.live if t.name != x.name and t.bound <= 16 and _together(t.shape, x.shape)]
    if fitting and not maker.chance(3):
        return fitting[-1 - maker.number(0, len(fitting) - 1)]
    shape = narrowed(maker, x.shape)
    if maker.chance(4):
        shape = tuple(maker.pick(2, 3, 5) if n == 1 else n for n in x.shape)
    return maker.draft.input(*shape) if maker.chance(2) else maker.draft.uniform(*shape)


def _together(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    pairs = zip(reversed(a), reversed(b), strict=False)
    return all(n == m or 1 in (n, m) for n, m in pairs)


def narrowed(maker: Maker, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape that broadcasts to `shape`: scalar, per channel, the whole, a vector of the last axis, or any."""
    kind = maker.number(0, 4)
    if kind == 0:
        return ()
    if kind == 1 and len(shape) > 1:
        return shape[1:2] + (1,) * (len(shape) - 2)
    if kind == 2:
        return shape
    if kind == 3:
        return shape[-1:]
    return tuple(n if maker.chance(2) else 1 for n in shape)


ELEMENTWISE: Mapping[str, Step] = {
    "unary": unary,
    "binary": binary,
    "variadic": variadic,
    "prelu": prelu,
    "clip": clip,
    "where": where,
    "stepped": stepped,
    "silu": silu,
    "hard_swish": hard_swish,
    "gelu": gelu,
    "residual": residual,
}
