"""Bundles on a CPU that this machine need not be: a disk image booted under Bochs, which interprets every x86 instruction up to AVX-512.

Only answers come out; no time means anything.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fusekit.toolkit.reference import Arrays

from .image import CYLINDER, HEADS, SECTORS_PER_TRACK, Job, make_image, read_outputs

SKYLAKE = "corei7_skylake_x"
"""Bochs' name of a CPU that has what x86-64-v4 needs, and no later extension."""
HASWELL = "corei7_haswell_4770"
"""One that has what x86-64-v3 needs."""


@dataclass(frozen=True)
class Guest:
    """What a guest said, line by line, and each job's outputs by name; none where it refused to run one."""

    lines: tuple[str, ...]
    outputs: tuple[Arrays, ...]


def boot(jobs: Sequence[Job], folder: Path, cpu: str = SKYLAKE, timeout_s: float = 300) -> Guest:
    """Run every job once, in one boot; skips where Bochs is not installed.

    AssertionError, with the state of the CPU, where a job uses an instruction that the CPU lacks, or reads or writes outside its memory.
    """
    if not shutil.which("bochs"):
        pytest.skip("bochs is not installed: run tests/avx512/install.sh")
    image = make_image(jobs, folder)
    disk, log, settings = folder / "disk.img", folder / "bochs.log", folder / "bochsrc"
    disk.write_bytes(image.disk)
    settings.write_text(_SETTINGS.format(
        cpu=cpu, megabytes=image.memory_megabytes, log=log, disk=disk,
        cylinders=len(image.disk) // CYLINDER, heads=HEADS, sectors=SECTORS_PER_TRACK,
    ))  # fmt: skip
    done = subprocess.run(
        ["bochs", "-q", "-f", str(settings)],
        input="continue\n",  # for the debugger that some builds start in
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        env={**os.environ, "TERM": "vt100"},  # of a screen that nobody sees
    )
    lines = tuple(line for line in done.stdout.splitlines() if line.partition(" ")[0] in _WORDS)
    if lines and lines[-1].startswith("isa: "):
        return Guest(lines, ())
    if lines[-1:] != ("end",):
        job = jobs[min(len(lines), len(jobs) - 1)]
        raise AssertionError(f"the guest stopped in {job}:\n{_faults(log) or done.stderr}")
    with disk.open("rb") as file:
        file.seek(image.outputs_at)
        return Guest(lines, read_outputs(jobs, file.read(image.outputs_bytes)))


def _faults(log: Path) -> str:
    """What Bochs' log says of the CPU's exceptions, and where it was."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(line for line in lines if re.search(r"^\d+[ep]\[|RIP=|CR2=", line))


_WORDS = ("ran", "isa:", "plan:", "end")
"""First words of the lines that guest.c says; the rest of Bochs' output is its own."""

_SETTINGS = """\
cpu: model={cpu}, ips=1000000, reset_on_triple_fault=0
megs: {megabytes}
romimage: file=$BXSHARE/BIOS-bochs-legacy
vgaromimage: file=$BXSHARE/VGABIOS-lgpl-latest
boot: disk
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path="{disk}", mode=flat, cylinders={cylinders}, heads={heads}, spt={sectors}
port_e9_hack: enabled=1
display_library: term
speaker: enabled=0
sound: waveoutdrv=dummy
clock: sync=none
log: {log}
panic: action=fatal
error: action=report
info: action=report
"""
