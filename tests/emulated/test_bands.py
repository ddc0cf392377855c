"""Bands change where rows are kept, never a bit of a result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.bundle import Bundle
from fusekit.compiler.compile import Options, compile_model

from .run_bundles import check_against_reference, run_bundles


def inverted_residual(folder: Path) -> Path:
    """1x1 expansion, depthwise 3x3, 1x1 projection, on an image large enough for a band to pay."""
    random = np.random.default_rng(3)
    shapes = {"w0": (96, 16, 1, 1), "w1": (96, 1, 3, 3), "w2": (24, 96, 1, 1)}
    weights = [
        numpy_helper.from_array(random.uniform(-0.4, 0.4, shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="expand", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["a"], ["b"], name="relu0"),
        helper.make_node(
            "Conv", ["b", "w1"], ["c"], name="depthwise", kernel_shape=[3, 3], pads=[1] * 4, group=96
        ),
        helper.make_node("Relu", ["c"], ["d"], name="relu1"),
        helper.make_node("Conv", ["d", "w2"], ["y"], name="project", kernel_shape=[1, 1]),
    ]
    values = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, (1, channels, 112, 112))
        for name, channels in (("x", 16), ("y", 24))
    ]
    graph = helper.make_graph(nodes, "bands", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "bands.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def banded(bundle: Bundle) -> bool:
    """Whether a kernel of the bundle computes two convolutions."""
    return any(kernel.ops.count("Conv") > 1 for kernel in bundle.manifest.kernels)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("target", "cpu"), [("host", None), ("rpi5", "cortex-a76")])
def test_bands_are_bit_identical(target: str, cpu: str | None, threads: int, tmp_path: Path) -> None:
    model = inverted_residual(tmp_path)
    bundles = [
        compile_model(model, Options(target=target, threads=threads, bands=bands)) for bands in (True, False)
    ]
    assert [banded(bundle) for bundle in bundles] == [True, False]
    run = run_bundles(bundles, tmp_path, cpu)
    assert run.exit_code == 0, run.messages
    on, off = (outputs["y"] for outputs in run.outputs)
    assert on.tobytes() == off.tobytes()
    assert all(check.ok for check in check_against_reference(model, bundles[0], run.outputs[0]))
