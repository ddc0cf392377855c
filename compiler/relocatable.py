"""One relocatable object out of many: kernels and program joined, every reference between them resolved."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..errors import UserError


def join_objects(objects: Sequence[bytes]) -> bytes:
    """Link ELF objects of one architecture into one relocatable object; same input, same bytes."""
    with tempfile.TemporaryDirectory(prefix="fusekit-") as folder:
        paths = []
        for number, content in enumerate(objects):
            path = Path(folder, f"{number:04}.o")
            path.write_bytes(content)
            paths.append(path.name)
        done = subprocess.run(
            [*_linker(), "-r", "-o", "out.o", *paths], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"the linker failed: {done.stderr.strip()[:2000]}")
        return Path(folder, "out.o").read_bytes()


@cache
def _linker() -> tuple[str, ...]:
    if find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "ld.lld")
    found = next(
        (path for name in ("ld.lld", "ld.lld-19", "ld.lld-14") if (path := shutil.which(name))), None
    )
    if found is None:
        raise UserError("no linker for both architectures here: pip install ziglang, or install lld")
    return (found,)
