"""Reading symbol tables: compared with what a C compiler was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .elf_symbols import arch_of, symbols_of, undefined_symbols

SOURCE = """
extern int missing(int);
static int own(int x) { return missing(x) + 1; }
__attribute__((weak)) int shared(int x) { return own(x); }
int visible = 3;
"""


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_symbols_of_c(arch: str, tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text(SOURCE)
    command = [
        sys.executable,
        "-m",
        "ziglang",
        "cc",
        "-target",
        f"{arch}-linux-musl",
        "-O1",
        "-c",
        "a.c",
        "-o",
        "a.o",
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    data = (tmp_path / "a.o").read_bytes()
    assert arch_of(data) == arch
    assert undefined_symbols(data) == ["missing"]
    by_name = {symbol.name: symbol for symbol in symbols_of(data)}
    assert by_name["shared"].binding == "weak" and not by_name["shared"].undefined
    assert by_name["visible"].binding == "global" and by_name["visible"].size == 4
