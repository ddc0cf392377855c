"""Static aarch64 Linux programs of a few instructions, made without a compiler."""

from __future__ import annotations

import struct

# Encodings from the Arm Architecture Reference Manual.
SDOT = 0x4E809400  # sdot v0.4s, v0.16b, v0.16b: Armv8.2 dot product, not on Cortex-A72
SMMLA = 0x4E80A400  # smmla v0.4s, v0.16b, v0.16b: Armv8.6 i8mm, not on Cortex-A76

_BASE, _CODE_OFFSET = 0x400000, 0x78


def exit_program(code: int, *before: int) -> bytes:
    """Return a program that executes the instructions `before` and exits with `code`."""
    return _program(
        *before, 0xD2800000 | code << 5, 0xD2800BA8, 0xD4000001
    )  # mov x0, code; mov x8, exit; svc 0


def crash_program() -> bytes:
    """Return a program that reads address 0."""
    return _program(0xD2800000, 0xF9400001)  # mov x0, 0; ldr x1, [x0]


def _program(*instructions: int) -> bytes:
    code = struct.pack(f"<{len(instructions)}I", *instructions)
    size = _CODE_OFFSET + len(code)
    identity = b"\x7fELF" + bytes([2, 1, 1]) + bytes(9)
    header = struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, _BASE + _CODE_OFFSET, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return identity + header + segment + code
