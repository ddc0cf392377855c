"""Transposed convolutions and resizes, alone and fused, against ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import fusekit

RNG = np.random.default_rng(11)


def run_both(
    nodes: list[onnx.NodeProto],
    shape: tuple[int, ...],
    constants: dict[str, np.ndarray],
    folder: Path,
    threads: int = 1,
) -> None:
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.save(model, folder / "net.onnx")
    x = RNG.uniform(-1, 1, shape).astype(np.float32)
    (want,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    for level in ("none", "full"):
        bundle = fusekit.compile(folder / "net.onnx", fusion=level, threads=threads)
        got = fusekit.load(bundle).run({"x": x})["y"]
        assert got.shape == want.shape
        assert float(np.abs(got - want).max()) <= 1e-5 * max(1.0, float(np.abs(want).max()))


@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "extra", "group"),
    [
        (2, 2, (0, 0, 0, 0), 0, 1),
        (4, 2, (1, 1, 1, 1), 0, 1),
        (3, 2, (1, 1, 1, 1), 1, 1),
        (3, 2, (1, 1, 1, 1), 0, 1),
        (3, 2, (0, 1, 1, 0), 0, 1),
        (3, 1, (1, 1, 1, 1), 0, 1),
        (5, 3, (1, 2, 1, 2), 1, 1),
        (2, 3, (0, 0, 0, 0), 0, 1),
        (4, 2, (1, 1, 1, 1), 0, 4),
        (3, 2, (1, 1, 1, 1), 1, 12),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
def test_conv_transpose(
    kernel: int, stride: int, pads: tuple[int, ...], extra: int, group: int, threads: int, tmp_path: Path
) -> None:
    weights = RNG.uniform(-1, 1, (12, 24 // group, kernel, kernel)).astype(np.float32)
    bias = RNG.uniform(-1, 1, weights.shape[1] * group).astype(np.float32)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node(
            "ConvTranspose",
            ["r", "w", "b"],
            ["c"],
            strides=[stride] * 2,
            pads=pads,
            output_padding=[extra] * 2,
            group=group,
        ),
        helper.make_node("HardSwish", ["c"], ["y"]),
    ]
    run_both(nodes, (1, 12, 7, 5), {"w": weights, "b": bias}, tmp_path, threads)


@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("size", [(14, 10), (7, 15), (10, 9), (3, 2), (1, 20)])
def test_resize(mode: str, coordinates: str, size: tuple[int, int], tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node(
            "Resize",
            ["c", "", "", "sizes"],
            ["y"],
            mode=mode,
            coordinate_transformation_mode=coordinates,
            nearest_mode="floor",
        ),
    ]
    constants: dict[str, np.ndarray] = {
        "w": RNG.uniform(-1, 1, (9, 5, 1, 1)).astype(np.float32),
        "sizes": np.array([1, 9, *size], np.int64),
    }
    run_both(nodes, (1, 5, 7, 5), constants, tmp_path)


@pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
def test_nearest_rounds_as_asked(rounding: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="nearest", nearest_mode=rounding)]
    run_both(nodes, (1, 3, 6, 5), {"sizes": np.array([1, 3, 9, 13], np.int64)}, tmp_path)


def test_resized_skip_is_added_in_the_epilogue_of_a_convolution(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Resize", ["p", "", "scales"], ["up"], mode="linear"),
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Add", ["c", "up"], ["a"]),
        helper.make_node("Relu", ["a"], ["y"]),
    ]
    weights = RNG.uniform(-1, 1, (16, 16, 1, 1)).astype(np.float32)
    run_both(nodes, (1, 16, 12, 10), {"w": weights, "scales": np.array([1, 1, 2, 2], np.float32)}, tmp_path)


def test_resize_is_a_prologue_of_a_padded_convolution(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Resize", ["x", "", "scales"], ["up"], mode="linear"),
        helper.make_node("Conv", ["up", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    weights = RNG.uniform(-1, 1, (8, 16, 3, 3)).astype(np.float32)
    run_both(
        nodes,
        (1, 16, 6, 5),
        {"w": weights, "scales": np.array([1, 1, 2, 2], np.float32)},
        tmp_path,
        threads=2,
    )
