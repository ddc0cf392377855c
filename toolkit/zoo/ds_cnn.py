"""DS-CNN (Zhang et al., 2017) as MLPerf Tiny uses it: a second of speech, as 49 frames of 10 coefficients, to one of 12 words."""

from __future__ import annotations

import onnx

from .net import Net

CHANNELS = 64
BLOCKS = 4
WORDS = 12


def ds_cnn() -> onnx.ModelProto:
    """``input`` 1x1x49x10 to ``output`` 1x12, probabilities."""
    net = Net("ds_cnn", seed=49)
    x = net.conv("input", "stem.conv", (1, CHANNELS), (10, 4), 2, (4, 1, 5, 1), bias=False)
    x = net.relu(net.batch_norm(x, "stem.norm", CHANNELS), "stem.relu")
    for block in range(BLOCKS):
        for name, kernel, group in (("depthwise", 3, CHANNELS), ("pointwise", 1, 1)):
            name = f"block{block}.{name}"
            x = net.conv_norm(x, name, (CHANNELS, CHANNELS), kernel, group=group)
            x = net.relu(x, f"{name}.relu")
    x = net.add("AveragePool", [x], "pool", kernel_shape=[25, 5], strides=[1, 1])
    x = net.add("Reshape", [x, net.ints("flat", 1, -1)], "flatten")
    net.add("Softmax", [net.dense(x, "logits", (CHANNELS, WORDS))], "output", axis=1)
    return net.model({"input": (1, 1, 49, 10)}, {"output": (1, WORDS)})
