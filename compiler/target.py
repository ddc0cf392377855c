"""Targets: what a CPU can do, in one table that code generation and the schedule read.

A new target is one row in `TARGETS`. Figures come from the vendors' software optimisation guides; they steer choices between
schedules and never change results.
"""

from __future__ import annotations

import difflib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from ..errors import UserError

Arch = Literal["aarch64", "x86_64"]
AForm = Literal["broadcast", "lane"]


@dataclass(frozen=True)
class Machine:
    """One core: vector unit, caches and memory as the schedule sees them."""

    lanes: int
    """float32 elements of a vector register."""
    registers: int
    """Vector registers."""
    fma_pipes: int
    """Vector multiply-adds started per cycle, on whole registers."""
    load_pipes: int
    """Vector or scalar loads per cycle."""
    l1_bytes: int
    l2_bytes: int
    has_fma: bool = True
    a_form: AForm = "broadcast"
    """How a multiply-add reads its scalar operand: a broadcast load, or a lane of a register."""
    halves: bool = False
    """Whether the units are half as wide as a register, so that two registers of half the lanes take no longer than a whole one."""

    def halved(self) -> Machine:
        """The machine as work on half registers sees it."""
        return replace(self, lanes=self.lanes // 2, fma_pipes=(1 + self.halves) * self.fma_pipes)


@dataclass(frozen=True)
class Target:
    """What code is generated for. `features` are names as in /proc/cpuinfo that the device must have."""

    name: str
    arch: Arch
    cpu: str
    """LLVM's name of the CPU, or of the level of instructions; what schedule tables are for."""
    tune: str
    """LLVM's name of the CPU whose scheduling model is used."""
    features: tuple[str, ...]
    machine: Machine
    level: str = ""
    """LLVM's name of the instructions that may be used, where they are fewer than the CPU has."""
    family: str = ""
    """vendor_id and cpu family in /proc/cpuinfo, joined by a dash, of the CPUs that an x86-64 target is for; empty: of all that have its features."""

    @property
    def instructions(self) -> str:
        """LLVM's name of the instructions that may be used."""
        return self.level or self.cpu

    @property
    def triple(self) -> str:
        """LLVM target triple."""
        return f"{self.arch}-unknown-linux-gnu"

    @property
    def qemu_cpu(self) -> str | None:
        """What `qemu-aarch64 -cpu` calls it; None off aarch64."""
        return self.cpu if self.arch == "aarch64" else None


_V2 = ("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3")
_V3 = (*_V2, "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
_NEON = ("asimd",)
_DOT = ("asimd", "asimddp", "asimdhp", "atomics")

_SSE = Machine(4, 16, 2, 2, 32 << 10, 256 << 10, has_fma=False)
_AVX2 = Machine(8, 16, 2, 2, 32 << 10, 512 << 10)
_AVX512 = Machine(16, 32, 2, 2, 32 << 10, 1024 << 10)
_ZEN4 = Machine(16, 32, 1, 2, 32 << 10, 1024 << 10, halves=True)
_A53 = Machine(4, 32, 1, 1, 32 << 10, 512 << 10, a_form="lane")
_A55 = Machine(4, 32, 2, 1, 32 << 10, 512 << 10, a_form="lane")
_A72 = Machine(4, 32, 2, 1, 32 << 10, 1024 << 10, a_form="lane")
_A76 = Machine(4, 32, 2, 2, 64 << 10, 512 << 10, a_form="lane")
_N1 = Machine(4, 32, 2, 2, 64 << 10, 1024 << 10, a_form="lane")

# of x86-64 the levels with more instructions come last, and after them what is for one family of CPUs
_ROWS = (
    Target("x86-64-v2", "x86_64", "x86-64-v2", "x86-64-v2", _V2, _SSE),
    Target("x86-64-v3", "x86_64", "x86-64-v3", "znver3", _V3, _AVX2),
    Target("x86-64-v4", "x86_64", "x86-64-v4", "icelake-server", _V4, _AVX512),
    # LLVM's own model of Zen 4 schedules code that takes 1.01 times as long
    Target(
        "znver4",
        "x86_64",
        "znver4",
        "icelake-server",
        _V4,
        _ZEN4,
        level="x86-64-v4",
        family="AuthenticAMD-25",
    ),
    Target("cortex-a53", "aarch64", "cortex-a53", "cortex-a53", _NEON, _A53),
    Target("cortex-a55", "aarch64", "cortex-a55", "cortex-a55", _DOT, _A55),
    Target("cortex-a72", "aarch64", "cortex-a72", "cortex-a72", _NEON, _A72),
    Target("cortex-a76", "aarch64", "cortex-a76", "neoverse-n1", _DOT, _A76),
    Target("neoverse-n1", "aarch64", "neoverse-n1", "neoverse-n1", _DOT, _N1),
)
_BOARDS = {"rpi3": "cortex-a53", "rpi4": "cortex-a72", "rpi5": "cortex-a76"}

TARGETS: Mapping[str, Target] = {
    **{row.name: row for row in _ROWS},
    **{board: replace(next(r for r in _ROWS if r.name == cpu), name=board) for board, cpu in _BOARDS.items()},
}


def find_target(name: str) -> Target:
    """The target called `name`; ``host`` is the CPU's own or the widest x86-64 level, or generic aarch64, that this machine runs."""
    if name == "host":
        return _host()
    if name not in TARGETS:
        near = difflib.get_close_matches(name, TARGETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UserError(f"unknown target {name!r}: {hint}known targets are host, {', '.join(TARGETS)}")
    return TARGETS[name]


@cache
def _host() -> Target:
    machine = platform.machine()
    if machine in ("aarch64", "arm64"):
        return TARGETS["cortex-a53"]
    if machine not in ("x86_64", "AMD64"):
        raise UserError(
            f"this machine is {machine}: name a target with --target, one of {', '.join(TARGETS)}"
        )
    cpu = _first_cpu()
    family = f"{cpu.get('vendor_id')}-{cpu.get('cpu family')}"
    have = set(cpu.get("flags", "").split())
    x86 = [row for row in _ROWS if row.arch == "x86_64" and row.family in ("", family)]
    return next((row for row in reversed(x86) if set(row.features) <= have), x86[0])


def _first_cpu() -> dict[str, str]:
    """What /proc/cpuinfo says of the first CPU."""
    with open("/proc/cpuinfo", encoding="utf-8") as text:
        lines = text.read().split("\n\n", 1)[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
