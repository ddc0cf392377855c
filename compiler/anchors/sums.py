"""Sums: which vectors hold a register block of a contraction, which of them two columns share, and how many parts of a column's sum are added up at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

from ..emit import Coord, Emitter, Value
from ..target import Machine

MOST_STREAMS, LEAST_STREAM, SPARE = 4, 32, 6
"""Parts of a single column's sum, the fewest steps of one, and the registers left to what is multiplied."""


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


def streams_of(steps: int, vectors: int, machine: Machine) -> int:
    """Parts in which a single column's sum of so many steps, in so many vectors, is added up side by side.

    Such a column uses its weights alone, and memory answers several streams of them faster than one: 21 GB/s instead of 17 on a Zen 3. Nor does each multiply-add then wait
    for the one before. Where these read a lane the order of the elements is another matter, and nothing was measured.
    """
    if machine.a_form != "broadcast":
        return 1
    return max(1, min(MOST_STREAMS, steps // LEAST_STREAM, (machine.registers - SPARE) // vectors))


def side_by_side(
    e: Emitter,
    streams: int,
    steps: int,
    unroll: int,
    zeros: Sequence[Value],
    add: Callable[[Coord, list[Value]], list[Value]],
) -> tuple[int, list[Value]]:
    """(steps that are done, their sums): so many parts of the steps, equally long, one of each in turn; `add(step, sums)` adds one. None are done of a single part."""
    if streams == 1:
        return 0, list(zeros)
    each, length = len(zeros), steps // (streams * unroll) * unroll

    def run(i: Coord, carried: list[Value]) -> list[Value]:
        parts = [carried[at : at + each] for at in range(0, len(carried), each)]
        for at in range(unroll):
            e.load_barrier()
            parts = [add(i + (number * length + at), part) for number, part in enumerate(parts)]
        return [value for part in parts for value in part]

    sums = e.loop(0, length, unroll, run, [*zeros] * streams)
    while len(sums) > each:
        sums = sums[: -2 * each] + [
            e.builder.fadd(a, b) for a, b in zip(sums[-2 * each : -each], sums[-each:], strict=True)
        ]
    return length * streams, sums
