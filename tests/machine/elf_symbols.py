"""ELF symbol tables, read from the bytes of a 64-bit little-endian object."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_SYMTAB = 2
_BINDINGS = {0: "local", 1: "global", 2: "weak"}
ARCHES = {62: "x86_64", 183: "aarch64"}


@dataclass(frozen=True)
class Symbol:
    """One entry of a symbol table; an undefined one has no section."""

    name: str
    binding: str
    section: int
    size: int

    @property
    def undefined(self) -> bool:
        """Whether a linker has to find it elsewhere."""
        return self.section == 0


def arch_of(data: bytes) -> str:
    """The architecture of an ELF file, by its name in fusekit."""
    return ARCHES[_HEADER.unpack_from(data)[2]]


def symbols_of(data: bytes) -> list[Symbol]:
    """All symbols, without the empty first entry of each table."""
    assert data[:6] == b"\x7fELF\x02\x01", "not a 64-bit little-endian ELF file"
    header = _HEADER.unpack_from(data)
    offset, entry_bytes, count = header[6], header[11], header[12]
    sections = [_SECTION.unpack_from(data, offset + number * entry_bytes) for number in range(count)]
    found = []
    for _, kind, _, _, start, size, link, _, _, _ in sections:
        if kind != _SYMTAB:
            continue
        names = sections[link][4]
        for at in range(start + _SYMBOL.size, start + size, _SYMBOL.size):
            name, info, _, section, _, extent = _SYMBOL.unpack_from(data, at)
            first = names + name
            text = data[first : data.index(b"\0", first)].decode()
            found.append(Symbol(text, _BINDINGS[info >> 4], section, extent))
    return found


def undefined_symbols(data: bytes) -> list[str]:
    """Names of the symbols that the object does not define."""
    return [symbol.name for symbol in symbols_of(data) if symbol.undefined]
