"""Steps that multiply matrices: products of values with constants and with each other, Gemm, Einsum and attention."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from .draft import Tensor, products, rounding
from .maker import Maker, Step

COLUMNS = (4, 1, 3, 6, 8, 17, 24)


def _multiplied(maker: Maker, a: Tensor, b: Tensor) -> Tensor:
    """``a @ b``."""
    left, right = (np.abs(t.data.astype(np.float64)) for t in (a, b))
    rows, columns = left.sum(-1).max(), right.sum(-2 if b.rank > 1 else 0).max()
    largest = float(np.matmul(left, right).max())
    error = rows * b.error + columns * a.error + products(a.shape[-1], 1.0, 0.0, largest)
    return maker.draft.node("MatMul", [a, b], error)


def linear(maker: Maker, x: Tensor) -> Tensor:
    """A product with a constant on either side, its batches as many, fewer or more."""
    draft = maker.draft
    lead = x.shape[:-2] if maker.chance(4) else ()
    if x.rank < 5 and set(x.shape[:-2]) <= {1} and maker.chance(4):
        lead = (3,)
    if x.rank > 1 and maker.chance(4):
        k = x.shape[-2]
        left = draft.uniform(*lead, maker.pick(*COLUMNS), k, bound=1 / sqrt(k))
        return _multiplied(maker, left, x)
    k = x.shape[-1]
    shape = (k,) if maker.chance(6) else (*lead, k, maker.pick(*COLUMNS))
    right = draft.uniform(*shape, bound=1 / sqrt(k))
    return _multiplied(maker, x, right)


def matmul(maker: Maker, x: Tensor) -> Tensor:
    """A product of two values made at run time: with an input, with a value that fits, or with its own transpose."""
    draft, k = maker.draft, x.shape[-1]
    fitting = [
        t for t in maker.live if t.rank >= 2 and t.shape[-2] == k and t.shape[:-2] in ((), x.shape[:-2])
    ]
    kind = maker.pick("input", "live", "self")
    if kind == "live" and fitting:
        other = fitting[-1 - maker.number(0, len(fitting) - 1)]
    elif kind == "self" and x.rank >= 2:
        perm = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
        other = draft.node("Transpose", [x], x.error, perm=perm)
    else:
        lead = x.shape[:-2] if maker.chance(2) else ()
        other = draft.input(*lead, k, maker.pick(*COLUMNS))
    return _multiplied(maker, x, other)


def gemm(maker: Maker, x: Tensor) -> Tensor:
    """Gemm with either operand transposed, scaled, and with an addend of any shape that broadcasts."""
    draft, trans_a, trans_b = maker.draft, maker.number(0, 1), maker.number(0, 1)
    k, m = (x.shape[0], x.shape[1]) if trans_a else (x.shape[1], x.shape[0])
    n = maker.pick(*COLUMNS)
    shape = (n, k) if trans_b else (k, n)
    right = draft.input(*shape, bound=1.0) if maker.chance(4) else draft.uniform(*shape, bound=1 / sqrt(k))
    operands = [x, right]
    if maker.chance(2):
        added = maker.pick((n,), (1, n), (m, 1), (m, n), (), (1, 1))
        operands.append(draft.input(*added) if maker.chance(2) else draft.uniform(*added))
    alpha, beta = maker.pick(1.0, 0.5), maker.pick(1.0, 2.0, 0.0)
    error = products(k, k * right.bound, x.error, x.bound) + rounding(4)
    return draft.node("Gemm", operands, error, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta)


EQUATIONS: Mapping[int, tuple[str, ...]] = {
    1: ("i,i->", "i,j->ij"),
    2: ("ij,jk->ik", "ij->ji", "ij->i", "ij,kj->ik", "ij,ij->j", "ij,kj->kij"),
    3: ("bij,bjk->bik", "bij->jb", "bij,bkj->bki", "bij,jk->bik", "bij,bij->b", "bij,kb->kji"),
    4: ("bhij,bhkj->bhik", "bhij->bjhi", "bhij,bhij->bh", "bchw,cd->bdhw", "bchw,bc->bhw"),
    5: ("abcde->ace",),
}


def einsum(maker: Maker, x: Tensor) -> Tensor:
    """A sum of products over some of the labels."""
    draft, equation = maker.draft, maker.pick(*EQUATIONS[x.rank])
    left, _, output = equation.partition("->")
    labels, _, others = left.partition(",")
    sizes = dict(zip(labels, x.shape, strict=True))
    terms = 1
    for label in labels:
        terms *= 1 if label in output else sizes[label]
    operands = [x]
    if others:
        shape = [sizes.setdefault(label, maker.pick(*COLUMNS)) for label in others]
        other = draft.input(*shape, bound=1.0) if maker.chance(2) else draft.uniform(*shape)
        operands.append(other)
    bound = operands[-1].bound if others else 1.0
    return draft.node("Einsum", operands, products(terms, terms * bound, x.error, x.bound), equation=equation)


def attention(maker: Maker, x: Tensor) -> Tensor:
    """Rows of a matrix weighted by the softmax of what they have in common."""
    draft, width = maker.draft, x.shape[-1]
    depth = maker.pick(4, 3, 8)

    def projected() -> Tensor:
        return _multiplied(maker, x, draft.uniform(width, depth, bound=1 / sqrt(width)))

    query, key, value = projected(), projected(), projected()
    turned = draft.node("Transpose", [key], key.error, perm=[*range(x.rank - 2), x.rank - 1, x.rank - 2])
    scores = _multiplied(maker, query, turned)
    scaled = draft.node(
        "Mul", [scores, draft.constant(1 / sqrt(depth))], scores.error + rounding(scores.bound)
    )
    shares = draft.node("Softmax", [scaled], 2 * scaled.error + rounding(4), axis=-1)
    return _multiplied(maker, shares, value)


PRODUCTS: Mapping[str, Step] = {"linear": linear, "matmul": matmul, "einsum": einsum}
MATRICES: Mapping[str, Step] = {"gemm": gemm}
ATTENTION: Mapping[str, Step] = {"attention": attention, "linear": linear}
