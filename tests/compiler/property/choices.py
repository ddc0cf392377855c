"""Choices: the small structured draws that random nets are made of, so that hypothesis shrinks a net by shrinking numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")


class Choices:
    """Draws; everything shrinks toward what is named first."""

    def __init__(self, draw: Callable[..., object]) -> None:
        self._draw = draw

    def number(self, lo: int, hi: int) -> int:
        """An integer of ``[lo, hi]``, shrinking toward `lo`."""
        value = self._draw(st.integers(lo, hi))
        assert isinstance(value, int)
        return value

    def pick(self, *choices: T) -> T:
        """One of `choices`, shrinking toward the first."""
        return choices[self.number(0, len(choices) - 1)]

    def chance(self, one_in: int) -> bool:
        """True once in so many times; shrinks to False."""
        return self.number(0, one_in - 1) == one_in - 1
