"""SqueezeNet 1.1 (Iandola et al., 2016) at 224x224: fire modules, whose two convolutions are concatenated."""

from __future__ import annotations

import onnx

from .net import Net

STAGES = (((16, 64), (16, 64)), ((32, 128), (32, 128)), ((48, 192), (48, 192), (64, 256), (64, 256)))
"""Channels of squeeze and of each expand convolution; a pool stands before each stage."""

CLASSES = 1000


def squeezenet() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000."""
    net = Net("squeezenet", seed=2016)

    def conv_relu(x: str, name: str, channels: tuple[int, int], kernel: int = 1) -> str:
        return net.relu(net.conv(x, name, channels, kernel, 1, [kernel // 2] * 4), f"{name}.relu")

    x = net.relu(net.conv("input", "stem", (3, 64), 3, 2), "stem.relu")
    channels, fire = 64, 0
    for stage, modules in enumerate(STAGES):
        x = net.add("MaxPool", [x], f"pool{stage}", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
        for squeezed, wide in modules:
            x = conv_relu(x, f"fire{fire}.squeeze", (channels, squeezed))
            small = conv_relu(x, f"fire{fire}.expand1x1", (squeezed, wide))
            large = conv_relu(x, f"fire{fire}.expand3x3", (squeezed, wide), 3)
            x = net.add("Concat", [small, large], f"fire{fire}.concat", axis=1)
            channels, fire = 2 * wide, fire + 1
    x = conv_relu(x, "classifier", (channels, CLASSES))
    net.add("Flatten", [net.add("GlobalAveragePool", [x], "pool")], "output", axis=1)
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
