"""llvm-mca on the Cortex-A76: what share of the vector pipes' slots a loop fills.

LLVM has no model of the Cortex-A76; the Neoverse N1 is the same core for servers, and its model is near once four things are put right
(Arm, Cortex-A76 Software Optimization Guide, sections 2.1, 3.18 and 4.1):

- the core decodes 4 instructions and dispatches 8 micro-ops a cycle, the model 3: ``-dispatch=8``, and never faster than 4 instructions;
- the accumulator of a multiply-add is forwarded to the next one after 2 cycles, the model says 4: ``fmla`` is written as ``bsl``, which uses
  the same pipes and the same three sources with a latency of 2;
- a store with write-back has a micro-op of its own for the address: written as a store and an add;
- the load of a single lane does not wait for the other lanes of its register: written as ``ld1r``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from .assembly import Loop

FIRST_VERSION = 20
LAST_VERSION = 30
ITERATIONS = 200
DECODED = 4
"""Instructions decoded a cycle."""
VECTOR_PIPES = ("N1UnitV0", "N1UnitV1")
_FEATURES = "+neon,+dotprod,+fullfp16,+lse"


@dataclass(frozen=True)
class Verdict:
    """What the model says of a loop in its steady state, per iteration."""

    cycles: float
    multiply_adds: int
    vector_ops: float
    """Micro-operations in the vector pipes: multiply-adds, what else computes or copies vectors, and the data of stores."""

    @property
    def pipe_share(self) -> float:
        """Multiply-adds among the slots of the two vector pipes."""
        return self.multiply_adds / (2 * self.cycles)

    @property
    def slots_filled(self) -> float:
        """Everything among these slots."""
        return self.vector_ops / (2 * self.cycles)


@cache
def find_llvm_mca() -> str | None:
    """The newest llvm-mca that is new enough."""
    for version in range(LAST_VERSION, FIRST_VERSION - 1, -1):
        found = shutil.which(f"llvm-mca-{version}") or shutil.which(f"/usr/lib/llvm-{version}/bin/llvm-mca")
        if found:
            return found
    plain = shutil.which("llvm-mca")
    return plain if plain and _version(plain) >= FIRST_VERSION else None


def _version(program: str) -> int:
    text = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


def analyse(program: str, loop: Loop) -> Verdict:
    """Run `loop` through the model, over and over."""
    lines = [line for text in loop.instructions for line in _repaired(text)]
    asm = f"{loop.label}:\n" + "\n".join(lines) + "\n"
    command = [program, "-mtriple=aarch64", "-mcpu=neoverse-n1", f"-mattr={_FEATURES}", "-dispatch=8"]
    command += [f"-iterations={ITERATIONS}", "-json"]
    done = subprocess.run(command, input=asm, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{program}: {done.stderr[:1000]}"
    report = json.loads(done.stdout)
    region = report["CodeRegions"][0]
    view = region["SummaryView"]
    cycles = max(view["TotalCycles"] / view["Iterations"], len(loop.instructions) / DECODED)
    pipes = [i for i, name in enumerate(report["TargetInfo"]["Resources"]) if name in VECTOR_PIPES]
    whole = (
        view["Instructions"] // view["Iterations"]
    )  # the number after the last instruction's is that of the sums
    used = sum(
        entry["ResourceUsage"]
        for entry in region["ResourcePressureView"]["ResourcePressureInfo"]
        if entry["InstructionIndex"] == whole and entry["ResourceIndex"] in pipes
    )
    return Verdict(cycles, loop.count("fml[as] v"), used)


def _repaired(text: str) -> Sequence[str]:
    """An instruction as the model has to see it."""
    if found := re.match(r"fml[as] v(\d+)\.\w+, v(\d+)\.\w+, v(\d+)\.", text):
        return [f"bsl v{found[1]}.16b, v{found[2]}.16b, v{found[3]}.16b"]
    if found := re.match(r"ld1 \{ ?v(\d+)\.s ?\}\[\d\](.*)", text):
        return [f"ld1r {{ v{found[1]}.4s }}{found[2]}"]
    if found := re.match(r"(st\w+ .*\[)(x\d+|sp)\], (#-?\w+)$", text):
        return [f"{found[1]}{found[2]}]", f"add {found[2]}, {found[2]}, {found[3]}"]
    if found := re.match(r"(st\w+ .*\[)(x\d+|sp), (#-?\w+)\]!$", text):
        return [f"{found[1]}{found[2]}, {found[3]}]", f"add {found[2]}, {found[2]}, {found[3]}"]
    return [text]
