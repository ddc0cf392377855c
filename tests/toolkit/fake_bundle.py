"""Bundles of fake_model.c, so that the toolkit is tested without the compiler."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fusekit.compiler.bundle import Bundle, Manifest, sha256

N = 16
WEIGHTS = np.arange(N, dtype=np.float32)
SOURCE = Path(__file__).with_name("fake_model.c")
INCLUDE = Path(__file__).parents[2] / "compiler" / "runtime"


def write_model(path: Path) -> Path:
    """The model of fake_model.c as ONNX."""
    constants = [
        numpy_helper.from_array(np.float32(2).reshape(1), "two"),
        numpy_helper.from_array(np.arange(N - 1, -1, -1, dtype=np.int64), "backward"),
        numpy_helper.from_array(WEIGHTS, "w"),
    ]
    nodes = [
        helper.make_node("Mul", ["x", "two"], ["doubled"]),
        helper.make_node("Gather", ["doubled", "backward"], ["reversed"], axis=1),
        helper.make_node("Add", ["reversed", "w"], ["y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, N]) for name in "xy"]
    graph = helper.make_graph(nodes, "fake", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def make_bundle(
    *,
    threads: int = 1,
    fusion: str = "full",
    arch: str = platform.machine(),
    offset: float = 0.0,
    abi: int = 1,
    features: tuple[str, ...] = (),
) -> Bundle:
    """A bundle for this machine, or another architecture; `offset` makes its answers wrong."""
    identity = f"{threads} {fusion} {arch} {offset} {abi} {features}"
    number = hashlib.sha256(identity.encode()).hexdigest()[:16]
    symbol = f"fk_model_{number}"
    tensor = {"dtype": "float32", "shape": [1, N], "bytes": 4 * N}
    kernel = {"name": "fk_pointwise_0", "flops": N, "bytes": 8 * N, "schedule": ""}
    weights = WEIGHTS.tobytes()
    model = _compile(symbol, threads, arch, offset, abi, ",".join(features))
    manifest = {
        "schema": 1,
        "name": "fake",
        "hash": number,
        "symbol": symbol,
        "model_sha256": "00" * 32,
        "compiler": "0.1.0",
        "target": {
            "name": "host",
            "triple": f"{arch}-unknown-linux-gnu",
            "cpu": "generic",
            "features": features,
        },
        "fusion": fusion,
        "bands": True,
        "threads": threads,
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "y", **tensor, "rtol": 1e-6, "atol": 1e-6}],
        "kernels": [
            {**kernel, "label": "Mul_0", "ops": ["Mul"]},
            {**kernel, "label": "Add_0", "ops": ["Gather", "Add"]},
        ],
        "arena_bytes": 4 * N,
        "weights_bytes": len(weights),
        "scratch_bytes": 0,
        "code_bytes": 512,
        "files": {"model.o": sha256(model), "weights.bin": sha256(weights)},
    }
    return Bundle(
        Manifest.from_json(json.dumps(manifest)),
        {
            "model.o": model,
            "model.h": b"",
            "weights.bin": weights,
            "manifest.json": json.dumps(manifest).encode(),
        },
    )


@cache
def _compile(symbol: str, threads: int, arch: str, offset: float, abi: int, features: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "model.o")
        subprocess.run(
            [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-musl", "-O2", "-fPIC", "-c"]
            + [f"-DSYMBOL={symbol}", f'-DNAME="{symbol}"', f"-DTHREADS={threads}", f"-DOFFSET={offset}f"]
            + [
                f"-DABI={abi}",
                f'-DFEATURES="{features}"',
                "-I",
                str(INCLUDE),
                str(SOURCE),
                "-o",
                str(output),
            ],
            check=True,
        )
        return output.read_bytes()
