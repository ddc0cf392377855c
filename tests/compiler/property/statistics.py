"""Steps that reduce: every Reduce operator, positions of extremes, softmax, and what normalises by statistics."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod, sqrt

import numpy as np

from .activations import tamed, times
from .draft import Tensor, products, rounding
from .layers import norm_error
from .maker import Maker, Step
from .net import EPS

REDUCTIONS = ("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum",
              "ReduceLogSumExp", "ReduceProd")  # fmt: skip


def reduce(maker: Maker, x: Tensor) -> Tensor:
    """Any reduction over any axes."""
    draft, op = maker.draft, maker.pick(*REDUCTIONS)
    axes = _some_axes(maker, x)
    terms = prod(x.shape[i] for i in axes) if axes else x.data.size
    if op == "ReduceLogSum":
        x = draft.node("Exp", [x := tamed(maker, x)], 20.1 * x.error + rounding(20))
    if op in ("ReduceProd", "ReduceSumSquare", "ReduceLogSumExp"):
        x = tamed(maker, x, 1.0)
    error = {
        "ReduceMean": products(terms, 1.0, x.error, x.bound),
        "ReduceSum": products(terms, float(terms), x.error, x.bound),
        "ReduceL1": norm_error(x, terms, 1),
        "ReduceL2": norm_error(x, terms, 2),
        "ReduceSumSquare": products(terms, float(terms), 2 * x.error, 1.0),
        "ReduceProd": terms * (x.error + EPS),
        "ReduceLogSumExp": x.error + rounding(10 + x.bound),
        "ReduceLogSum": 20.1 * x.error + rounding(10),
    }.get(op, x.error)
    return draft.node(op, [x, *_input(maker, x, axes)], error, keepdims=maker.number(0, 1))


def reduce_integers(maker: Maker, x: Tensor) -> Tensor:
    """A reduction of whole numbers, those of a value that no rounding has changed."""
    draft = maker.draft
    # Where a sum overflows, ONNX Runtime stays at the end of the type and ONNX's reference implementation wraps around.
    if x.error or x.bound * x.data.size > 2**31:
        return x
    whole = draft.node("Cast", [x], to=maker.pick(6, 7))  # int32, int64
    op = maker.pick("ReduceSum", "ReduceMax", "ReduceMin", "ReduceMean", "ReduceL1")
    axes = _input(maker, x, _some_axes(maker, x))
    return draft.node("Cast", [draft.node(op, [whole, *axes], keepdims=maker.number(0, 1))], to=1)


def _some_axes(maker: Maker, x: Tensor) -> list[int]:
    """Axes to reduce; none for all of them."""
    return [i for i in range(x.rank) if maker.chance(2)]


def _input(maker: Maker, x: Tensor, axes: list[int]) -> list[Tensor]:
    """The input that names the axes, if there is one; counted from either end."""
    return [maker.draft.ints(*(i - x.rank if maker.chance(4) else i for i in axes))] if axes else []


def arg(maker: Maker, x: Tensor) -> Tensor:
    """Where an extreme of a value lies that no rounding has changed, as indices into it or as numbers."""
    draft = maker.draft
    if x.error:
        return x
    axis = maker.number(0, x.rank - 1)
    found = draft.node(
        maker.pick("ArgMax", "ArgMin"),
        [x],
        axis=axis,
        keepdims=maker.number(0, 1),
        select_last_index=maker.number(0, 1),
    )
    if maker.chance(3) and x.rank + found.rank < 7:
        return draft.node("Gather", [x, found], axis=axis)
    if maker.chance(3):
        draft.marked.add(found.name)
    return draft.node("Cast", [found], to=1)


def softmax(maker: Maker, x: Tensor) -> Tensor:
    """Softmax along any axis, or its logarithm."""
    axis, x = maker.number(-x.rank, x.rank - 1), tamed(maker, x, 8)
    if maker.chance(3):
        return maker.draft.node(
            "LogSoftmax", [x], lambda out: 2 * x.error + rounding(4 * np.abs(out).max() + 8), axis=axis
        )
    return maker.draft.node("Softmax", [x], 2 * x.error + rounding(4), axis=axis)


def batch_norm(maker: Maker, x: Tensor) -> Tensor:
    """A scale and shift per channel, wherever it stands."""
    draft, channels = maker.draft, x.shape[1]
    scale, shift, mean = (draft.uniform(channels) for _ in range(3))
    variance = draft.constant(draft.random.uniform(0.5, 2, channels))
    return draft.node(
        "BatchNormalization", [x, scale, shift, mean, variance], 1.5 * x.error + rounding(4 * x.bound + 4)
    )


EPSILON = 0.1
"""What normalizations add to the variance: small ones make the error of a constant input as large as one likes."""


def normalised_error(x: Tensor, data: np.ndarray, axes: tuple[int, ...]) -> float:
    """The error of ``(x - mean) / sqrt(variance + EPSILON)``, of `x` arranged as `data`."""
    wide = data.astype(np.float64)
    deviation = float(np.sqrt(wide.var(axis=axes) + EPSILON).min())
    largest = float(np.abs(wide - wide.mean(axis=axes, keepdims=True)).max()) / deviation
    spread = x.error + 8 * EPS * x.bound
    # A variance may be the mean of squares less the square of the mean.
    return (2 + 2 * largest) * spread / deviation + largest * 16 * EPS * (x.bound / deviation) ** 2


def layer_norm(maker: Maker, x: Tensor) -> Tensor:
    """LayerNormalization from any axis on."""
    draft = maker.draft
    axis = maker.pick(x.rank - 1, *range(x.rank - 1))
    scale = draft.uniform(*x.shape[axis:])
    operands = [x, scale] + ([draft.uniform(*x.shape[axis:])] if maker.chance(2) else [])
    error = normalised_error(x, x.data, tuple(range(axis, x.rank)))
    return draft.node(
        "LayerNormalization", operands, lambda out: error + rounding(np.abs(out).max() + 1), axis=axis, epsilon=EPSILON
    )  # fmt: skip


def decomposed_layer_norm(maker: Maker, x: Tensor) -> Tensor:
    """Layer normalization as exporters wrote it before there was an operator."""
    draft, axes = maker.draft, (x.rank - 1,)
    x = tamed(maker, x)
    terms = x.shape[-1]
    mean = draft.node("ReduceMean", [x, draft.ints(-1)], products(terms, 1.0, x.error, x.bound))
    centred = draft.node("Sub", [x, mean], x.error + mean.error + rounding(x.bound))
    squares = (
        draft.node("Pow", [centred, draft.constant(2.0)], 2 * centred.bound * centred.error + rounding(centred.bound**2))
        if maker.chance(2)
        else times(maker, centred, centred)
    )  # fmt: skip
    variance = draft.node(
        "ReduceMean", [squares, draft.ints(-1)], products(terms, 1.0, squares.error, squares.bound)
    )
    shifted = draft.node(
        "Add", [variance, draft.constant(EPSILON)], variance.error + rounding(variance.bound)
    )
    root = draft.node("Sqrt", [shifted], shifted.error / (2 * sqrt(EPSILON)) + rounding(sqrt(shifted.bound)))
    error = normalised_error(x, x.data, axes)
    out = draft.node("Div", [centred, root], lambda out: error + rounding(np.abs(out).max()))
    return times(maker, out, draft.uniform(terms))


def instance_norm(maker: Maker, x: Tensor) -> Tensor:
    """InstanceNormalization over all spatial axes."""
    draft, channels = maker.draft, x.shape[1]
    error = normalised_error(x, x.data, tuple(range(2, x.rank)))
    operands = [x, draft.uniform(channels), draft.uniform(channels)]
    return draft.node("InstanceNormalization", operands, error + rounding(4), epsilon=EPSILON)


def group_norm(maker: Maker, x: Tensor) -> Tensor:
    """GroupNormalization of any number of groups."""
    draft, channels = maker.draft, x.shape[1]
    groups = maker.pick(*(g for g in range(1, channels + 1) if channels % g == 0))
    error = normalised_error(x, x.data.reshape(x.shape[0], groups, -1), (2,))
    operands = [x, draft.uniform(channels), draft.uniform(channels)]
    return draft.node("GroupNormalization", operands, error + rounding(4), epsilon=EPSILON, num_groups=groups)


def local_response(maker: Maker, x: Tensor) -> Tensor:
    """LRN over neighbouring channels."""
    x = tamed(maker, x)
    error = 3 * x.error + rounding(x.bound)
    return maker.draft.node("LRN", [x], error, size=maker.pick(3, 1, 5), alpha=0.5, beta=0.75, bias=1.0)


def lp_normalization(maker: Maker, x: Tensor) -> Tensor:
    """A vector divided by its norm."""
    axis, p = maker.number(0, x.rank - 1), maker.pick(2, 1)
    size = np.abs(x.data.astype(np.float64)) ** p
    norm = float(size.sum(axis=axis).min() ** (1 / p))
    terms = x.shape[axis]
    error = (x.error * (1 + terms) + rounding(x.bound)) / norm if norm > 1e-3 else 1.0
    return maker.draft.node("LpNormalization", [x], error + rounding(4), axis=axis, p=p)


STATISTICS: Mapping[str, Step] = {
    "reduce": reduce,
    "reduce_integers": reduce_integers,
    "softmax": softmax,
    "layer_norm": layer_norm,
    "decomposed_layer_norm": decomposed_layer_norm,
    "arg": arg,
    "lp_normalization": lp_normalization,
}
CHANNEL_STATISTICS: Mapping[str, Step] = {"batch_norm": batch_norm}
SPATIAL_STATISTICS: Mapping[str, Step] = {
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
}
IMAGE_STATISTICS: Mapping[str, Step] = {"local_response": local_response}
