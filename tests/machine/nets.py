"""Nets of one layer or a few, with seeded weights: what the tests compile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper


def conv_net(
    cin: int, cout: int, kernel: int, size: int, *, stride: int = 1, group: int = 1, op: str = "Relu"
) -> onnx.ModelProto:
    """A convolution with bias and same pads over a `size` x `size` image, and an activation."""
    pad = kernel // 2
    nodes = [
        helper.make_node(
            "Conv", ["x", "w", "b"], ["c"], name="conv", kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2, group=group
        ),
        helper.make_node(op, ["c"], ["y"], name="act"),
    ]  # fmt: skip
    out = (size + 2 * pad - kernel) // stride + 1
    weights = {"w": (cout, cin // group, kernel, kernel), "b": (cout,)}
    return _model(nodes, {"x": (1, cin, size, size)}, {"y": (1, cout, out, out)}, weights)


def inner_conv_net(
    cin: int, cout: int, kernel: int, size: int, *, stride: int = 1, group: int = 1
) -> onnx.ModelProto:
    """The convolution called ``conv`` inside a net, where the compiler chooses the layout of what it reads and writes."""
    pad, out = kernel // 2, (size - 1) // stride + 1
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], name="before", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["a"], ["r"], name="relu"),
        helper.make_node(
            "Conv", ["r", "w", "b"], ["c"], name="conv", kernel_shape=[kernel] * 2, pads=[pad] * 4, strides=[stride] * 2, group=group
        ),
        helper.make_node("Relu", ["c"], ["s"], name="act"),
        helper.make_node("Conv", ["s", "w1"], ["y"], name="after", kernel_shape=[1, 1]),
    ]  # fmt: skip
    weights = {
        "w0": (cin, 4, 1, 1), "w": (cout, cin // group, kernel, kernel), "b": (cout,), "w1": (4, cout, 1, 1),
    }  # fmt: skip
    return _model(nodes, {"x": (1, 4, size, size)}, {"y": (1, 4, out, out)}, weights)


def gemm_net(k: int, n: int) -> onnx.ModelProto:
    """A fully connected layer on one row."""
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm", transB=1)]
    return _model(nodes, {"x": (1, k)}, {"y": (1, n)}, {"w": (n, k), "b": (n,)})


def mini_net() -> onnx.ModelProto:
    """A little of everything: an inverted residual, a concat, pools, PReLU, a sigmoid gate and a classifier."""
    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], name="stem", kernel_shape=[3, 3], pads=[1] * 4, strides=[2, 2]),
        helper.make_node("PRelu", ["c0", "slope"], ["p0"], name="prelu"),
        helper.make_node("Conv", ["p0", "w1"], ["c1"], name="expand", kernel_shape=[1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu"),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], name="depthwise", kernel_shape=[3, 3], pads=[1] * 4, group=24),
        helper.make_node("HardSwish", ["c2"], ["h2"], name="hardswish"),
        helper.make_node("Conv", ["h2", "w3"], ["c3"], name="project", kernel_shape=[1, 1]),
        helper.make_node("Add", ["c3", "p0"], ["s3"], name="residual"),
        helper.make_node("MaxPool", ["s3"], ["m"], name="pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4),
        helper.make_node("Sigmoid", ["m"], ["g"], name="gate"),
        helper.make_node("Mul", ["m", "g"], ["gm"], name="scale"),
        helper.make_node("Concat", ["m", "gm"], ["cat"], name="concat", axis=1),
        helper.make_node("Conv", ["cat", "w4"], ["c4"], name="mix", kernel_shape=[3, 3], pads=[1] * 4),
        helper.make_node("GlobalAveragePool", ["c4"], ["avg"], name="average"),
        helper.make_node("Flatten", ["avg"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w5", "b5"], ["logits"], name="classify", transB=1),
        helper.make_node("Softmax", ["logits"], ["y"], name="softmax", axis=1),
    ]  # fmt: skip
    weights = {
        "w0": (8, 3, 3, 3), "b0": (8,), "slope": (8, 1, 1), "w1": (24, 8, 1, 1), "w2": (24, 1, 3, 3),
        "w3": (8, 24, 1, 1), "w4": (12, 16, 3, 3), "w5": (10, 12), "b5": (10,),
    }  # fmt: skip
    return _model(nodes, {"x": (1, 3, 22, 22)}, {"c4": (1, 12, 6, 6), "y": (1, 10)}, weights)


NETS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "conv1x1": lambda: inner_conv_net(64, 64, 1, 56),
    "conv3x3": lambda: inner_conv_net(64, 64, 3, 56),
    "alone1x1": lambda: conv_net(64, 64, 1, 56),
    "alone3x3": lambda: conv_net(64, 64, 3, 56),
    "depthwise3x3": lambda: inner_conv_net(96, 96, 3, 56, group=96),
    "depthwise3x3s2": lambda: inner_conv_net(96, 96, 3, 56, group=96, stride=2),
    "first3x3": lambda: conv_net(3, 32, 3, 112, stride=2),
    "gemm": lambda: gemm_net(1280, 1000),
    "wide1x1": lambda: inner_conv_net(512, 1024, 1, 14),
}
"""The kernels whose machine code is looked at, by name."""

NARROW: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "outputs8": lambda: inner_conv_net(24, 8, 1, 56),
    "outputs24": lambda: inner_conv_net(16, 24, 1, 56),
    "inputs8": lambda: inner_conv_net(8, 32, 1, 128),
}
"""Those with few channels: some leave a vector of 16 lanes half empty."""


def save(model: onnx.ModelProto, path: Path) -> Path:
    """Write the model; the path itself."""
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, tuple[int, ...]],
    weights: Mapping[str, tuple[int, ...]],
) -> onnx.ModelProto:
    random = np.random.default_rng(7)
    tensors = []
    for name, shape in weights.items():
        fan_in = max(1, int(np.prod(shape[1:])))
        data = random.uniform(-1, 1, shape) * (3.0 / fan_in) ** 0.5
        tensors.append(numpy_helper.from_array(data.astype(np.float32), name))

    def values(shapes: Mapping[str, tuple[int, ...]]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in shapes.items()]

    graph = helper.make_graph(list(nodes), "net", values(inputs), values(outputs), tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
