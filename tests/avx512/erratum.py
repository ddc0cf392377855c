"""What Bochs computes wrongly: KSHIFTLW and KSHIFTRW by 15, for which it gives 0 (counts from 16 on do).

Each such instruction becomes a jump to a shift by 14, one by 1, and a jump back.
"""

from __future__ import annotations

import re

_KSHIFT_WORD = b"\xc4\xe3\xf9"  # VEX.L0.66.0F3A.W1, then 30 (right) or 32 (left), the registers and the count
_BY_15 = re.compile(re.escape(_KSHIFT_WORD) + rb"([\x30\x32])(.)\x0f", re.DOTALL)


def around_erratum(code: bytes, address: int, detours_address: int) -> tuple[bytes, bytes]:
    """`code`, which will lie at `address`, with its shifts by 15 replaced; and what has to lie at `detours_address` for it.

    >>> code, detours = around_erratum(bytes.fromhex("c4e3f932ca0f c3"), 0x1000, 0x2000)
    >>> code.hex(" "), detours.hex(" ")
    ('e9 fb 0f 00 00 90 c3', 'c4 e3 f9 32 ca 0e c4 e3 f9 32 c9 01 e9 f5 ef ff ff')
    """
    patched, detours = bytearray(code), bytearray()
    for found in _BY_15.finditer(code):
        opcode, registers = found.groups()
        destination = registers[0] >> 3 & 7
        in_place = bytes([0xC0 | destination << 3 | destination])
        here = detours_address + len(detours)
        patched[found.start() : found.end()] = _jump(address + found.start(), here) + b"\x90"
        detours += _KSHIFT_WORD + opcode + registers + b"\x0e"
        detours += _KSHIFT_WORD + opcode + in_place + b"\x01"
        detours += _jump(detours_address + len(detours), address + found.end())
    return bytes(patched), bytes(detours)


def _jump(source: int, target: int) -> bytes:
    return b"\xe9" + (target - source - 5).to_bytes(4, "little", signed=True)
