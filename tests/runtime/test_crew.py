"""The crew's protocol under injected delays, under ThreadSanitizer, with more threads than cores, and its speed."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fusekit.cache import cache_dir
from fusekit.toolkit.link import Arch

from .conftest import HERE, emulator

SOURCES = (str(HERE / "crew_stress.c"), str(HERE.parents[1] / "compiler" / "runtime" / "crew.c"))
FLAGS = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread")


def zig_program(folder: Path, arch: Arch, *defines: str) -> Path:
    output = folder / f"crew_stress-{arch}"
    cache = str(cache_dir() / "zig")
    subprocess.run(
        [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-musl", "-static"]
        + [*FLAGS, *defines, *SOURCES, "-o", str(output)],
        env={**os.environ, "ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache},
        check=True,
        timeout=300,
    )
    return output


def stress(argv: list[str], mode: str, threads: int, count: int) -> str:
    done = subprocess.run(
        [*argv, mode, str(threads), str(count)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_all_writes_are_seen_when_every_step_is_delayed(arch: Arch, tmp_path: Path, threads: int) -> None:
    program = zig_program(tmp_path, arch, "-DFK_CREW_JITTER")
    assert "runs" in stress([*emulator(arch), str(program)], "check", threads, 1000)


@pytest.mark.parametrize("threads", [2, 3])
def test_no_ordering_is_missing_when_a_race_detector_looks(tmp_path: Path, threads: int) -> None:
    """x86 hides a missing acquire or release; ThreadSanitizer judges by the C memory model instead."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is not installed, and zig has no ThreadSanitizer for it (apt-get install gcc)")
    program = tmp_path / "crew_stress"
    build = [gcc, *FLAGS, "-fsanitize=thread", "-DFK_CREW_JITTER", *SOURCES, "-o", str(program)]
    built = subprocess.run(build, capture_output=True, text=True, check=False)
    if "tsan" in built.stderr:
        pytest.skip("gcc is installed without libtsan")
    assert built.returncode == 0, built.stderr
    # Without address space randomisation: older ThreadSanitizers reject the layouts of newer kernels.
    assert "runs" in stress(["setarch", platform.machine(), "-R", str(program)], "check", threads, 1500)


def test_progress_is_made_when_threads_outnumber_cores(tmp_path: Path) -> None:
    arch: Arch = "aarch64" if platform.machine() == "aarch64" else "x86_64"
    program = zig_program(tmp_path, arch)
    threads = 4 * len(os.sched_getaffinity(0))
    runs = int(stress([str(program)], "check", min(threads, 64), 1000).split()[0])
    assert runs > 20


def test_a_forked_child_has_workers_of_its_own(tmp_path: Path) -> None:
    arch: Arch = "aarch64" if platform.machine() == "aarch64" else "x86_64"
    assert stress([str(zig_program(tmp_path, arch))], "fork", 3, 50) == "parent and child made 50 runs each\n"


def test_a_barrier_takes_under_two_microseconds_when_each_thread_has_a_core(tmp_path: Path) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU: threads cannot be on separate cores")
    arch: Arch = "aarch64" if platform.machine() == "aarch64" else "x86_64"
    program = zig_program(tmp_path, arch)
    said = stress([str(program)], "time", 2, 1_000_000)
    print(said)
    assert float(said.split()[0].removeprefix("barrier_ns=")) < 2000
