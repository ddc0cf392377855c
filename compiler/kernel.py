"""Kernel: a group laid out in memory and scheduled, with canonical names: all that code generation reads.

Two groups that compute the same on the same shapes have the same text, whatever their values were called; `Kernel.symbol` is its hash, so a
kernel has one name on every machine.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from .graph import item_bytes
from .index import Axis, Index
from .stage import Stage
from .target import Machine, Target

if TYPE_CHECKING:
    from .choice import Signature

TILE = Axis(-1, 1 << 31)
"""A pseudo axis: the first row of the tile in progress. Panels are addressed relative to it."""


@dataclass(frozen=True)
class Argument:
    """A buffer passed to the kernel: elements that it may touch from the pointer on."""

    name: str
    dtype: str
    size: int


@dataclass(frozen=True)
class Local:
    """Memory of the thread's own, where a stage leaves rows for a later one.

    A ring keeps the last rows of a sliding window (row number modulo its rows); a panel holds the rows of one tile.
    `fill` is what lies outside the rows and columns that the stage computes.
    """

    name: str
    dtype: str
    size: int
    kind: Literal["ring", "panel"]


@dataclass(frozen=True)
class Halo:
    """Where a stage's rows lie in the local buffer that it fills.

    Consumers see `rows` x `cols` positions of `depth` elements; the stage computes those from (`top`, `left`) on, the rest is `fill`.
    """

    top: int
    left: int
    rows: int
    cols: int
    depth: int
    fill: float
    address: Index
    """Element number over axis 0 (row), 1 (column) and 2 (element)."""

    def __str__(self) -> str:
        where = f"{self.rows}x{self.cols}x{self.depth} from ({self.top}, {self.left})"
        return f"{where} filled with {self.fill} at {self.address}"


@dataclass(frozen=True)
class Block:
    """A register block: `mr` positions times `nv` vectors, the reduction unrolled by `unroll`, a window's in so many `rows`."""

    mr: int
    nv: int
    unroll: int = 4
    rows: int = 1
    half: bool = False
    """Whether its vectors are half a register long."""

    def __str__(self) -> str:
        return f"{self.mr}x{self.nv}" + " halves" * self.half + f" in {self.rows} rows" * (self.rows > 1)

    def machine(self, whole: Machine) -> Machine:
        """The machine as the block sees it."""
        return whole.halved() if self.half else whole

    def width(self, machine: Machine) -> int:
        """Elements along the lanes."""
        return self.nv * self.machine(machine).lanes


@dataclass(frozen=True)
class Place:
    """How one stage is computed: which axes are rows, columns and lanes, and by which block."""

    outer: tuple[int, ...]
    """Axes fixed by the unit: the batch."""
    row: int
    col: int | None
    lane: int
    block: Block
    k_order: tuple[int, ...] = ()
    """Reduce axes, outermost first; weights are packed in this order."""
    packed: bool = False
    """Whether operand 1 is a constant, packed by output block."""
    row_epilogue: bool = False
    """Run the epilogue row by row from the stack instead of on the registers."""
    local: str = ""
    """The local buffer that the stage fills; empty for the root."""
    halo: Halo | None = None
    """What lies around the stage's rows; None for the root and in a row group, whose stages all compute the same rows."""
    tiles: int = 0
    """Into how many tiles the rows are cut; 0: as many as the caches ask for."""
    signature: Signature | None = None
    """What block, tiles and epilogue were chosen for; None where there was no choice. No part of the kernel's text."""
    walked: tuple[int, ...] = ()
    """Axes that rows count through as one, outermost first, `row` the last of them; empty where rows are those of `row` alone."""
    ahead: int = 0
    """Elements of the next lane block's weights that a contraction asks for with each column, so that all are near when that block begins."""

    def __str__(self) -> str:
        block = f"{self.block} unroll {self.block.unroll}"
        text = f"outer {self.outer} row a{self.row} col a{self.col} lane a{self.lane} block {block} k {self.k_order}"
        text += " packed" * self.packed + " row epilogue" * self.row_epilogue
        text += f" rows through {self.walked}" * bool(self.walked)
        text += f" asks for {self.ahead}" * bool(self.ahead)
        return text + (f" into {self.local} {self.halo}" if self.local else "")


@dataclass(frozen=True)
class Schedule:
    """How a kernel's stages are placed and split: `units` of work, each `tile` rows (or lane blocks) of the root."""

    places: tuple[Place, ...]
    tile: int
    units: int
    parallel: Literal["rows", "lanes"] = "rows"

    def __str__(self) -> str:
        root = self.places[-1]
        text = f"{self.parallel} x{self.units} tile={self.tile} block={root.block}"
        return (
            text
            + (" row epilogue" if root.row_epilogue else "")
            + (f" +{len(self.places) - 1} local" if self.places[1:] else "")
        )


@dataclass(frozen=True)
class Kernel:
    """What one generated function computes. Loads and stores have flat addresses; buffers are `arguments` and `locals`."""

    target: Target
    stages: tuple[Stage, ...]
    schedule: Schedule
    arguments: tuple[Argument, ...]
    locals: tuple[Local, ...]

    @property
    def root(self) -> Stage:
        """The stage whose rows the outer loop walks."""
        return self.stages[-1]

    @property
    def counted(self) -> tuple[Stage, Place]:
        """The stage whose rows units count: one that has them as columns of its register blocks, in whole blocks, else the root."""
        pairs = list(zip(self.stages, self.schedule.places, strict=True))
        return next((pair for pair in pairs if pair[1].row == pair[1].col), pairs[-1])

    @cached_property
    def symbol(self) -> str:
        """``fk_<anchor>_<16 hex of the text's hash>``."""
        return f"fk_{self.root.anchor}_{hashlib.sha256(str(self).encode()).hexdigest()[:16]}"

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the locals, each on a cache line of its own."""
        return sum(local_bytes(local) for local in self.locals)

    def __str__(self) -> str:
        lines = [f"kernel for {self.target.cpu} tuned {self.target.tune}"]
        lines += [f"  arg   {a.name}: {a.dtype} x {a.size}" for a in self.arguments]
        lines += [f"  {v.kind:5} {v.name}: {v.dtype} x {v.size}" for v in self.locals]
        lines.append(f"  {self.schedule.parallel} units={self.schedule.units} tile={self.schedule.tile}")
        for stage, place in zip(self.stages, self.schedule.places, strict=True):
            lines.append(f"  {place}")
            lines += ["    " + line for line in str(stage).splitlines()]
        return "\n".join(lines)


def local_bytes(local: Local) -> int:
    """Size of a local buffer in the scratch memory, rounded up to cache lines with a line of slack."""
    return (local.size * item_bytes(local.dtype) + 127) // 64 * 64
