"""`fusekit check`: what it says of models that compile, and of one that does not; no code is generated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import fusekit
from fusekit.compiler.summary import LARGEST, summarise
from fusekit.compiler.target import TARGETS
from fusekit.toolkit.cli import main
from fusekit.toolkit.zoo import export

Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs `fusekit check` in an empty folder where no kernel may be compiled: exit code, stdout, stderr."""

    def no_code(*_: object) -> object:
        raise AssertionError("a kernel was compiled")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fusekit.compiler.compile.kernel_objects", no_code)

    def call(*argv: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["check", *map(str, argv)])
        printed = capsys.readouterr()
        code = ended.value.code
        return code if isinstance(code, int) else 0, printed.out, printed.err

    return call


def write(path: Path, nodes: Sequence[onnx.NodeProto], shape: Sequence[int | str], output: str) -> Path:
    """A model from ``x`` whose convolution, if it has one, goes from 4 to 8 channels by 3x3."""
    weights = np.random.default_rng(0).normal(size=(8, 4, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def conv_relu_twice(path: Path, shape: Sequence[int | str] = (1, 4, 16, 16)) -> Path:
    """Two convolutions side by side, a ReLU behind one, a sum."""
    pads = [1, 1, 1, 1]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "left", pads=pads),
        helper.make_node("Conv", ["x", "w"], ["b"], "right", pads=pads),
        helper.make_node("Relu", ["b"], ["c"], "relu"),
        helper.make_node("Add", ["a", "c"], ["y"], "sum"),
    ]
    return write(path, nodes, shape, "y")


def test_facts_of_a_small_model(tmp_path: Path) -> None:
    summary = summarise(conv_relu_twice(tmp_path / "net.onnx"), "cortex-a76")
    assert (summary.name, summary.target) == ("net", "cortex-a76")
    assert [(v.name, v.dtype, v.shape, v.bytes) for v in summary.inputs] == [
        ("x", "float32", (1, 4, 16, 16), 4096)
    ]
    assert [(v.name, v.shape, v.node) for v in summary.outputs] == [("y", (1, 8, 16, 16), "sum")]
    assert summary.ops == {"Conv": 2, "Add": 1, "Relu": 1}
    assert summary.flops == 2 * 2 * 16 * 16 * 8 * 4 * 3 * 3
    assert summary.kernels == {"none": 4, "basic": 3, "full": 2}
    assert [(v.name, v.bytes, v.node) for v in summary.largest] == [("a", 8192, "left")]
    assert 8192 <= summary.arena_bytes <= 8192 + 128
    assert 8 * 4 * 9 * 4 <= summary.weights_bytes <= 2 * (8 * 4 * 9 * 4) + 128  # packed for each convolution
    assert summary.targets == tuple(TARGETS)


def test_facts_are_those_of_the_bundle(tmp_path: Path) -> None:
    path = export("ds_cnn", tmp_path / "ds_cnn.onnx")
    summary = summarise(path, "x86-64-v3")
    for level, kernels in summary.kernels.items():
        manifest = fusekit.compile(path, "x86-64-v3", level).manifest
        assert len(manifest.kernels) == kernels
        assert sum(kernel.flops for kernel in manifest.kernels) == summary.flops
    assert (manifest.weights_bytes, manifest.arena_bytes, manifest.scratch_bytes) == (
        summary.weights_bytes,
        summary.arena_bytes,
        summary.scratch_bytes,
    )


def test_largest_values_come_first(tmp_path: Path) -> None:
    largest = summarise(export("vit_tiny", tmp_path / "vit_tiny.onnx"), "cortex-a76").largest
    assert len(largest) == LARGEST
    assert [(v.name, v.shape) for v in largest[:2]] == [
        ("block0.gelu", (1, 37, 256)),
        ("block1.gelu", (1, 37, 256)),
    ]
    assert [v.bytes for v in largest] == sorted((v.bytes for v in largest), reverse=True)


def test_text_has_a_line_a_fact(check: Check, tmp_path: Path) -> None:
    conv_relu_twice(tmp_path / "net.onnx")
    code, out, err = check("net.onnx", "--target", "rpi5")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[:5] == [
        "net compiles for rpi5",
        "input             x float32 1x4x16x16",
        "output            y float32 1x8x16x16",
        "operators         Conv 2, Add 1, Relu 1",
        "work              0.3 MFLOP",
    ]
    assert "kernels           4 at none, 3 at basic, 2 at full" in lines
    assert "largest in arena  a float32 1x8x16x16, 8.0 KiB, made by left" in lines
    assert lines[-1].startswith("targets           all: x86-64-v2, ") and lines[-1].endswith("rpi5")


def test_json_has_the_same_facts(check: Check, tmp_path: Path) -> None:
    path = conv_relu_twice(tmp_path / "net.onnx")
    code, out, err = check("net.onnx", "--target", "rpi5", "--json")
    assert (code, err) == (0, "")
    facts, summary = json.loads(out), summarise(path, "rpi5")
    assert facts["inputs"] == [
        {"name": "x", "dtype": "float32", "shape": [1, 4, 16, 16], "bytes": 4096, "node": ""}
    ]
    assert facts["kernels"] == summary.kernels and facts["arena_bytes"] == summary.arena_bytes


def test_shapes_of_dynamic_inputs(check: Check, tmp_path: Path) -> None:
    conv_relu_twice(tmp_path / "net.onnx", ("n", 4, "h", "w"))
    code, out, err = check("net.onnx")
    assert (code, out) == (2, "") and "--shape" in err
    code, out, _ = check("net.onnx", "--shape", "x=1,4,8,8")
    assert code == 0 and "x float32 1x4x8x8\n" in out


def test_unsupported_operators_are_all_named_with_their_nodes(check: Check, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Det", ["x"], ["d"], "determinant"),
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("NonZero", ["r"], ["i"], "indices"),
        helper.make_node("Cast", ["i"], ["y"], "cast", to=onnx.TensorProto.FLOAT),
    ]
    write(tmp_path / "net.onnx", nodes, (1, 4, 4), "y")
    for options in ([], ["--json"]):
        code, out, err = check("net.onnx", *options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("error: ") and "net.onnx cannot be compiled" in err
        assert "Det, node determinant: " in err and "NonZero, node indices: " in err


def test_a_value_that_is_turned_is_named_for_what_makes_it(check: Check, tmp_path: Path) -> None:
    pool = helper.make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[3, 3])
    code, out, _ = check(write(tmp_path / "pool.onnx", [pool], (1, 4, 64, 64), "y"))
    assert code == 0 and "2 at none, 2 at basic, 2 at full" in out
    assert "y/channels last float32 1x4x62x62, 60.1 KiB, made by pool" in out
