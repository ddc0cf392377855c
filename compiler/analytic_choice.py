"""The choice that arithmetic makes, over the `Machine` table, where no schedule table names another."""

from __future__ import annotations

from math import ceil, prod

from .anchors.dot import side_by_side
from .anchors.region import LINE_ELEMENTS, balanced
from .anchors.sums import pairs_tails
from .choice import MOST_VECTORS, Choice, Signature, block_registers, may_be_dot, window_registers
from .target import Machine

WINDOW_COLUMNS = 8
"""Columns of a window's block: enough sums to hide the latency of an addition; a row's weights and an element have registers besides."""

FOLD, SCATTER = 3.0, 2.0
"""Instructions for an output that add up the lanes of a sum, together with those of neighbouring columns, and that store it alone."""

FEW_COLUMNS, PAIR_COLUMNS = 4, 7
"""Columns below which a block of two rows is too narrow, and its most where loads cannot be part of a multiply-add: LLVM makes them ahead, and of 8
columns some spill."""

WIDEST = 14
"""Columns of a contraction's block. Of several vectors two fewer where each is a broadcast: LLVM moves some of 14 x 2 from register to register."""

COSTLY_EPILOGUE = 12
"""Primitives per element above which an epilogue runs row by row."""

PAIRED, PAIRED_IN_HALVES = 0.5, 0.75
"""Of a vector, the time that a column takes which shares one with another: joining their elements costs nothing but where the units are half as wide."""

HALVES_COST = 1.05
"""Times the counted cycles that blocks of half registers take: they are twice as many instructions."""

CROWDED_BYTES = 1024
"""Between columns, from which on a window's lines crowd into few sets."""


def analytic_choice(signature: Signature, machine: Machine) -> Choice:
    """The choice by counting cycles; of Winograd, `winograd.py` decides itself."""
    match signature.tunable:
        case "contraction":
            return dot_choice(machine) if _is_dot(signature, machine) else block_choice(signature, machine)
        case "depthwise" | "pool":
            return _window(signature, machine)
        case "pointwise":
            return Choice(nv=2 if signature.epilogue <= 8 and machine.registers >= 16 else 1)
        case "winograd":
            raise AssertionError("Winograd's cycles are counted over the convolution, not over a stage")


def block_choice(signature: Signature, machine: Machine) -> Choice:
    """A contraction with lanes along its outputs."""
    mr, nv, half = ranked_blocks(signature, machine)[0]
    unroll = 8 if machine.a_form == "lane" else 4
    return Choice(mr, nv, unroll, row_epilogue=signature.epilogue > COSTLY_EPILOGUE, half=half)


def dot_choice(machine: Machine) -> Choice:
    """A contraction with lanes along its reduction."""
    return Choice(max(WINDOW_COLUMNS, machine.lanes), dot=True, half=machine.halves)


def _is_dot(signature: Signature, machine: Machine) -> bool:
    """Whether lanes are better spent on the reduction: few outputs at a position, and many elements of a sum next to each other.

    Counted are instructions for an output: vectors of the reduction and what adds up their lanes, or steps of it that the outputs share.
    """
    if machine.halves:
        machine = machine.halved()
    if not may_be_dot(signature) or 2 * signature.lanes > machine.lanes:
        return False
    *outer, inner = signature.depth
    _, step, apart = signature.writes
    stores = 0.0 if step == 1 or side_by_side(signature.lanes, step, apart) else SCATTER
    along = prod(outer) * ceil(inner / machine.lanes) + FOLD + stores + signature.epilogue / machine.lanes
    across = (prod(signature.depth) + signature.epilogue + 1) / signature.lanes
    return along < across


def ranked_blocks(signature: Signature, machine: Machine) -> list[tuple[int, int, bool]]:
    """Register blocks (columns, vectors, whether these are halves) of a contraction, those with the least predicted time first, of equals the larger."""
    blocks = [
        (mr, nv, half)
        for half in (False, True)[: 1 + machine.halves]
        for nv in range(1, MOST_VECTORS + 1)
        for mr in range(1, (WIDEST if nv == 1 or machine.a_form == "lane" else WIDEST - 2) + 1)
        if block_registers(mr, nv, machine) <= machine.registers
    ]
    return sorted(blocks, key=lambda b: (block_cycles(b, signature, machine), b[2], -b[0] * b[1], b[1]))


def block_cycles(block: tuple[int, int, bool], signature: Signature, machine: Machine) -> float:
    """Predicted cycles of a step of a contraction's reduction, for all columns and lanes.

    A step of a block multiplies mr * nv vectors, loads nv of them and mr scalars (a quarter as vectors where a multiply-add reads a lane);
    it takes the longest of the pipes' times and of the latency of dependent multiply-adds.
    """
    mr, nv, half = block
    total, machine = 0.0, machine.halved() if half else machine
    for rows, count in _sizes(max(1, signature.columns), mr):
        for vectors, blocks in _vectors(signature.lanes, nv, machine):
            total += count * blocks * _step_cycles(rows, vectors, machine)
    return total * HALVES_COST if half else total


def _sizes(extent: int, size: int) -> list[tuple[int, int]]:
    count, large, most = balanced(extent, size)
    return [(most, large), (most - 1, count - large)]


def _vectors(width: int, nv: int, machine: Machine) -> list[tuple[float, int]]:
    """(vectors, blocks) of lanes; `paired` of a vector where two columns share the last one."""
    whole, rest = divmod(width, nv * machine.lanes)
    full, tail = divmod(rest, machine.lanes)
    paired = PAIRED_IN_HALVES if machine.halves else PAIRED
    last = paired if full and tail and pairs_tails(tail, machine) else ceil(tail / machine.lanes)
    return [(nv, whole), (full + last, 1 if rest else 0)]


def _step_cycles(mr: int, nv: float, machine: Machine) -> float:
    if mr == 0:
        return 0.0
    multiply = mr * nv / machine.fma_pipes
    load = (nv + (mr / 4 if machine.a_form == "lane" else mr)) / machine.load_pipes
    latency = 4.0
    return max(multiply, load, latency) + 0.02 * (mr + nv)


def _window(signature: Signature, machine: Machine) -> Choice:
    if not signature.reads:  # nothing but pads
        return Choice()
    # Columns apart by a power of two share a few sets of the first-level cache: their lines are used whole before they go.
    apart = 4 * signature.reads[1]
    crowded = apart > 0 and apart % CROWDED_BYTES == 0 and machine.lanes < LINE_ELEMENTS
    nv = 2 if crowded else 1
    rows = 2 if _rows_share(signature) and _columns(nv, 2, signature, machine) >= FEW_COLUMNS else 1
    return Choice(max(1, _columns(nv, rows, signature, machine)), nv, rows=rows)


def _rows_share(signature: Signature) -> bool:
    """Whether windows of neighbouring rows have half of their input rows in common."""
    step, _, tap = signature.reads
    return signature.rows > 1 and tap > 0 and step % tap == 0 and 2 * step <= tap * signature.depth[0]


def _columns(nv: int, rows: int, signature: Signature, machine: Machine) -> int:
    """The most columns whose block stays in registers."""
    most = PAIR_COLUMNS if rows > 1 and machine.a_form == "lane" else WINDOW_COLUMNS
    fitting = range(1, most + 1)
    return max(
        (mr for mr in fitting if window_registers(mr, nv, rows, signature) <= machine.registers), default=0
    )
