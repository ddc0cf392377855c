"""Steps that slide windows: convolutions of one to three dimensions, their transposes, and pools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod, sqrt
from typing import Any

import numpy as np

from .activations import times
from .draft import Tensor, products, rounding
from .maker import Maker, Step

WIDTHS = (4, 1, 3, 6, 8, 17, 24, 33)


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations and pads (begins, then ends), one entry per spatial axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[int]

    @property
    def pooling(self) -> dict[str, Any]:
        """What a pool is told."""
        return {"kernel_shape": self.kernel, **self.attrs}

    @property
    def attrs(self) -> dict[str, Any]:
        """All but the kernel, by ONNX's names."""
        return {"strides": self.strides, "dilations": self.dilations, "pads": self.pads}

    def may_round_up(self, spatial: tuple[int, ...]) -> bool:
        """Whether windows rounded up all begin on the input or its first pads: others ONNX drops, and its shape inference counts."""
        rank = len(spatial)
        for axis, (n, k, s, d) in enumerate(
            zip(spatial, self.kernel, self.strides, self.dilations, strict=True)
        ):
            begin, end = self.pads[axis], self.pads[rank + axis]
            last = -(-(n + begin + end - (k - 1) * d - 1) // s) * s
            if last >= n + begin:
                return False
        return True


def window(maker: Maker, spatial: tuple[int, ...]) -> Window:
    """A window that meets the input wherever it lies: of any stride, also one larger than it; pads uneven and often none."""
    kernel, strides, dilations, begins, ends = [], [], [], [], []
    for extent in spatial:
        k, d = maker.pick(3, 1, 2, 5), maker.pick(1, 1, 2)
        begin, end = (min(maker.number(0, 2), k - 1) for _ in range(2))
        while extent + begin + end < (k - 1) * d + 1:
            k, d = max(k - 1, 1), 1
            begin, end = (min(n, k - 1) for n in (begin, end))
        kernel.append(k)
        strides.append(maker.pick(1, 1, 2, 3))
        dilations.append(d)
        begins.append(begin)
        ends.append(end)
    return Window(kernel, strides, dilations, [*begins, *ends])


def conv(maker: Maker, x: Tensor) -> Tensor:
    """A convolution: dense, grouped or depthwise with a multiplier, its weights constant or computed."""
    channels = x.shape[1]
    kind = maker.pick("dense", "depthwise", "grouped")
    found = window(maker, x.shape[2:])
    group = channels if kind == "depthwise" else 1
    if kind == "grouped":
        group = maker.pick(*([g for g in range(2, channels + 1) if channels % g == 0] or [1]))
    width = maker.pick(*WIDTHS) if group == 1 else group * maker.pick(1, 2, 3)
    attrs = found.attrs
    if maker.chance(5):
        fits = all(k <= n for k, n in zip(found.kernel, x.shape[2:], strict=True))
        modes = ("SAME_UPPER", "SAME_LOWER", "VALID") if fits else ("SAME_UPPER", "SAME_LOWER")
        attrs = {"strides": found.strides, "auto_pad": maker.pick(*modes)}
    return _convolved(maker, x, "Conv", (width, channels // group, *found.kernel), width, group, attrs)


def pointwise_conv(maker: Maker, x: Tensor) -> Tensor:
    """A convolution of one element."""
    ones = [1] * (x.rank - 2)
    strides = ones if not maker.chance(4) else [2] * len(ones)
    width = maker.pick(*WIDTHS)
    return _convolved(maker, x, "Conv", (width, x.shape[1], *ones), width, 1, {"strides": strides})


def conv_transpose(maker: Maker, x: Tensor) -> Tensor:
    """A transposed convolution with any stride, cut and output padding."""
    channels, rank = x.shape[1], x.rank - 2
    group = maker.pick(1, *([g for g in (2, 3, channels) if channels % g == 0]))
    kernel = [maker.pick(2, 1, 3, 4) for _ in range(rank)]
    strides = [maker.pick(1, 2, 3) for _ in range(rank)]
    dilations = [maker.pick(1, 1, 2) for _ in range(rank)]
    extra = [maker.number(0, s - 1) for s in strides]
    reach = [(k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
    # pads of a stride or more, which leave the first rows of the input unread, but never all of the output
    most = [min(r, ((n - 1) * s + r) // 2) for n, s, r in zip(x.shape[2:], strides, reach, strict=True)]
    pads = [min(maker.number(0, 3 if maker.chance(4) else 1), m) for m in most * 2]
    per_group = maker.pick(1, 2, 3, 5)
    attrs: dict[str, Any] = {"strides": strides, "dilations": dilations}
    if maker.chance(5):
        attrs["auto_pad"] = maker.pick("SAME_UPPER", "SAME_LOWER", "VALID")
    else:
        attrs |= {"pads": pads, "output_padding": extra}
    shape = (channels, per_group, *kernel)
    return _convolved(maker, x, "ConvTranspose", shape, per_group * group, group, attrs)


def _convolved(
    maker: Maker, x: Tensor, op: str, shape: tuple[int, ...], width: int, group: int, attrs: Mapping[str, Any]
) -> Tensor:
    """`x` convolved with random weights of `shape` into `width` channels."""
    draft = maker.draft
    terms = x.shape[1] // group * prod(shape[2:])
    data = draft.random.uniform(-1, 1, shape) / sqrt(terms)
    weights = draft.constant(data)
    if op == "Conv" and maker.chance(8):
        weights = draft.fed(data.astype(np.float32))
    operands = [x, weights]
    if maker.chance(2):
        operands.append(draft.uniform(width))
    summed = np.abs(data)
    weight = float(
        (summed if op == "Conv" else summed.swapaxes(0, 1)).reshape(shape[op != "Conv"], -1).sum(1).max()
    )
    error = products(terms, weight, x.error, x.bound) + rounding(1)
    return draft.node(op, operands, error, group=group, **attrs)


def max_pool(maker: Maker, x: Tensor) -> Tensor:
    """The maximum over windows, the last of them at times beyond the end."""
    found = window(maker, x.shape[2:])
    up = maker.number(0, int(found.may_round_up(x.shape[2:])))
    return maker.draft.node("MaxPool", [x], x.error, ceil_mode=up, **found.pooling)


def average_pool(maker: Maker, x: Tensor) -> Tensor:
    """The mean over windows, with or without the pads."""
    found = window(maker, x.shape[2:])
    attrs = {"ceil_mode": maker.number(0, int(found.may_round_up(x.shape[2:]))), **found.pooling}
    if maker.chance(5):
        attrs = {
            "kernel_shape": found.kernel,
            "strides": found.strides,
            "auto_pad": maker.pick("SAME_UPPER", "SAME_LOWER"),
        }
    error = products(prod(found.kernel), 1.0, x.error, x.bound)
    return maker.draft.node("AveragePool", [x], error, count_include_pad=maker.number(0, 1), **attrs)


def lp_pool(maker: Maker, x: Tensor) -> Tensor:
    """A norm over windows."""
    found = window(maker, x.shape[2:])
    terms, p = prod(found.kernel), maker.pick(2, 1)
    return maker.draft.node("LpPool", [x], norm_error(x, terms, p), p=p, **found.pooling)


def global_pool(maker: Maker, x: Tensor) -> Tensor:
    """One element per channel."""
    op, terms = maker.pick("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), prod(x.shape[2:])
    if op == "GlobalLpPool":
        return maker.draft.node(op, [x], norm_error(x, terms, 2), p=2)
    return maker.draft.node(op, [x], x.error if "Max" in op else products(terms, 1.0, x.error, x.bound))


def norm_error(x: Tensor, terms: int, p: int) -> float:
    """The error of the first or second norm of so many elements of `x`."""
    weight = float(terms) if p == 1 else sqrt(terms)
    return products(terms, weight, x.error, x.bound)


def squeeze_excite(maker: Maker, x: Tensor) -> Tensor:
    """Channels weighted by what two small layers make of their means."""
    draft, channels, ones = maker.draft, x.shape[1], (1,) * (x.rank - 2)
    spatial = tuple(range(2, x.rank))
    means = products(prod(x.shape[2:]), 1.0, x.error, x.bound)
    pooled = (
        draft.node("GlobalAveragePool", [x], means)
        if maker.chance(2)
        else draft.node("ReduceMean", [x, draft.ints(*spatial)], means)
    )
    less = max(1, channels // 4)
    hidden = _convolved(maker, pooled, "Conv", (less, channels, *ones), less, 1, {})
    hidden = draft.node("Relu", [hidden], hidden.error)
    gate = _convolved(maker, hidden, "Conv", (channels, less, *ones), channels, 1, {})
    op = maker.pick("Sigmoid", "HardSigmoid")
    return times(maker, x, draft.node(op, [gate], gate.error / 4 + rounding(1)))


def inverted_residual(maker: Maker, x: Tensor) -> Tensor:
    """Expand, filter depthwise, project, and add what came in."""
    draft, channels, rank = maker.draft, x.shape[1], x.rank - 2
    wide = channels * maker.pick(2, 1, 3)
    hidden = _convolved(maker, x, "Conv", (wide, channels, *(1,) * rank), wide, 1, {})
    hidden = draft.node("Clip", [hidden, draft.constant(0.0), draft.constant(6.0)], hidden.error)
    pads = {"pads": [1] * (2 * rank)}
    hidden = _convolved(maker, hidden, "Conv", (wide, 1, *(3,) * rank), wide, wide, pads)
    hidden = draft.node("Relu", [hidden], hidden.error)
    out = _convolved(maker, hidden, "Conv", (channels, wide, *(1,) * rank), channels, 1, {})
    return draft.node("Add", [x, out], x.error + out.error + rounding(x.bound + out.bound))


WINDOWS: Mapping[str, Step] = {
    "conv": conv,
    "pointwise_conv": pointwise_conv,
    "max_pool": max_pool,
    "average_pool": average_pool,
    "conv_transpose": conv_transpose,
    "lp_pool": lp_pool,
    "global_pool": global_pool,
    "squeeze_excite": squeeze_excite,
    "inverted_residual": inverted_residual,
}
