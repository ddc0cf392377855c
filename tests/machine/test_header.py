"""model.h in a C99 program: it compiles without a warning, and the program computes what ONNX Runtime computes."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fusekit.compiler.compile import Options, compile_model
from fusekit.toolkit.measure.check import check_output
from fusekit.toolkit.reference import reference_outputs, seeded_inputs

from .nets import conv_net, mini_net, save

STRICT = ("-O1", "-Wall", "-Wextra", "-Werror", "-pedantic")
EMBED = Path(__file__).with_name("embed.c")


def compile_c(folder: Path, *argv: str) -> None:
    """Run zig's C compiler with every warning an error."""
    command = [sys.executable, "-m", "ziglang", "cc", *STRICT, *argv]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def parse(lines: Sequence[str]) -> np.ndarray:
    """Hexadecimal floats, one a line."""
    return np.array([float.fromhex(line) for line in lines], np.float32)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="host: the program is for x86-64")
@pytest.mark.parametrize("fusion", ["none", "full"])
def test_a_c99_program_runs_the_model(fusion: str, tmp_path: Path) -> None:
    path = save(mini_net(), tmp_path / "net.onnx")
    bundle = compile_model(path, Options(target="x86-64-v2", fusion=fusion))  # type: ignore[arg-type]
    manifest = bundle.manifest
    bundle.write(tmp_path / "bundle")
    feeds = seeded_inputs(manifest)
    (tmp_path / "input.bin").write_bytes(feeds[manifest.inputs[0].name].tobytes())

    # an absolute path: zig caches objects by what they were called with
    compile_c(tmp_path, "-std=c99", f"-I{tmp_path}/bundle", str(EMBED), "bundle/model.o", "-o", "embed")
    argv = ["./embed", "bundle/weights.bin", "input.bin"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    got, want = parse(done.stdout.split()), reference_outputs(path, feeds)
    for output in manifest.outputs:
        count = int(np.prod(output.shape))
        part, got = got[:count].reshape(output.shape), got[count:]
        check = check_output(output.name, part, want[output.name], rtol=output.rtol, atol=output.atol)
        assert check.ok, check.detail
    assert got.size == 0


@pytest.mark.parametrize(
    "language", [("-std=c99",), ("-x", "c++", "-std=c++17", "-nostdinc++")], ids=["c99", "c++17"]
)
def test_two_headers_meet_in_one_file(language: Sequence[str], tmp_path: Path) -> None:
    """Names carry the model's, whatever it is called, and a header may be included twice."""
    for number, model in enumerate((mini_net(), conv_net(3, 4, 3, 8))):
        path = save(model, tmp_path / f"2nd net-{number}.x.onnx")
        bundle = compile_model(path, Options(target="cortex-a76", threads=2))
        (tmp_path / f"{number}.h").write_bytes(bundle.files["model.h"])
    (tmp_path / "both.c").write_text(
        '#include "0.h"\n#include "1.h"\n#include "0.h"\nint main(void) { return 0; }\n'
    )
    compile_c(tmp_path, *language, "-c", "both.c", "-o", "both.o")
