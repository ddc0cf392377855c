"""Random elementwise and data-movement nodes on the values of a Net."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp, prod

from fusekit.compiler.graph import Attribute

from .choices import Choices
from .net import EPS, Known, Net

LARGEST = 3000
"""Elements of a value."""


@dataclass(frozen=True)
class Unary:
    """An op with the bound of its result and its slope, as functions of the operand's bound."""

    bound: Callable[[float], float]
    slope: Callable[[float], float]
    attrs: Mapping[str, Attribute] | None = None


UNARY: Mapping[str, Unary] = {
    "Relu": Unary(lambda b: b, lambda b: 1),
    "Neg": Unary(lambda b: b, lambda b: 1),
    "Abs": Unary(lambda b: b, lambda b: 1),
    "LeakyRelu": Unary(lambda b: b, lambda b: 1, {"alpha": 0.125}),
    "HardSigmoid": Unary(lambda b: 1, lambda b: 0.2, {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": Unary(lambda b: b, lambda b: 1.5),
    "Sigmoid": Unary(lambda b: 1, lambda b: 0.25),
    "Tanh": Unary(lambda b: 1, lambda b: 1),
    "Swish": Unary(lambda b: b, lambda b: 1.1, {"alpha": 1.0}),
    "Elu": Unary(lambda b: max(b, 1), lambda b: 1, {"alpha": 1.0}),
    "Softplus": Unary(lambda b: b + 0.7, lambda b: 1),
    "Softsign": Unary(lambda b: 1, lambda b: 1),
    "Gelu": Unary(lambda b: b, lambda b: 1.13, {"approximate": "none"}),
    "Mish": Unary(lambda b: b, lambda b: 1.1),
    "Erf": Unary(lambda b: 1, lambda b: 1.13),
    "Exp": Unary(lambda b: exp(min(b, 3)), lambda b: exp(min(b, 3))),
}  # fmt: skip

BINARY = ("Add", "Sub", "Mul", "Min", "Max", "Div", "PRelu", "Clip", "Where")
MOVEMENT = ("Pad", "Slice", "Transpose", "Reshape", "Concat", "Expand")


class Grower(Choices):
    """Adds random nodes to a net."""

    def __init__(self, net: Net, draw: Callable[..., object]) -> None:
        super().__init__(draw)
        self.net = net
        self.live: list[str] = []
        """Values that later nodes may read again."""

    def grow(self, value: str, most: int, movement: bool = True) -> str:
        """`value` after up to `most` random nodes, some of whose values may become outputs or be read again."""
        for _ in range(self.number(0, most)):
            if movement and self.chance(3):
                value = self._movement(value)
            elif self.chance(2):
                value = self._binary(value)
            else:
                value = self._unary(value)
            self.live.append(value)
            if self.chance(6):
                self.net.output(value)
        return value

    # -- elementwise

    def _unary(self, value: str) -> str:
        value = self._tamed(value)
        op = self.pick(*UNARY)
        net, known, rule = self.net, self.net.known[value], UNARY[op]
        bound = rule.bound(known.bound)
        if op == "Exp" and known.bound > 3:
            op, rule, bound = "Tanh", UNARY["Tanh"], 1.0
        error = rule.slope(known.bound) * known.error + 8 * EPS * max(bound, 1e-3)
        return net.node(op, [value], net.shape(value), Known(bound, error), **(rule.attrs or {}))

    def _tamed(self, value: str) -> str:
        """`value`, scaled down where its magnitude has grown."""
        known = self.net.known[value]
        if known.bound <= 16:
            return value
        scale = self.net.constant(1 / known.bound)
        wanted = Known(1.0, known.error / known.bound + EPS)
        return self.net.node("Mul", [value, scale], self.net.shape(value), wanted)

    def _binary(self, value: str) -> str:
        value = self._tamed(value)
        op = self.pick(*BINARY)
        net, shape, a = self.net, self.net.shape(value), self.net.known[value]
        if op == "Clip":
            bounds = [net.constant(-1.0), net.constant(1.5)]
            return net.node("Clip", [value, *bounds], shape, Known(min(a.bound, 1.5), a.error))
        if op == "Where":
            return self._where(value)
        if op == "PRelu":
            slope = self._constant(shape)
            return net.node(op, [value, slope], shape, Known(a.bound, a.error + EPS * a.bound))
        if op == "Div":
            other = net.constant(net.random.uniform(1, 2, self._narrowed(shape)))
            return net.node(op, [value, other], shape, Known(a.bound, a.error + EPS * a.bound))
        other = self._other(shape)
        b = net.known[other]
        operands = [value, other] if not self.chance(3) else [other, value]
        if op in ("Add", "Sub"):
            bound, error = a.bound + b.bound, a.error + b.error
        elif op == "Mul":
            bound, error = a.bound * b.bound, a.error * b.bound + b.error * a.bound
        else:
            bound, error = max(a.bound, b.bound), max(a.error, b.error)
        return net.node(op, operands, shape, Known(bound, error + EPS * bound))

    def _where(self, value: str) -> str:
        """A choice by a comparison of an input, which no rounding changes."""
        net, shape, a = self.net, self.net.shape(value), self.net.known[value]
        decider = net.input(*self._narrowed(shape))
        mask = net.node("Less", [decider, net.constant(0.25)], net.shape(decider), Known(1))
        if self.chance(4):
            net.output(mask)
        other = self._other(shape)
        b = net.known[other]
        return net.node(
            "Where", [mask, value, other], shape, Known(max(a.bound, b.bound), max(a.error, b.error))
        )

    def _other(self, shape: tuple[int, ...]) -> str:
        """An operand that broadcasts to `shape`: a value made before, an input, or a constant."""
        net = self.net
        fitting = [v for v in self.live if self._fits(net.shape(v), shape) and net.known[v].bound <= 16]
        if fitting and not self.chance(3):
            return fitting[-1 - self.number(0, len(fitting) - 1)]
        if self.chance(2):
            return net.input(*self._narrowed(shape))
        return self._constant(shape)

    def _fits(self, shape: tuple[int, ...], whole: tuple[int, ...]) -> bool:
        aligned = whole[len(whole) - len(shape) :]
        return len(shape) <= len(whole) and all(n in (1, w) for n, w in zip(shape, aligned, strict=True))

    def _constant(self, shape: tuple[int, ...]) -> str:
        return self.net.uniform(*self._narrowed(shape))

    def _narrowed(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A shape that broadcasts to `shape`: scalar, per channel, the whole, a vector of the last axis, or any."""
        kind = self.number(0, 4)
        if kind == 0:
            return ()
        if kind == 1 and len(shape) > 1:
            return shape[1:2] + (1,) * (len(shape) - 2)
        if kind == 2:
            return shape
        if kind == 3:
            return shape[-1:]
        return tuple(n if self.chance(2) else 1 for n in shape)

    # -- movement

    def _movement(self, value: str) -> str:
        net, shape, known = self.net, self.net.shape(value), self.net.known[value]
        op = self.pick(*MOVEMENT)
        rank = len(shape)
        if rank == 0:
            return net.node("Reshape", [value], (1,), known)
        if op == "Pad":
            pads = [self.number(0, 2) if self.chance(2) else 0 for _ in range(2 * rank)]
            wide = tuple(n + a + b for n, a, b in zip(shape, pads[:rank], pads[rank:], strict=True))
            if prod(wide) > LARGEST:
                return value
            fill = self.pick(0.0, 0.5, -1.0)
            return net.node(
                "Pad", [value], wide, Known(max(known.bound, 1), known.error), pads=tuple(pads), value=fill
            )
        if op == "Slice":
            return self._slice(value)
        if op == "Transpose":
            perm = list(range(rank))
            for i in range(rank - 1):
                j = self.number(i, rank - 1)
                perm[i], perm[j] = perm[j], perm[i]
            return net.node("Transpose", [value], [shape[p] for p in perm], known, perm=tuple(perm))
        if op == "Reshape":
            return net.node("Reshape", [value], self._reshaped(shape), known)
        if op == "Expand":
            wide = tuple(self.number(1, 3) if n == 1 else n for n in shape)
            return net.node("Expand", [value], wide, known) if prod(wide) <= LARGEST else value
        return self._concat(value)

    def _slice(self, value: str) -> str:
        net, shape = self.net, self.net.shape(value)
        starts, steps, sizes = [], [], []
        for n in shape:
            if n == 1 or self.chance(2):
                start, step, size = 0, 1, n
            elif self.chance(4):
                start, step, size = n - 1, -1, n
            else:
                step = self.number(1, 2)
                start = self.number(0, n - 1)
                size = self.number(1, (n - 1 - start) // step + 1)
            starts.append(start)
            steps.append(step)
            sizes.append(size)
        return net.node("Slice", [value], sizes, net.known[value], starts=tuple(starts), steps=tuple(steps))

    def _reshaped(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` with two neighbours merged, one split, or a 1 put in."""
        at = self.number(0, len(shape) - 1)
        kind = self.number(0, 2)
        if kind == 0 and at + 1 < len(shape):
            return (*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
        factor = next((f for f in (2, 3, 5, 7) if shape[at] % f == 0), 1)
        if kind == 1 and len(shape) < 5:
            return (*shape[:at], factor, shape[at] // factor, *shape[at + 1 :])
        return (*shape[:at], 1, *shape[at:]) if len(shape) < 5 else shape

    def _concat(self, value: str) -> str:
        net, shape = self.net, self.net.shape(value)
        axis = self.number(0, len(shape) - 1)
        parts = [value]
        for _ in range(self.number(1, 2)):
            same = [v for v in self.live if len(net.shape(v)) == len(shape)]
            close = [
                v
                for v in same
                if all(a == b for i, (a, b) in enumerate(zip(net.shape(v), shape, strict=True)) if i != axis)
            ]
            if close and not self.chance(3):
                parts.append(close[-1 - self.number(0, len(close) - 1)])
            else:
                wide = (*shape[:axis], self.number(1, 3), *shape[axis + 1 :])
                made = net.uniform(*wide) if self.chance(4) else net.input(*wide)
                parts.append(self._unary(made) if self.chance(2) else made)
        if self.chance(2):
            parts.reverse()
        size = sum(net.shape(v)[axis] for v in parts)
        total = (*shape[:axis], size, *shape[axis + 1 :])
        if prod(total) > LARGEST:
            return value
        known = Known(max(net.known[v].bound for v in parts), max(net.known[v].error for v in parts))
        return net.node("Concat", parts, total, known, axis=axis)

    def ranked(self, value: str, rank: int) -> str:
        """`value` with `rank` dimensions: the first ones merged, or ones put in front."""
        shape = self.net.shape(value)
        if len(shape) == rank:
            return value
        while len(shape) > rank:
            shape = (shape[0] * shape[1], *shape[2:])
        shape = (1,) * (rank - len(shape)) + shape
        return self.net.node("Reshape", [value], shape, self.net.known[value])
