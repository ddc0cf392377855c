"""Candidates: the choices of a stage that are worth timing, one direction after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil

from .analytic_choice import block_choice, block_cycles, dot_choice, ranked_blocks
from .anchors.region import balanced
from .choice import MOST_ROWS, MOST_VECTORS, Choice, Signature, obstacle
from .target import Machine

NEAR_BEST, MOST_BLOCKS = 1.5, 12
"""Register blocks worth timing take up to so many times the cycles predicted for the best one, and are at most so many."""

MOST_WORK = 64
"""Primitives of elementwise work in a block, beyond which more of it is more code and nothing else."""

Direction = Callable[[Choice, Signature, Machine], list[Choice]]
"""Choices that differ from a given one in one respect."""


def candidates(
    direction: Direction, choice: Choice, signature: Signature, machine: Machine
) -> tuple[Choice, ...]:
    """The legal choices that lie in a direction from `choice`, without itself, the most promising first."""
    found = dict.fromkeys(direction(choice, signature, machine))
    return tuple(c for c in found if c != choice and not obstacle(c, signature, machine))


def _transforms(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    return [replace(choice, winograd=not choice.winograd)] if signature.tunable == "winograd" else []


def _dots(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    """The other way to run lanes, where outputs are few enough for both."""
    if signature.tunable != "contraction" or signature.lanes > 2 * machine.lanes:
        return []
    return [block_choice(signature, machine) if choice.dot else dot_choice(machine)]


def _blocks(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    if signature.tunable == "winograd":
        return []
    if signature.tunable == "contraction" and not choice.dot:
        blocks = _promising_blocks(signature, machine)
        return [replace(choice, mr=mr, nv=nv, half=half) for mr, nv, half in blocks]
    vectors = min(MOST_VECTORS, ceil(signature.lanes / machine.lanes))
    if signature.tunable == "pointwise":
        vectors = min(vectors, MOST_WORK // max(1, signature.epilogue))
    columns = (1, 2, 4, 6, 8, 12, 16) if signature.columns else (1,)
    heights = range(1, MOST_ROWS + 1) if signature.tunable in ("depthwise", "pool") else (1,)
    return [
        replace(choice, mr=mr, nv=nv, rows=rows)
        for rows in heights
        for nv in range(1, vectors + 1)
        for mr in columns
    ]


def _promising_blocks(signature: Signature, machine: Machine) -> list[tuple[int, int, bool]]:
    """Register blocks that are predicted to do well and whose code differs."""
    columns = max(1, signature.columns)
    cycles = {
        (mr, nv, half): block_cycles((mr, nv, half), signature, machine)
        for mr, nv, half in ranked_blocks(signature, machine)
        if balanced(columns, mr)[2] == mr
        and nv <= ceil(signature.lanes / (machine.halved() if half else machine).lanes)
    }
    return [block for block in cycles if cycles[block] <= NEAR_BEST * min(cycles.values())][:MOST_BLOCKS]


def _unrolls(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    if signature.tunable != "contraction" or choice.dot or not signature.depth:
        return []
    return [replace(choice, unroll=unroll) for unroll in (2, 4, 8, 16) if unroll <= signature.depth[-1]]


def _tiles(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    return [replace(choice, tiles=tiles) for tiles in (0, 1, 2, 4, 8, 16, 32)]


def _epilogues(choice: Choice, signature: Signature, machine: Machine) -> list[Choice]:
    return [replace(choice, row_epilogue=not choice.row_epilogue)] if signature.epilogue else []


DIRECTIONS: tuple[Direction, ...] = (_transforms, _dots, _blocks, _unrolls, _tiles, _epilogues)
"""In order of what they may gain: each is searched from the best choice of those before it."""
