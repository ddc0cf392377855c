"""Index arithmetic: which element of a buffer a loop nest touches.

An `Index` is ``const + sum(scale * ((inner // div) % mod))`` where `inner` is a loop axis or another Index. Axes run over
``[0, extent)``, so every Index knows its own range, and reshapes simplify by it:

>>> y, x = Axis(0, 4), Axis(1, 6)
>>> flat = Index.of(y) * 6 + Index.of(x)
>>> print(flat // 6, "|", flat % 6)
a0 | a1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Axis:
    """A loop axis: its number in the stage and how far it runs."""

    id: int
    extent: int

    def __str__(self) -> str:
        return f"a{self.id}"


@dataclass(frozen=True)
class Term:
    """``scale * ((inner // div) % mod)``; `mod` 0 means no modulus."""

    scale: int
    inner: Axis | Index
    div: int = 1
    mod: int = 0

    @cached_property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value, both reached or bounded."""
        lo, hi = (0, self.inner.extent - 1) if isinstance(self.inner, Axis) else self.inner.range
        lo, hi = lo // self.div, hi // self.div
        if self.mod and not (0 <= lo and hi < self.mod):
            lo, hi = 0, self.mod - 1
        ends = (lo * self.scale, hi * self.scale)
        return min(ends), max(ends)

    @property
    def linear(self) -> bool:
        """Whether this is a plain multiple of an axis."""
        return isinstance(self.inner, Axis) and self.div == 1 and self.mod == 0

    def __str__(self) -> str:
        text = str(self.inner) if isinstance(self.inner, Axis) else f"({self.inner})"
        if self.div != 1:
            text = f"({text}//{self.div})"
        if self.mod:
            text = f"({text}%{self.mod})"
        return text if self.scale == 1 else f"{self.scale}*{text}"


@dataclass(frozen=True)
class Index:
    """One coordinate as a function of the loop axes."""

    const: int = 0
    terms: tuple[Term, ...] = ()

    @staticmethod
    def of(axis: Axis) -> Index:
        """The axis itself (0 when it has a single iteration)."""
        return Index(0, (Term(1, axis),)) if axis.extent > 1 else Index(0)

    @cached_property
    def range(self) -> tuple[int, int]:
        """Bounds on the value over all iterations."""
        return self.const + sum(t.range[0] for t in self.terms), self.const + sum(
            t.range[1] for t in self.terms
        )

    @cached_property
    def axes(self) -> frozenset[int]:
        """Numbers of the axes that the value depends on."""
        inner = [{t.inner.id} if isinstance(t.inner, Axis) else t.inner.axes for t in self.terms]
        return frozenset().union(*inner)

    def coefficient(self, axis: int) -> int | None:
        """The multiple of `axis` in this Index; None where it enters through a division or modulus."""
        total = 0
        for term in self.terms:
            if term.linear:
                assert isinstance(term.inner, Axis)
                total += term.scale if term.inner.id == axis else 0
            elif axis in Index(0, (term,)).axes:
                return None
        return total

    def without(self, axis: int) -> Index:
        """This Index but for the terms that depend on `axis`."""
        return Index(self.const, tuple(t for t in self.terms if axis not in Index(0, (t,)).axes))

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.const + other, self.terms)
        merged: dict[tuple[Axis | Index, int, int], int] = {}
        for term in self.terms + other.terms:
            key = (term.inner, term.div, term.mod)
            merged[key] = merged.get(key, 0) + term.scale
        terms = tuple(Term(s, *key) for key, s in merged.items() if s)
        return Index(self.const + other.const, terms)

    def __mul__(self, factor: int) -> Index:
        if factor == 0:
            return Index(0)
        return Index(
            self.const * factor, tuple(Term(t.scale * factor, t.inner, t.div, t.mod) for t in self.terms)
        )

    def __floordiv__(self, div: int) -> Index:
        if div == 1:
            return self
        lo, hi = self.range
        if lo // div == hi // div:
            return Index(lo // div)
        whole = Index(
            self.const // div,
            tuple(Term(t.scale // div, t.inner, t.div, t.mod) for t in self.terms if t.scale % div == 0),
        )
        rest = Index(self.const % div, tuple(t for t in self.terms if t.scale % div))
        low, high = rest.range
        if 0 <= low and high < div:
            return whole
        common = gcd(div, *(t.scale for t in rest.terms))
        small = Index(rest.const % common)
        if common > 1 and small.range[1] < common:
            rest = Index(
                rest.const // common,
                tuple(Term(t.scale // common, t.inner, t.div, t.mod) for t in rest.terms),
            )
            return whole + rest // (div // common)
        coarse = [t for t in rest.terms if gcd(t.scale, div) > 1]
        for step in sorted({gcd(t.scale, div) for t in coarse}, reverse=True):
            fine = Index(rest.const % step, tuple(t for t in rest.terms if t.scale % step))
            if 0 <= fine.range[0] and fine.range[1] < step:
                upper = Index(
                    rest.const // step,
                    tuple(
                        Term(t.scale // step, t.inner, t.div, t.mod)
                        for t in rest.terms
                        if t.scale % step == 0
                    ),
                )
                return whole + upper // (div // step)
        return whole + _quotient(rest, div, 0)

    def __mod__(self, mod: int) -> Index:
        lo, hi = self.range
        if lo // mod == hi // mod:
            return self + -(lo // mod) * mod
        rest = Index(self.const % mod, tuple(t for t in self.terms if t.scale % mod))
        low, high = rest.range
        if 0 <= low and high < mod:
            return rest
        for step in sorted({gcd(t.scale, mod) for t in rest.terms}, reverse=True):
            fine = Index(rest.const % step, tuple(t for t in rest.terms if t.scale % step))
            if step > 1 and 0 <= fine.range[0] and fine.range[1] < step:
                upper = Index(
                    rest.const // step,
                    tuple(
                        Term(t.scale // step, t.inner, t.div, t.mod)
                        for t in rest.terms
                        if t.scale % step == 0
                    ),
                )
                return (upper % (mod // step)) * step + fine
        return _quotient(rest, 1, mod)

    def substitute(self, axes: Mapping[int, Index]) -> Index:
        """This Index with the axes in `axes` replaced by an Index over others."""
        total = Index(self.const)
        for term in self.terms:
            if isinstance(term.inner, Axis):
                inner = axes.get(term.inner.id) or Index(0, (Term(1, term.inner),))
            else:
                inner = term.inner.substitute(axes)
            value = inner // term.div
            total = total + (value % term.mod if term.mod else value) * term.scale
        return total

    def evaluate(self, axis: Callable[[int], Any]) -> Any:
        """The value for given axis values: ints or numpy arrays of ints."""
        total: Any = self.const
        for term in self.terms:
            value = axis(term.inner.id) if isinstance(term.inner, Axis) else term.inner.evaluate(axis)
            value = value // term.div if term.div != 1 else value
            total = total + (value % term.mod if term.mod else value) * term.scale
        return total

    def __str__(self) -> str:
        parts = [str(t) for t in self.terms] + ([str(self.const)] if self.const or not self.terms else [])
        return "+".join(parts).replace("+-", "-")


def _quotient(index: Index, div: int, mod: int) -> Index:
    """``(index // div) % mod`` as one term, unwrapped where `index` is a single plain axis or already a quotient of one."""
    if index.const == 0 and len(index.terms) == 1 and index.terms[0].scale == 1:
        term = index.terms[0]
        if term.mod == 0:
            return Index(0, (Term(1, term.inner, term.div * div, mod),))
    return Index(0, (Term(1, index, div, mod),))


Map = tuple[Index, ...]
"""One Index per dimension of the buffer or value that is read."""


@dataclass(frozen=True)
class Bound:
    """``lo <= index < hi``, one face of a box."""

    index: Index
    lo: int
    hi: int

    @property
    def verdict(self) -> bool | None:
        """True where it always holds, False where it never does, None where it depends."""
        low, high = self.index.range
        if self.lo <= low and high < self.hi:
            return True
        return False if high < self.lo or low >= self.hi else None

    def substitute(self, axes: Mapping[int, Index]) -> Bound:
        """This Bound with the axes in `axes` replaced by an Index over others."""
        return Bound(self.index.substitute(axes), self.lo, self.hi)

    def ends(self, axis: Axis) -> tuple[Index, Index]:
        """First and end of the steps of `axis` that are inside, for the other axes; no whole multiple of it is an AssertionError.

        >>> tap = Axis(1, 3)
        >>> print(*Bound(Index.of(Axis(0, 8)) + Index.of(tap), 1, 9).ends(tap))
        -1*a0+1 -1*a0+9
        """
        factor = self.index.coefficient(axis.id)
        assert factor, f"{self} is no bound on the steps of {axis}"
        rest = self.index + Index.of(axis) * -factor
        assert axis.id not in rest.axes, f"{self} runs over another extent of {axis}"
        if factor < 0:
            return (rest + -self.hi) // -factor + 1, (rest + -self.lo) // -factor + 1
        down = rest * -1 + (factor - 1)
        return (down + self.lo) // factor, (down + self.hi) // factor

    def share(self) -> float:
        """The share of all steps of its axes that is inside."""
        extents = _extents(self.index)
        grid = np.indices(tuple(extents.values()))
        at = self.index.evaluate(lambda number: grid[list(extents).index(number)])
        return float(np.mean((self.lo <= at) & (at < self.hi)))

    def __str__(self) -> str:
        return f"{self.lo}<={self.index}<{self.hi}"


Box = tuple[Bound, ...]


def _extents(index: Index) -> dict[int, int]:
    """How far every axis of `index` runs, by number."""
    found: dict[int, int] = {}
    for term in index.terms:
        found |= {term.inner.id: term.inner.extent} if isinstance(term.inner, Axis) else _extents(term.inner)
    return found


def unflatten(flat: Index, shape: tuple[int, ...]) -> Map:
    """The coordinates in `shape` of the element number `flat` in row-major order.

    >>> print(*unflatten(Index.of(Axis(0, 24)), (2, 3, 4)))
    (a0//12) ((a0//4)%3) (a0%4)
    """
    out: list[Index] = []
    stride = 1
    for extent in reversed(shape):
        out.append((flat // stride) % extent if extent > 1 else Index(0))
        stride *= extent
    return tuple(reversed(out))


def flatten(coordinates: Map, shape: tuple[int, ...]) -> Index:
    """The row-major element number of `coordinates` in `shape`; the inverse of `unflatten`."""
    flat = Index(0)
    for index, extent in zip(coordinates, shape, strict=True):
        flat = flat * extent + index
    return flat
