"""Runners linked from models written by hand in C, started natively or under QEMU."""

import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusekit.toolkit.link import Arch, link_runner
from fusekit.toolkit.link.toolchain import find_toolchain

HERE = Path(__file__).parent
N = 1000  # floats of the model's input, weights and output
ONE_THREAD, TWO_THREADS = "fk_model_00000000000000a1", "fk_model_00000000000000a2"
SCALES = {ONE_THREAD: 2.0, TWO_THREADS: 3.0}


@dataclass(frozen=True)
class Said:
    """What a runner said and how it ended."""

    exit_code: int
    lines: list[dict[str, Any]]

    def of_type(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["type"] == kind]

    @property
    def error(self) -> dict[str, Any]:
        assert self.lines[-1]["type"] == "error", self.lines[-1]
        return self.lines[-1]


def emulator(arch: Arch, cpu: str = "cortex-a76") -> list[str]:
    """The words before a program of `arch`: none on its own machine; skips the test when QEMU is needed and absent."""
    if arch == platform.machine():
        return []
    qemu = shutil.which(f"qemu-{arch}")
    if qemu is None:
        pytest.skip(f"qemu-{arch} is not installed (apt-get install qemu-user)")
    return [qemu, *(["-cpu", cpu] if arch == "aarch64" else [])]


def model_object(arch: Arch, folder: Path, symbol: str, **macros: object) -> bytes:
    """model.c as a position-independent object, its macros defined as given."""
    source = folder / f"{symbol}.c"
    defined = {"SYMBOL": symbol, **macros}
    text = "".join(f"#define {name} {value}\n" for name, value in defined.items())
    source.write_text(f'{text}#include "{HERE / "model.c"}"\n')
    output = folder / f"{symbol}.{arch}.o"
    find_toolchain(arch).compile_shared(arch, source, output)
    return output.read_bytes()


def program(folder: Path, content: bytes) -> Path:
    path = folder / "runner"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session", params=["x86_64", "aarch64"])
def arch(request: pytest.FixtureRequest) -> Arch:
    arch: Arch = request.param
    emulator(arch)
    return arch


@pytest.fixture(scope="session")
def runner(arch: Arch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runner of two variants, one and two threads, that scale by 2 and by 3."""
    folder = tmp_path_factory.mktemp(f"runner-{arch}")
    one = model_object(arch, folder, ONE_THREAD, SCALE="2.0f", THREADS=1)
    two = model_object(arch, folder, TWO_THREADS, SCALE="3.0f", THREADS=2)
    return program(folder, link_runner(arch, [one, two]))


@dataclass(frozen=True)
class Bench:
    """A folder with an input and weights, and the flags that a runner needs."""

    folder: Path
    arch: Arch
    input: np.ndarray[Any, np.dtype[np.float32]]
    weights: np.ndarray[Any, np.dtype[np.float32]]

    def expected(self, symbol: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self.weights + np.float32(SCALES[symbol]) * self.input[::-1]

    def output(self, symbol: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        return np.fromfile(self.folder / "out" / f"{symbol}.0.bin", np.float32)

    def run(
        self, runner: Path, *extra: str, flags: Sequence[str] | None = None, cpu: str = "cortex-a76"
    ) -> Said:
        if flags is None:
            weights = [word for s in SCALES for word in ("--weights", f"{s}=weights.bin")]
            flags = ["--nonce", "c0ffee", "--input", "input.bin", *weights, "--out", "out"]
        argv = [*emulator(self.arch, cpu), str(runner), *flags, *extra]
        done = subprocess.run(argv, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.stderr == ""
        return Said(done.returncode, [json.loads(line) for line in done.stdout.splitlines()])


@pytest.fixture
def bench(arch: Arch, tmp_path: Path) -> Bench:
    random = np.random.default_rng(7)
    made = Bench(
        tmp_path,
        arch,
        random.standard_normal(N).astype(np.float32),
        random.standard_normal(N).astype(np.float32),
    )
    made.input.tofile(tmp_path / "input.bin")
    made.weights.tofile(tmp_path / "weights.bin")
    return made


@pytest.fixture(scope="session")
def lacking(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Arch, str], Path]:
    """Builds a runner whose only model needs the given CPU features."""

    def build(arch: Arch, features: str) -> Path:
        folder = tmp_path_factory.mktemp("lacking")
        model = model_object(arch, folder, ONE_THREAD, FEATURES=f'"{features}"')
        return program(folder, link_runner(arch, [model]))

    return build
