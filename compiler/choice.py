"""Choice: what of a stage's schedule is free, as data: what it depends on, how it may be chosen, and what is legal.

`analytic_choice.py` decides where nothing was measured; a schedule table (`schedule_table.py`) may name another choice for a `Signature`.
No choice changes a result beyond the order of a sum and the rounding of Winograd's algorithm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, get_args

from .target import Machine

Tunable = Literal["contraction", "depthwise", "pool", "pointwise", "winograd"]
"""What has something to choose: anchors, a dot being one way to compute a contraction, and whether a convolution is transformed."""

MOST_COLUMNS, MOST_VECTORS, MOST_UNROLL, MOST_ROWS = 16, 4, 16, 2
"""Of any block, steps of a reduction, and rows of a window's block: beyond them code grows and nothing is gained."""


@dataclass(frozen=True)
class Signature:
    """All of a stage that its choice depends on. The text is its key in schedule tables.

    >>> text = "contraction 1x3136x64 over 24 reads 0,24,1 writes 0,64,1 epilogue 2 packed float32"
    >>> str(Signature.parse(text)) == text
    True
    """

    tunable: Tunable
    rows: int
    columns: int
    """0 where the stage has none."""
    lanes: int
    depth: tuple[int, ...]
    """What is summed or compared over, outermost first; of a window the taps that do not slide with the columns, and those that do."""
    reads: tuple[int, ...]
    """Elements of the first operand between neighbours in rows, columns, and each axis of a contraction's depth, or a window's taps along rows (0 where rows share nothing)."""
    writes: tuple[int, ...]
    """Elements of the first output between neighbours in rows, columns and lanes."""
    epilogue: int
    """Primitives per element."""
    packed: bool
    """Whether the second operand is constant and packed in the order of use."""
    dtype: str

    def __str__(self) -> str:
        depth = "x".join(map(str, self.depth)) or "-"
        reads, writes = (",".join(map(str, strides)) or "-" for strides in (self.reads, self.writes))
        return (
            f"{self.tunable} {self.rows}x{self.columns}x{self.lanes} over {depth} reads {reads} writes {writes} "
            f"epilogue {self.epilogue}{' packed' * self.packed} {self.dtype}"
        )

    @staticmethod
    def parse(text: str) -> Signature:
        """The signature with that text; ValueError where it is none."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no signature of a stage")
        signature = Signature(
            next(name for name in get_args(Tunable) if name == found["tunable"]),
            int(found["rows"]),
            int(found["columns"]),
            int(found["lanes"]),
            _numbers(found["depth"]),
            _numbers(found["reads"]),
            _numbers(found["writes"]),
            int(found["epilogue"]),
            found["packed"] is not None,
            found["dtype"],
        )
        if str(signature) != text or not signature._is_whole():
            raise ValueError(f"{text!r} is no signature of a stage")
        return signature

    def _is_whole(self) -> bool:
        """Whether there are as many extents and strides as a stage of this kind has."""
        if self.tunable in ("depthwise", "pool"):
            return len(self.depth) == 2 and len(self.reads) in (0, 3) and len(self.writes) == 3
        steps = 2 + len(self.depth) * (self.tunable == "contraction")
        return len(self.reads) in (0, steps) and len(self.writes) in (0, 3)


_LIST = r"-|-?\d+(?:[x,]-?\d+)*"
_TEXT = re.compile(
    rf"(?P<tunable>{'|'.join(get_args(Tunable))}) (?P<rows>\d+)x(?P<columns>\d+)x(?P<lanes>\d+) over (?P<depth>{_LIST}) "
    rf"reads (?P<reads>{_LIST}) writes (?P<writes>{_LIST}) epilogue (?P<epilogue>\d+)(?P<packed> packed)? (?P<dtype>\w+)"
)


def _numbers(text: str) -> tuple[int, ...]:
    return () if text == "-" else tuple(map(int, re.split("[x,]", text)))


@dataclass(frozen=True)
class Choice:
    """How a stage is computed."""

    mr: int = 1
    """Columns of a register block."""
    nv: int = 1
    """Vectors of lanes of a register block."""
    unroll: int = 4
    """Steps of a contraction's innermost reduction that are straight code."""
    tiles: int = 0
    """Into how many tiles the rows of a contraction are cut; 0: as many as the caches ask for."""
    row_epilogue: bool = False
    """Run a contraction's epilogue row by row from the stack instead of on the registers."""
    dot: bool = False
    """Lanes along a contraction's reduction instead of its outputs."""
    winograd: bool = False
    """A 3x3 convolution by Winograd's F(4x4, 3x3)."""
    rows: int = 1
    """Rows of a window's register block, each of `mr` columns."""
    half: bool = False
    """Whether the vectors of a contraction's block are half a register long."""

    def __str__(self) -> str:
        text = (
            f"{self.mr}x{self.nv}"
            + " halves" * self.half
            + f" in {self.rows} rows" * (self.rows > 1)
            + f" unroll {self.unroll}" * (self.unroll != 4)
        )
        text += f" {self.tiles} tiles" * (self.tiles > 0) + " row epilogue" * self.row_epilogue
        return text + " dot" * self.dot + " Winograd" * self.winograd


def obstacle(choice: Choice, signature: Signature, machine: Machine) -> str:
    """Why the choice is not legal for such a stage; empty where it is."""
    if not (1 <= choice.mr <= MOST_COLUMNS and 1 <= choice.nv <= MOST_VECTORS):
        return f"a block has 1 to {MOST_COLUMNS} columns and 1 to {MOST_VECTORS} vectors"
    match signature.tunable:
        case "contraction":
            return _contraction_obstacle(choice, signature, machine)
        case "depthwise" | "pool":
            return _window_obstacle(choice, signature, machine)
        case "pointwise":
            return "" if choice == Choice(nv=choice.nv) else "elementwise work has nothing to choose but nv"
        case "winograd":
            plain = choice == Choice(winograd=choice.winograd)
            return "" if plain else "of a convolution only winograd can be chosen here"


def _window_obstacle(choice: Choice, signature: Signature, machine: Machine) -> str:
    if choice != Choice(choice.mr, choice.nv, rows=choice.rows):
        return "a window has nothing to choose but mr, nv and rows"
    if not 1 <= choice.rows <= min(MOST_ROWS, max(1, signature.rows)):
        return f"a block has 1 to {MOST_ROWS} rows, and no more than there are: {signature.rows}"
    if choice.rows > 1 and not signature.reads[2:3] > (0,):
        return "its rows share nothing"
    needs = window_registers(choice.mr, choice.nv, choice.rows, signature)
    fits = needs <= machine.registers or choice.mr * choice.rows == 1
    return "" if fits else f"the block needs {needs} registers of {machine.registers}"


def window_registers(mr: int, nv: int, rows: int, signature: Signature) -> int:
    """Vector registers of a window's block: sums, the weights of an input row's taps for each row, and what is multiplied by them."""
    return nv * rows * (mr + signature.depth[1]) + 2


def _contraction_obstacle(choice: Choice, signature: Signature, machine: Machine) -> str:
    if choice.winograd:
        return "it is a contraction already"
    if choice.rows != 1:
        return "only windows have blocks of several rows"
    if not 1 <= choice.unroll <= MOST_UNROLL:
        return f"a reduction is unrolled by 1 to {MOST_UNROLL} steps"
    if not 0 <= choice.tiles <= max(1, signature.rows):
        return f"it has {signature.rows} rows to cut into tiles"
    if choice.dot and not may_be_dot(signature):
        return "lanes run only along a reduction over adjacent float32 elements, for columns, with constant weights"
    if choice.half and not machine.halves:
        return "only where the units are half as wide as a register are vectors half a register long"
    if choice.dot and (choice.nv > 1 or choice.row_epilogue):
        return "the block of a dot is one vector wide and its epilogue runs on the registers"
    needs = choice.mr + 2 if choice.dot else block_registers(choice.mr, choice.nv, machine)
    return "" if needs <= machine.registers else f"the block needs {needs} registers of {machine.registers}"


def may_be_dot(signature: Signature) -> bool:
    """Whether a contraction's lanes can run along its reduction."""
    return (
        signature.packed
        and signature.columns > 0
        and signature.dtype == "float32"
        and bool(signature.depth and signature.reads)
        and signature.reads[-1] == 1
    )


def block_registers(mr: int, nv: int, machine: Machine) -> int:
    """Vector registers of a contraction's block: sums, weights, and what is multiplied by them."""
    return mr * nv + nv + (mr if machine.a_form == "lane" else 1)
