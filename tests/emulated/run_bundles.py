"""Bundles on an emulated CPU, or natively: linked into the real runner, run once, outputs read back."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model
from fusekit.compiler.fusion import LEVELS
from fusekit.compiler.target import find_target
from fusekit.toolkit.link import link_runner
from fusekit.toolkit.measure.check import OutputCheck, check_output
from fusekit.toolkit.reference import reference_outputs, seeded_inputs

NONCE = "5eed"
Outputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Run:
    """What one call of the runner said and wrote: messages, and per bundle its outputs by name."""

    exit_code: int
    messages: tuple[Mapping[str, Any], ...]
    outputs: tuple[Outputs, ...]


def emulator(cpu: str) -> list[str]:
    """The command before an aarch64 program that makes `cpu` of this machine; skips where there is no emulator."""
    for name in ("qemu-aarch64", "qemu-aarch64-static"):
        if found := shutil.which(name):
            return [found, "-cpu", cpu]
    pytest.skip("qemu-aarch64 is not installed: run tests/lab/install.sh")


def variants(model: Path, target: str, threads: Sequence[int] = (1, 2)) -> list[Bundle]:
    """The model at every fusion level and number of threads."""
    return [
        compile_model(model, Options(target=target, fusion=level, threads=count))
        for level in LEVELS
        for count in threads
    ]


def run_bundles(
    bundles: Sequence[Bundle],
    folder: Path,
    cpu: str | None,
    timeout_s: float = 300,
    feeds: Outputs | None = None,
) -> Run:
    """Run variants of one model on `feeds`, or else seeded inputs; natively where `cpu` is None."""
    first = bundles[0].manifest
    by_symbol = {bundle.manifest.symbol: bundle for bundle in bundles}
    runner = folder / "runner"
    objects = [bundle.files["model.o"] for bundle in by_symbol.values()]
    runner.write_bytes(link_runner(find_target(first.target.name).arch, objects))
    runner.chmod(0o755)
    command = [
        *(emulator(cpu) if cpu else []),
        str(runner),
        "--nonce",
        NONCE,
        "--check-only",
        "--out",
        str(folder),
    ]
    feeds = seeded_inputs(first) if feeds is None else feeds
    for number, tensor in enumerate(first.inputs):
        (folder / f"input{number}.bin").write_bytes(feeds[tensor.name].tobytes())
        command += ["--input", str(folder / f"input{number}.bin")]
    for symbol, bundle in by_symbol.items():
        (folder / f"{symbol}.weights").write_bytes(bundle.files["weights.bin"])
        command += ["--weights", f"{symbol}={folder / symbol}.weights"]
    command += ["--variants", ",".join(by_symbol)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    messages = tuple(json.loads(line) for line in done.stdout.splitlines())
    if done.returncode:
        return Run(done.returncode, messages, ())
    assert messages[-1] == {"type": "end", "nonce": NONCE, "ok": True}
    return Run(0, messages, tuple(_outputs(bundle, folder) for bundle in bundles))


def check_against_reference(model: Path, bundle: Bundle, got: Outputs) -> list[OutputCheck]:
    """Each output against ONNX Runtime, within the manifest's tolerance."""
    want = reference_outputs(model, seeded_inputs(bundle.manifest))
    return [
        check_output(output.name, got[output.name], want[output.name], rtol=output.rtol, atol=output.atol)
        for output in bundle.manifest.outputs
    ]


def _outputs(bundle: Bundle, folder: Path) -> Outputs:
    found = {}
    for number, tensor in enumerate(bundle.manifest.outputs):
        data = (folder / f"{bundle.manifest.symbol}.{number}.bin").read_bytes()
        found[tensor.name] = np.frombuffer(data, tensor.dtype).reshape(tensor.shape)
    return found
