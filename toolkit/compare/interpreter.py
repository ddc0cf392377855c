"""The Python of a device, as it describes itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from ...devices.device import Device, DeviceError
from ...devices.printable import printable, printable_lines
from ...errors import UserError
from ..link import Arch

OLDEST = (3, 9)
ASK_S = 60.0
_ASK = """
import importlib.util, json, os, platform, struct, sys
print(json.dumps({
    "program": sys.executable, "version": sys.version_info[:2], "machine": platform.machine(),
    "bits": 8 * struct.calcsize("P"), "libc": platform.libc_ver(), "cpus": sorted(os.sched_getaffinity(0)),
    "has_numpy": importlib.util.find_spec("numpy") is not None,
}))
"""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter of 64 bits, not older than OLDEST."""

    program: str
    """Its path there."""
    version: tuple[int, int]
    machine: Arch
    bits: Literal[64]
    libc: tuple[str, str]
    """("glibc", "2.36"); of other C libraries the name is empty."""
    cpus: tuple[int, ...]
    """Those that it may use."""
    has_numpy: bool

    def __str__(self) -> str:
        libc = " ".join(self.libc).strip() or "another C library"
        return f"Python {self.version[0]}.{self.version[1]} on {self.machine} with {libc}"


def find_interpreter(device: Device, program: str, folder: str) -> Interpreter:
    """Asks `program` what it is, in a folder of the device; raises UserError where it is absent or will not do."""
    try:
        done = device.run([program, "-c", _ASK], cwd=folder, timeout_s=ASK_S)
    except DeviceError as error:
        if error.kind != "missing_file":
            raise
        raise UserError(
            f"{device.name} has no {program}, which runs the other engines there: type `sudo apt install python3 "
            "python3-venv` there, or name another with --python"
        ) from error
    if done.exit_code != 0:
        said = printable_lines(done.stderr).strip().splitlines()
        raise UserError(f"{program} of {device.name} does not run ({said[-1] if said else done.exit_code})")
    try:
        return _checked(TypeAdapter(Interpreter).validate_json(done.stdout), device)
    except ValidationError as error:
        first = error.errors()[0]
        what = f"{'.'.join(map(str, first['loc']))} {first.get('input')!r}" if first["loc"] else "no answer"
        raise UserError(
            printable(
                f"{program} of {device.name} is no 64-bit Python for aarch64 or x86_64 ({what}): install one there, "
                "or name it with --python"
            )
        ) from error


def _checked(found: Interpreter, device: Device) -> Interpreter:
    if found.version < OLDEST:
        raise UserError(
            f"{device.name} has Python {found.version[0]}.{found.version[1]}, and a comparison there needs "
            f"{OLDEST[0]}.{OLDEST[1]} or newer: name another with --python"
        )
    return found
