"""A skipped lane fails the run where lanes are required, and only there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

def test_runs():
    pass

@pytest.mark.skipif(True, reason="{reason}")
def test_skips():
    pass
"""


@pytest.mark.parametrize(
    ("reason", "required", "workers", "exit_code"),
    [
        ("qemu-aarch64 is not installed", "1", "0", 1),
        ("qemu-aarch64 is not installed", "1", "2", 1),
        ("qemu-aarch64 is not installed", "0", "2", 0),
        ("host: this CPU lacks avx512f", "1", "2", 0),
    ],
)
def test_skip_of_a_lane(tmp_path: Path, reason: str, required: str, workers: str, exit_code: int) -> None:
    (tmp_path / "conftest.py").write_text(Path(__file__).with_name("conftest.py").read_text())
    (tmp_path / "test_some.py").write_text(TESTS.format(reason=reason))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", workers, "-p", "no:cacheprovider", str(tmp_path)],
        env={**os.environ, "FUSEKIT_REQUIRE_LANES": required},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == exit_code, done.stdout
    assert ("lanes that had to run were skipped" in done.stdout) == bool(exit_code)
