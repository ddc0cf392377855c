"""Sums: which vectors hold a register block of a contraction, and which of them two columns share."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..target import Machine


@dataclass(frozen=True)
class Sums:
    """Where a block's sums stand in the list that its loops carry: by column and vector, then the last vectors that pairs of columns share.

    They do so where they are narrow: one multiply-add then serves both columns. The elements of a have to be at hand as vectors, which the vectors
    before the last need too.
    """

    parts: list[tuple[int, int]]
    """Offset and lanes of each vector."""
    columns: int
    paired: bool

    @property
    def own(self) -> int:
        """Vectors that a column has to itself."""
        return len(self.parts) - self.paired

    @property
    def count(self) -> int:
        """How many there are."""
        return self.own * self.columns + self.paired * ceil(self.columns / 2)

    def shared(self, part: int) -> bool:
        """Whether two columns share that vector."""
        return part == self.own

    def number(self, column: int, part: int) -> int:
        """The sum of a column and vector in the list."""
        return self.own * self.columns + column // 2 if self.shared(part) else column * self.own + part


def pairs_tails(lanes: int, machine: Machine) -> bool:
    """Whether last vectors of so many lanes share a register by pairs of columns: two fit, and elements of a are broadcast."""
    return machine.a_form == "broadcast" and machine.lanes > 4 and 2 * lanes <= machine.lanes
