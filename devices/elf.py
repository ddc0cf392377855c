"""For which architecture a program is built, from its ELF header."""

from __future__ import annotations

_MACHINES = {40: "arm", 62: "x86_64", 183: "aarch64", 243: "riscv64"}
HEADER_BYTES = 20


def program_arch(header: bytes) -> str | None:
    """Return the architecture of a little-endian ELF file as `uname -m` names it; None for anything else.

    >>> program_arch(bytes.fromhex("7f454c46020101" + 9 * "00" + "0200b700"))
    'aarch64'
    """
    if len(header) < HEADER_BYTES or not header.startswith(b"\x7fELF") or header[5] != 1:
        return None
    machine = int.from_bytes(header[18:20], "little")
    return _MACHINES.get(machine, f"ELF machine {machine}")
