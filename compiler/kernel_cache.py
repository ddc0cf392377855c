"""Compiled kernels by content: an object is found by its kernel's symbol, the sources that generate code and LLVM's version.

Kernels that are not in the cache are compiled by worker processes (``python -m fusekit.compiler.kernel_cache``), one per core: LLVM holds a lock
within a process.
"""

from __future__ import annotations

import gc
import hashlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from ..cache import cache_dir, store
from .generate import generate
from .kernel import Kernel
from .objects import LLVM_VERSION, assemble

WORTH_A_WORKER = 6
"""Kernels per worker below which starting one costs more than it saves."""

COLLECT_AFTER = 50_000
"""New objects after which a worker looks for garbage."""


def kernel_text(kernel: Kernel) -> str:
    """LLVM assembly of a kernel, in a group of its own that linkers keep once."""
    text = re.sub(
        r"^(define (?:weak_odr|internal) .*?)(\n?)(\{?)$",
        rf"\1 comdat(${kernel.symbol})\2\3",
        str(generate(kernel)),
        flags=re.MULTILINE,
    )
    return text.replace("\n\n", f"\n\n${kernel.symbol} = comdat any\n\n", 1)


def kernel_objects(kernels: Sequence[Kernel]) -> Mapping[str, bytes]:
    """The ELF object of each kernel by symbol."""
    folder = cache_dir() / "kernels" / code_version()
    wanted = {kernel.symbol: kernel for kernel in kernels}
    missing = [kernel for symbol, kernel in wanted.items() if not (folder / f"{symbol}.o").is_file()]
    workers = min(os.cpu_count() or 1, len(missing) // WORTH_A_WORKER)
    if workers > 1:
        _in_workers(folder, missing, workers)
    else:
        for kernel in missing:
            compile_into(folder, kernel)
    return {symbol: (folder / f"{symbol}.o").read_bytes() for symbol in wanted}


def compile_into(folder: Path, kernel: Kernel) -> None:
    """Generate and assemble one kernel."""
    store(folder / f"{kernel.symbol}.o", assemble(kernel_text(kernel), kernel.target))


@cache
def code_version() -> str:
    """Hash of what decides a kernel's code besides its text."""
    digest = hashlib.sha256(f"{LLVM_VERSION} {sys.version_info[:2]}".encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def worker_environment() -> dict[str, str]:
    """The environment of a Python that imports what this one does; an empty entry of its path stands for the current folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}


def _in_workers(folder: Path, kernels: Sequence[Kernel], workers: int) -> None:
    # dealt out from the longest on, so that no worker gets most of the work
    kernels = sorted(kernels, key=lambda kernel: len(str(kernel)), reverse=True)
    command = [sys.executable, "-P", "-m", "fusekit.compiler.kernel_cache"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=worker_environment())
        for _ in range(workers)
    ]
    for number, process in enumerate(running):
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin:  # it died at once, and says why on its standard error
            process.stdin.write(pickle.dumps((folder, kernels[number::workers])))
        process.stdin = None
    errors = [process.communicate()[1].decode(errors="replace") for process in running]
    failed = [text for text, process in zip(errors, running, strict=True) if process.returncode]
    if failed:
        raise RuntimeError(f"a compile worker failed: {failed[0].strip()[-2000:]}")


def main() -> None:
    """Compile the pickled kernels on standard input into the folder that comes with them."""
    folder, kernels = pickle.load(sys.stdin.buffer)
    # a kernel is up to a million live objects: looking through them at every 700 new ones takes a quarter of the time
    gc.set_threshold(COLLECT_AFTER)
    for kernel in kernels:
        compile_into(folder, kernel)


if __name__ == "__main__":
    main()
