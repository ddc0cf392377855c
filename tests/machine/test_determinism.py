"""The same model and options give the same bytes, whatever the process and its hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .nets import mini_net, save

PROGRAM = """
import hashlib, sys
from pathlib import Path
from fusekit.compiler.compile import Options, compile_model
options = Options(target=sys.argv[2], fusion=sys.argv[3], threads=2)
bundles = [compile_model(Path(sys.argv[1]), options) for _ in range(8)]
for name in sorted(bundles[0].files):
    assert len({bundle.files[name] for bundle in bundles}) == 1, f"{name} differs within a process"
    print(name, hashlib.sha256(bundles[0].files[name]).hexdigest())
"""


@pytest.mark.parametrize(
    ("target", "fusion"), [("cortex-a76", "full"), ("x86-64-v3", "basic"), ("x86-64-v2", "none")]
)
def test_bundles_are_byte_identical(target: str, fusion: str, tmp_path: Path) -> None:
    model = save(mini_net(), tmp_path / "mini.onnx")
    answers = []
    for seed in ("1", "2"):
        # a cache of its own: kernels found in a shared one would be equal by themselves
        env = {**os.environ, "PYTHONHASHSEED": seed, "FUSEKIT_CACHE": str(tmp_path / f"cache{seed}")}
        command = [sys.executable, "-c", PROGRAM, str(model), target, fusion]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr
        answers.append(done.stdout)
    assert "model.o" in answers[0]
    assert answers[0] == answers[1]
