"""Net: an ONNX model being written down layer by layer, with seeded weights that keep activations near unit size.

A method that adds a layer takes the name of the value that it reads and the name of the one that it makes; layers inside it are called
``name.part``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper, numpy_helper

Attribute = int | float | str | Sequence[int] | Sequence[float]

Extent = int | tuple[int, int]
"""Rows and columns; one number stands for both."""

OPSET = 17
IR_VERSION = 8


class Net:
    """Nodes and weights so far. Every method that adds a layer returns the name of its output."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self._random = np.random.default_rng(seed)

    def add(self, op: str, inputs: Sequence[str], name: str, **attrs: Attribute) -> str:
        """A node called `name` with one output of that name."""
        return self.add_many(op, inputs, name, [name], **attrs)[0]

    def add_many(
        self, op: str, inputs: Sequence[str], name: str, outputs: Sequence[str], **attrs: Attribute
    ) -> list[str]:
        """A node called `name` with the given outputs."""
        node = helper.make_node(op, list(inputs), list(outputs), name=name)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attrs.items())
        self.nodes.append(node)
        return list(outputs)

    def weight(self, name: str, data: np.ndarray) -> str:
        """An initializer: float32, or int64 for data of ints."""
        dtype = np.int64 if data.dtype.kind == "i" else np.float32
        self.weights.append(numpy_helper.from_array(data.astype(dtype), name))
        return name

    def ints(self, name: str, *data: int) -> str:
        """An initializer of int64 numbers, such as a shape."""
        return self.weight(name, np.array(data))

    def scalar(self, name: str, value: float) -> str:
        """An initializer of one number, written once however often it is asked for."""
        if all(weight.name != name for weight in self.weights):
            self.weight(name, np.array(value))
        return name

    def spread(self, name: str, shape: tuple[int, ...], deviation: float) -> str:
        """An initializer of mean zero; uniform, since normal deviates depend on the C library's last bit."""
        reach = 3**0.5 * deviation
        return self.uniform(name, shape, -reach, reach)

    def uniform(self, name: str, shape: tuple[int, ...], low: float, high: float) -> str:
        """A uniformly distributed initializer."""
        return self.weight(name, self._random.uniform(low, high, shape))

    def conv(
        self,
        x: str,
        name: str,
        channels: tuple[int, int],
        kernel: Extent = 1,
        stride: Extent = 1,
        pads: Sequence[int] = (0, 0, 0, 0),
        group: int = 1,
        gain: float = 2.0,
        bias: bool = True,
    ) -> str:
        """A convolution of `channels` (in, out); the variance of its weights is ``gain / fan_in`` (He et al., 2015)."""
        height, width = _pair(kernel)
        fan_in = channels[0] // group * height * width
        shape = (channels[1], channels[0] // group, height, width)
        inputs = [x, self.spread(f"{name}.weight", shape, (gain / fan_in) ** 0.5)]
        if bias:
            inputs.append(self.spread(f"{name}.bias", (channels[1],), 0.1))
        return self.add(
            "Conv",
            inputs,
            name,
            kernel_shape=[height, width],
            strides=list(_pair(stride)),
            dilations=[1, 1],
            pads=list(pads),
            group=group,
        )

    def batch_norm(self, x: str, name: str, channels: int) -> str:
        """A batch normalization whose statistics are near those of its input."""
        return self.add(
            "BatchNormalization",
            [
                x,
                self.uniform(f"{name}.scale", (channels,), 0.8, 1.2),
                self.spread(f"{name}.shift", (channels,), 0.1),
                self.spread(f"{name}.mean", (channels,), 0.1),
                self.uniform(f"{name}.variance", (channels,), 0.8, 1.2),
            ],
            name,
            epsilon=1e-5,
        )

    def conv_norm(
        self,
        x: str,
        name: str,
        channels: tuple[int, int],
        kernel: int = 1,
        stride: int = 1,
        group: int = 1,
        gain: float = 2.0,
    ) -> str:
        """A convolution that keeps the size but for its stride, without a bias, and a batch normalization."""
        pads = [kernel // 2] * 4
        x = self.conv(x, f"{name}.conv", channels, kernel, stride, pads, group, gain, bias=False)
        return self.batch_norm(x, f"{name}.norm", channels[1])

    def relu(self, x: str, name: str) -> str:
        """``max(x, 0)``."""
        return self.add("Relu", [x], name)

    def relu6(self, x: str, name: str) -> str:
        """``min(max(x, 0), 6)``, as exporters write it."""
        return self.add("Clip", [x, self.scalar("zero", 0.0), self.scalar("six", 6.0)], name)

    def dense(self, x: str, name: str, features: tuple[int, int]) -> str:
        """A fully connected layer of `features` (in, out) on a matrix."""
        weight = self.spread(f"{name}.weight", (features[1], features[0]), features[0] ** -0.5)
        return self.add("Gemm", [x, weight, self.spread(f"{name}.bias", (features[1],), 0.1)], name, transB=1)

    def classifier(self, x: str, channels: int, features: int, name: str = "output") -> str:
        """The mean of `channels` over an image's pixels, and a fully connected layer to `features`."""
        x = self.add("GlobalAveragePool", [x], "pool")
        x = self.add("Flatten", [x], "flatten", axis=1)
        return self.dense(x, name, (channels, features))

    def model(
        self, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, tuple[int, ...]]
    ) -> onnx.ModelProto:
        """The checked model; `inputs` and `outputs` are float32 shapes by name."""
        graph = helper.make_graph(self.nodes, self.name, _values(inputs), _values(outputs), self.weights)
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="fusekit zoo",
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def _pair(extent: Extent) -> tuple[int, int]:
    return (extent, extent) if isinstance(extent, int) else extent


def _values(shapes: Mapping[str, tuple[int, ...]]) -> list[onnx.ValueInfoProto]:
    return [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name, shape in shapes.items()
    ]
