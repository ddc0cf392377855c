"""An aarch64 board on this machine: programs run under QEMU's user-mode emulator, told which CPU to be.

It gives the right answers and traps what the CPU lacks; its times say nothing about any board.
"""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .device import DeviceError, Facts, Transport
from .elf import HEADER_BYTES, program_arch
from .local import LocalDevice

_ARMV8_0 = "aes asimd cpuid crc32 evtstrm fp pmull sha1 sha2"
_ARMV8_2 = f"{_ARMV8_0} asimddp asimdhp asimdrdm atomics dcpop fphp lrcpc"


@dataclass(frozen=True)
class EmulatedCpu:
    """A CPU: its name, its part number, the features that Linux lists for it, and what QEMU is told to be."""

    name: str
    part: str
    features: str
    qemu: str


_CPUS = (
    EmulatedCpu("cortex-a53", "0xd03", _ARMV8_0, "cortex-a53"),
    # the A76 has the A55's instructions, and QEMU before 8.2 has no A55
    EmulatedCpu("cortex-a55", "0xd05", _ARMV8_2, "cortex-a76"),
    EmulatedCpu("cortex-a72", "0xd08", _ARMV8_0, "cortex-a72"),
    EmulatedCpu("cortex-a76", "0xd0b", _ARMV8_2, "cortex-a76"),
    EmulatedCpu("neoverse-n1", "0xd0c", _ARMV8_2, "neoverse-n1"),
)
CPU_OF_TARGET = {cpu.name: cpu for cpu in _CPUS} | {"rpi3": _CPUS[0], "rpi4": _CPUS[2], "rpi5": _CPUS[3]}


class EmulatedDevice(LocalDevice):
    """Runs aarch64 programs of this machine under `qemu-aarch64 -cpu`; other programs run as they are."""

    emulated: bool = True
    transport: Transport = "emulated"

    def __init__(self, name: str, target: str, folder: Path) -> None:
        super().__init__(name, target, folder)
        self._cpu = _find_cpu(name, target)

    def probe(self) -> Facts:
        """Describe the emulated CPU; memory, load and cores are this machine's."""
        host = super().probe()
        return Facts(
            arch="aarch64",
            model=f"QEMU {self._cpu.name} (emulated)",
            os=host.os,
            kernel=host.kernel,
            n_cpus=host.n_cpus,
            cpu_parts=(self._cpu.part,),
            features=tuple(sorted(self._cpu.features.split())),
            memory_bytes=host.memory_bytes,
            governor=None,
            freq_khz=None,
            max_freq_khz=None,
            temperature_mc=None,
            throttled=None,
            load1=host.load1,
        )

    def _command(self, argv: Sequence[str], cwd: Path) -> list[str]:
        command = super()._command(argv, cwd)
        if not _is_aarch64_program(Path(command[0])):
            return command
        return [find_qemu(self.name), "-cpu", self._cpu.qemu, *command]


def find_qemu(device: str) -> str:
    """Return the path of the emulator; raises kind "missing_tool" where it is not installed."""
    for program in ("qemu-aarch64", "qemu-aarch64-static"):
        path = shutil.which(program)
        if path:
            return path
    raise DeviceError(
        "missing_tool",
        f"{device} needs the emulator qemu-aarch64, which is not installed: type `apt-get install qemu-user` as root",
    )


def _find_cpu(device: str, target: str) -> EmulatedCpu:
    if target in CPU_OF_TARGET:
        return CPU_OF_TARGET[target]
    close = difflib.get_close_matches(target, CPU_OF_TARGET, n=1)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    raise DeviceError(
        "missing_tool",
        f"{device} cannot emulate the target {target!r}: {suggestion}known are {', '.join(CPU_OF_TARGET)}",
    )


def _is_aarch64_program(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return program_arch(file.read(HEADER_BYTES)) == "aarch64"
    except OSError:
        return False
