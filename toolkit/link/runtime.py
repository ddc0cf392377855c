"""The parts of every runner and every model.so that do not depend on the model, built once and kept in the cache.

cache/runtime/<hash of sources and toolchain>-<arch>-runner.o     runner, crew and what they use of libc
cache/runtime/<hash of sources and toolchain>-<arch>-crew.o       the crew, position independent
"""

import fcntl
import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ...cache import cache_dir
from .toolchain import Arch, Toolchain, find_toolchain

# Beside this package in a checkout (through links) and in an installed wheel alike.
_PACKAGE = Path(__file__).parents[2]
_CREW = _PACKAGE / "compiler" / "runtime"
_RUNNER = _PACKAGE / "devices" / "runner"


def runner_runtime(arch: Arch) -> Path:
    """The object that holds the runner, the crew and the C library; takes up to a minute when it is not cached."""
    toolchain = find_toolchain(arch)
    sources = [*sorted(_RUNNER.glob("*.c")), _CREW / "crew.c"]

    def build(output: Path) -> None:
        toolchain.compile_runtime(arch, sources, _CREW, output)

    return _built(_runner_path(arch, toolchain), build)


def runner_runtime_is_built(arch: Arch) -> bool:
    """Whether link_runner takes milliseconds; if not, its first call compiles the C library."""
    return _runner_path(arch, find_toolchain(arch)).exists()


def crew_object(arch: Arch) -> Path:
    """The crew alone, position independent, for a shared library."""
    toolchain = find_toolchain(arch)
    sources = [_CREW / "crew.c", _CREW / "crew.h", _CREW / "fusekit.h"]

    def build(output: Path) -> None:
        toolchain.compile_shared(arch, _CREW / "crew.c", output)

    return _built(_path(arch, "crew", toolchain, sources), build)


def _runner_path(arch: Arch, toolchain: Toolchain) -> Path:
    return _path(arch, "runner", toolchain, [f for d in (_RUNNER, _CREW) for f in sorted(d.glob("*.[ch]"))])


def _path(arch: Arch, part: str, toolchain: Toolchain, sources: Sequence[Path]) -> Path:
    digest = hashlib.sha256(toolchain.identity.encode())
    for source in sources:
        content = source.read_bytes()
        digest.update(f"\0{source.name}\0{len(content)}\0".encode() + content)
    return cache_dir() / "runtime" / f"{digest.hexdigest()[:16]}-{arch}-{part}.o"


def _built(path: Path, build: Callable[[Path], None]) -> Path:
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / "lock").open("w") as lock:
        fcntl.flock(
            lock, fcntl.LOCK_EX
        )  # the second of two processes waits for the first instead of repeating it
        if path.exists():
            return path
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            partial = Path(folder) / path.name
            build(partial)
            partial.replace(path)
    return path
