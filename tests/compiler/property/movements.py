"""Steps that move data: every ONNX operator whose result consists of elements of its operand, and the idioms made of them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from math import prod

import numpy as np

from .activations import unary
from .draft import Tensor, rounding
from .maker import Maker, Step


def reshape(maker: Maker, x: Tensor) -> Tensor:
    """Neighbours merged, one axis split, a 1 put in or taken out, or everything flattened."""
    shape = x.shape
    at = maker.number(0, max(0, x.rank - 1))
    kind = maker.pick("merge", "split", "unsqueeze", "squeeze", "flatten")
    if kind == "merge" and at + 1 < x.rank:
        return reshaped(maker, x, (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]))
    if kind == "split" and 0 < x.rank < 5:
        factor = next((f for f in (2, 3, 5, 7) if shape[at] % f == 0), 1)
        parts = (factor, shape[at] // factor) if maker.chance(2) else (shape[at] // factor, factor)
        return reshaped(maker, x, (*shape[:at], *parts, *shape[at + 1 :]))
    if kind == "squeeze" and 1 in shape:
        return maker.draft.node("Squeeze", [x, maker.draft.ints(shape.index(1))], x.error)
    if kind == "flatten" and x.rank:
        return maker.draft.node("Flatten", [x], x.error, axis=at)
    return maker.draft.node("Unsqueeze", [x, maker.draft.ints(at)], x.error) if x.rank < 5 else x


def reshaped(maker: Maker, x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`x` in another shape."""
    return maker.draft.node("Reshape", [x, maker.draft.ints(*shape)], x.error)


def transpose(maker: Maker, x: Tensor) -> Tensor:
    """Any permutation."""
    perm = list(range(x.rank))
    for i in range(x.rank - 1):
        j = maker.number(i, x.rank - 1)
        perm[i], perm[j] = perm[j], perm[i]
    return maker.draft.node("Transpose", [x], x.error, perm=perm)


def pad(maker: Maker, x: Tensor) -> Tensor:
    """A border of a constant or of the value's own elements; some of it negative, some of it empty."""
    draft, rank = maker.draft, x.rank
    mode = maker.pick("constant", "constant", "reflect", "edge", "wrap")
    pads = []
    for n in (*x.shape, *x.shape):
        most = min(2, n - (mode == "reflect"))
        pads.append(maker.number(0, most) if maker.chance(2) else 0)
    if mode == "constant":
        for i, n in enumerate(x.shape):
            if n + pads[i] + pads[rank + i] > 2 and maker.chance(4):
                side = i + rank * maker.number(0, 1)
                pads[side] = -1
    operands: list[Tensor | None] = [x, draft.ints(*pads)]
    if mode == "constant" and maker.chance(2):
        operands.append(draft.constant(maker.pick(0.5, -1.0)))
    return draft.node("Pad", operands, x.error, mode=mode)


def slice_(maker: Maker, x: Tensor) -> Tensor:
    """Any regular part of any axes, some of it backwards."""
    draft = maker.draft
    starts, ends, axes, steps = [], [], [], []
    for axis, n in enumerate(x.shape):
        if n == 1 or maker.chance(2):
            continue
        if maker.chance(3):
            step = maker.pick(-1, -2, -3)
            starts.append(maker.number(n // 2, n - 1))
            ends.append(-n - 1)
        else:
            step = maker.pick(1, 2, 3)
            starts.append(maker.number(0, n - 1))
            ends.append(maker.number(starts[-1] + 1, n + 1))
        axes.append(axis)
        steps.append(step)
    if not axes:
        return x
    return draft.node("Slice", [x, *(draft.ints(*v) for v in (starts, ends, axes, steps))], x.error)


def split(maker: Maker, x: Tensor) -> Tensor:
    """Two or three parts of which every one may be read again."""
    axis = maker.number(0, x.rank - 1)
    n = x.shape[axis]
    if n < 2:
        return x
    parts = maker.number(2, min(3, n))
    cuts = sorted(maker.number(1, n - parts + 1) for _ in range(parts - 1))
    bounds = [0, *(cut + i for i, cut in enumerate(cuts)), n]
    sizes = [b - a for a, b in pairwise(bounds)]
    found = maker.draft.nodes_of("Split", [x, maker.draft.ints(*sizes)], parts, x.error, axis=axis)
    maker.live += found[:-1]
    return found[-1]


def concat(maker: Maker, x: Tensor) -> Tensor:
    """Branches of one value, values made before, inputs and constants, one behind the other along any axis."""
    draft, axis = maker.draft, maker.number(0, x.rank - 1)
    parts = [x]
    for _ in range(maker.number(1, 3)):
        kind = maker.pick("branch", "live", "new")
        close = [t for t in maker.live if t.rank == x.rank and _alike(t.shape, x.shape, axis)]
        if kind == "branch":
            parts.append(unary(maker, x))
        elif kind == "live" and close:
            parts.append(close[-1 - maker.number(0, len(close) - 1)])
        else:
            shape = (*x.shape[:axis], maker.number(1, 3), *x.shape[axis + 1 :])
            parts.append(draft.uniform(*shape) if maker.chance(3) else draft.input(*shape))
    if maker.chance(2):
        parts.reverse()
    return draft.node("Concat", parts, max(t.error for t in parts), axis=axis)


def _alike(a: tuple[int, ...], b: tuple[int, ...], axis: int) -> bool:
    return all(n == m for i, (n, m) in enumerate(zip(a, b, strict=True)) if i != axis)


def expand(maker: Maker, x: Tensor) -> Tensor:
    """Axes of one element repeated, and axes in front."""
    wide = tuple(maker.pick(1, 2, 3, 5) if n == 1 else n for n in x.shape)
    if x.rank < 5 and maker.chance(4):
        wide = (maker.pick(2, 3), *wide)
    return maker.draft.node("Expand", [x, maker.draft.ints(*wide)], x.error)


def tile(maker: Maker, x: Tensor) -> Tensor:
    """Any axes repeated."""
    repeats = [maker.pick(1, 1, 2, 3) for _ in x.shape]
    return maker.draft.node("Tile", [x, maker.draft.ints(*repeats)], x.error)


def gather(maker: Maker, x: Tensor) -> Tensor:
    """Elements along an axis by constant or run-time indices of any rank, some counted from the end."""
    draft, axis = maker.draft, maker.number(0, x.rank - 1)
    shape = maker.pick((2,), (), (1,), (3,), (2, 2))
    if x.rank + len(shape) > 6:
        return x
    data = draft.random.integers(-x.shape[axis], x.shape[axis], shape)
    if maker.chance(2):
        data = data.astype(np.int32)
    indices = draft.exactly(data) if maker.chance(2) else draft.fed(data)
    return draft.node("Gather", [x, indices], x.error, axis=axis)


def depth_to_space(maker: Maker, x: Tensor) -> Tensor:
    """Channels into pixels."""
    block = maker.pick(2, 3)
    if x.shape[1] % block**2:
        return x
    return maker.draft.node("DepthToSpace", [x], x.error, blocksize=block, mode=maker.pick("DCR", "CRD"))


def space_to_depth(maker: Maker, x: Tensor) -> Tensor:
    """Pixels into channels."""
    block = maker.pick(2, 3)
    if x.shape[2] % block or x.shape[3] % block:
        return x
    return maker.draft.node("SpaceToDepth", [x], x.error, blocksize=block)


def channel_shuffle(maker: Maker, x: Tensor) -> Tensor:
    """Groups of channels interleaved."""
    channels = x.shape[1]
    groups = next((g for g in (2, 3, 5, 7) if channels % g == 0), 0)
    if not groups:
        return x
    cut = reshaped(maker, x, (x.shape[0], groups, channels // groups, *x.shape[2:]))
    moved = maker.draft.node("Transpose", [cut], x.error, perm=[0, 2, 1, *range(3, cut.rank)])
    return reshaped(maker, moved, x.shape)


def resize(maker: Maker, x: Tensor) -> Tensor:
    """The last one or two axes on another grid."""
    draft, many = maker.draft, maker.number(1, 2)
    mode = maker.pick("nearest", "linear", "cubic")
    if mode == "cubic":
        many = 2
    attrs: dict[str, str | float] = {
        "mode": mode,
        "coordinate_transformation_mode": maker.pick(
            "half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"
        ),
    }
    if mode == "nearest":
        attrs["nearest_mode"] = maker.pick("round_prefer_floor", "floor", "ceil", "round_prefer_ceil")
    operands: list[Tensor | None]
    if maker.chance(3):
        sizes = [*x.shape[:-many], *(maker.pick(n, 2 * n, 1, n + 1, 5) for n in x.shape[-many:])]
        operands = [x, None, None, draft.ints(*sizes)]
    else:
        scales = [1.0] * (x.rank - many) + [maker.pick(2.0, 1.0, 3.0, 1.5, 0.5) for _ in range(many)]
        if any(int(n * s) < 1 for n, s in zip(x.shape, scales, strict=True)):
            return x
        operands = [x, None, draft.constant(np.asarray(scales))]
    slope = {"nearest": 1.0, "linear": 1.0, "cubic": 4.0}[mode]
    blurred = 0.0 if mode == "nearest" else rounding(slope * x.bound) * max(x.shape)
    return draft.node("Resize", operands, slope * x.error + blurred, **attrs)


def trilu(maker: Maker, x: Tensor) -> Tensor:
    """A triangle of every matrix."""
    k = maker.draft.exactly(np.asarray(maker.number(-1, 1), np.int64))
    return maker.draft.node("Trilu", [x, k], x.error, upper=maker.number(0, 1))


def copy(maker: Maker, x: Tensor) -> Tensor:
    """What inference leaves alone."""
    return maker.draft.node(maker.pick("Identity", "Dropout"), [x], x.error)


def to_rank(maker: Maker, x: Tensor, rank: int) -> Tensor:
    """`x` with `rank` dimensions: the last ones merged, or ones put behind."""
    if x.rank == rank:
        return x
    if x.rank < rank:
        return reshaped(maker, x, x.shape + (1,) * (rank - x.rank))
    return reshaped(maker, x, (*x.shape[: rank - 1], prod(x.shape[rank - 1 :])))


MOVEMENTS: Mapping[str, Step] = {
    "reshape": reshape,
    "transpose": transpose,
    "slice": slice_,
    "pad": pad,
    "concat": concat,
    "split": split,
    "expand": expand,
    "tile": tile,
    "gather": gather,
    "copy": copy,
}
MATRIX_MOVEMENTS: Mapping[str, Step] = {"trilu": trilu, "transpose": transpose, "concat": concat}
IMAGE_MOVEMENTS: Mapping[str, Step] = {
    "resize": resize,
    "depth_to_space": depth_to_space,
    "space_to_depth": space_to_depth,
    "channel_shuffle": channel_shuffle,
    "concat": concat,
}
