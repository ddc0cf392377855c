"""The script that runs a program on a board, here with this machine's shell and `timeout`."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusekit.devices.ssh import run_script


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "pid"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate(timeout=20)


def start(folder: Path, program: str, timeout_s: float = 60) -> subprocess.Popen[bytes]:
    script = run_script(["sh", "-c", program], str(folder), timeout_s)
    return subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def pid_of(pid_file: Path) -> int:
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return int(pid_file.read_text())


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if " Z " in state:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(("program", "code"), [("exit 7", 7), ("kill -SEGV $$", 139), ("kill -ILL $$", 132)])
def test_exit_code_is_the_programs(tmp_path: Path, program: str, code: int) -> None:
    with start(tmp_path, f"echo said; echo wrong >&2; {program}") as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        assert process.wait(20) == code
        assert process.stdout.read() == b"said\n"
        assert process.stderr.read().startswith(b"wrong\n")


def test_program_has_no_input(tmp_path: Path) -> None:
    with start(tmp_path, "cat") as process:
        assert process.wait(20) == 0


def test_folder_that_is_not_there(tmp_path: Path) -> None:
    with start(tmp_path / "absent", "true") as process:
        assert process.wait(20) == 125


@pytest.mark.parametrize("ignores", ["", "trap '' TERM; "])
def test_program_ends_with_the_connection(
    tmp_path: Path, pid_file: Path, started: list[subprocess.Popen[bytes]], ignores: str
) -> None:
    process = start(tmp_path, f"{ignores}echo $$ > pid; while :; do sleep 0.1; done")
    started.append(process)
    pid = pid_of(pid_file)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    assert is_gone(pid)


def test_program_ends_at_its_limit_without_anybody_watching(
    tmp_path: Path, pid_file: Path, started: list[subprocess.Popen[bytes]]
) -> None:
    process = start(tmp_path, "echo $$ > pid; exec sleep 60", timeout_s=1)
    started.append(process)
    pid = pid_of(pid_file)
    assert process.wait(20) == 124
    assert is_gone(pid)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
