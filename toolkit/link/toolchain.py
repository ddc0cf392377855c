"""The compiler and linker for C: zig from the PyPI package `ziglang`, or a (cross) gcc found on the system."""

import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ...cache import cache_dir
from ...errors import UserError

Arch = Literal["aarch64", "x86_64"]

COMPILE_FLAGS = ("-std=gnu11", "-O2", "-g0", "-Wall", "-Wextra", "-ffunction-sections", "-fdata-sections")
"""For every C source; the instruction set stays the architecture's baseline, so that the runner starts anywhere."""

STACK_BYTES = 16 << 20
"""musl gives threads 128 KiB unless the program asks for more; kernels keep panels on the stack."""


class Toolchain(Protocol):
    """What turns C sources and model objects into a runner or a shared library."""

    @property
    def identity(self) -> str:
        """Name, version and flags: whatever makes its output differ."""

    def compile_runtime(self, arch: Arch, sources: Sequence[Path], include: Path, output: Path) -> None:
        """One relocatable object of all sources, as complete as link_program needs it."""

    def compile_shared(self, arch: Arch, source: Path, output: Path) -> None:
        """One position-independent object for a shared library of this machine's libc."""

    def link_program(self, arch: Arch, objects: Sequence[Path], output: Path) -> None:
        """A static program."""

    def link_library(self, arch: Arch, objects: Sequence[Path], exports: Path, output: Path) -> None:
        """A shared library; `exports` is a version script, undefined symbols resolve in the loading process."""


@dataclass(frozen=True)
class Zig:
    """zig's clang, musl and lld. Its first program for an architecture takes a minute: zig builds musl."""

    executable: Path
    version: str

    @property
    def identity(self) -> str:
        return f"zig {self.version} {' '.join(COMPILE_FLAGS)}"

    def compile_runtime(self, arch: Arch, sources: Sequence[Path], include: Path, output: Path) -> None:
        program = output.with_suffix(".exe")
        compiled = self._zig(
            "cc", "-target", f"{arch}-linux-musl", "-static", *COMPILE_FLAGS, f"-I{include}",
            *map(str, sources), "-o", str(program),
            extra={"ZIG_VERBOSE_LINK": "1"},
        )  # fmt: skip
        # The files of the C library lie in zig's cache under names that only zig's own link command tells.
        inputs = _link_inputs(compiled.stderr)
        self._zig("ld.lld", "-m", _LLD_MACHINE[arch], "-r", *inputs, "-o", str(output))
        program.unlink()

    def compile_shared(self, arch: Arch, source: Path, output: Path) -> None:
        self._zig(
            "cc", "-target", f"{arch}-linux-gnu", "-fPIC", "-fno-stack-protector", "-fno-sanitize=undefined",
            *COMPILE_FLAGS, "-c", str(source), "-o", str(output),
        )  # fmt: skip

    def link_program(self, arch: Arch, objects: Sequence[Path], output: Path) -> None:
        self._zig(
            "ld.lld", "-m", _LLD_MACHINE[arch], "-static", "--entry", "_start", "--build-id=none",
            "-z", f"stack-size={STACK_BYTES}", "-z", "nostart-stop-gc", "--gc-sections", "--eh-frame-hdr",
            "--strip-debug",
            *map(str, objects), "-o", str(output),
        )  # fmt: skip

    def link_library(self, arch: Arch, objects: Sequence[Path], exports: Path, output: Path) -> None:
        self._zig(
            "ld.lld", "-m", _LLD_MACHINE[arch], "-shared", "--build-id=none", "--hash-style=gnu",
            f"--version-script={exports}", *map(str, objects), "-o", str(output),
        )  # fmt: skip

    def _zig(self, *argv: str, extra: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        cache = str(cache_dir() / "zig")
        return _execute(
            [str(self.executable), *argv],
            {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **(extra or {})},
        )


@dataclass(frozen=True)
class Gcc:
    """A gcc of the system, with the static libc that belongs to it."""

    executable: Path
    version: str

    @property
    def identity(self) -> str:
        return f"gcc {self.version} {' '.join(COMPILE_FLAGS)}"

    def compile_runtime(self, arch: Arch, sources: Sequence[Path], include: Path, output: Path) -> None:
        self._gcc(*COMPILE_FLAGS, "-r", "-nostdlib", f"-I{include}", *map(str, sources), "-o", str(output))

    def compile_shared(self, arch: Arch, source: Path, output: Path) -> None:
        # Outlined atomics would call libgcc, which no process needs to have loaded.
        inline_atomics = ("-mno-outline-atomics",) if arch == "aarch64" else ()
        self._gcc(
            *COMPILE_FLAGS,
            "-fPIC",
            "-fno-stack-protector",
            *inline_atomics,
            "-c",
            str(source),
            "-o",
            str(output),
        )

    def link_program(self, arch: Arch, objects: Sequence[Path], output: Path) -> None:
        self._gcc(
            "-static", "-pthread", "-Wl,--gc-sections,--strip-debug", *map(str, objects), "-o", str(output)
        )

    def link_library(self, arch: Arch, objects: Sequence[Path], exports: Path, output: Path) -> None:
        self._gcc(
            "-shared", "-nostdlib", f"-Wl,--version-script={exports}", *map(str, objects), "-o", str(output)
        )

    def _gcc(self, *argv: str) -> None:
        _execute([str(self.executable), *argv], {})


def find_toolchain(arch: Arch) -> Toolchain:
    """zig if it is installed, else a gcc for `arch`. Raises UserError when there is neither."""
    if zig := _find_zig():
        return zig
    names = [f"{arch}-linux-gnu-gcc"] + (["gcc"] if arch == host_arch() else [])
    for name in names:
        if found := shutil.which(name):
            return Gcc(Path(found), _execute([found, "-dumpfullversion"], {}).stdout.strip())
    raise UserError(
        f"linking for {arch} needs a C toolchain, and neither the Python package ziglang "
        f"nor {' nor '.join(names)} is installed; type: pip install ziglang"
    )


def host_arch() -> Arch:
    """The architecture of this machine. Raises UserError when fusekit has no runtime for it."""
    match platform.machine():
        case "x86_64" | "AMD64":
            return "x86_64"
        case "aarch64" | "arm64":
            return "aarch64"
        case other:
            raise UserError(
                f"this machine is {other}, and models load in process on x86_64 and aarch64 only; "
                "compile with --target of a device and use its runner"
            )


_LLD_MACHINE: Mapping[Arch, str] = {"aarch64": "aarch64linux", "x86_64": "elf_x86_64"}


def _find_zig() -> Zig | None:
    package = importlib.util.find_spec("ziglang")
    if package is None or package.origin is None:
        return None
    executable = Path(package.origin).parent / "zig"
    if not executable.exists():
        return None
    return Zig(executable, importlib.metadata.version("ziglang"))


def _link_inputs(verbose: str) -> list[str]:
    commands = [line for line in verbose.splitlines() if line.startswith("ld.lld ")]
    if not commands:
        raise RuntimeError(f"zig printed no link command:\n{verbose}")
    return [word for word in shlex.split(commands[-1]) if word.endswith((".o", ".a"))]


def _execute(argv: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        argv, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{shlex.join(argv)} exited with {done.returncode}:\n{done.stderr}")
    return done
