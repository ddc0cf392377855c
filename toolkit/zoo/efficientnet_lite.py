"""EfficientNet-Lite0 (Tan and Le, 2019, as released for mobile in 2020) at 224x224: no squeeze-and-excitation, ReLU6 throughout.

As in a converted TensorFlow model, batch norms are folded into biases and a stride of 2 pads one more at the end (SAME).
"""

from __future__ import annotations

import onnx

from .net import Net

STAGES = (
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)
"""Expansion, kernel, output channels, repeats, stride of the first repeat."""

CLASSES = 1000


def efficientnet_lite0() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000."""
    net = Net("efficientnet_lite0", seed=2020)

    def conv_relu6(
        x: str, name: str, channels: tuple[int, int], kernel: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        begin, end = (kernel - stride) // 2, (kernel - stride + 1) // 2
        x = net.conv(x, f"{name}.conv", channels, kernel, stride, (begin, begin, end, end), group)
        return net.relu6(x, f"{name}.relu6")

    x = conv_relu6("input", "stem", (3, 32), kernel=3, stride=2)
    channels, block = 32, 0
    for expansion, kernel, out, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            name, skip, stride = f"block{block}", x, first_stride if repeat == 0 else 1
            wide = channels * expansion
            if expansion > 1:
                x = conv_relu6(x, f"{name}.expand", (channels, wide))
            x = conv_relu6(x, f"{name}.depthwise", (wide, wide), kernel, stride, wide)
            x = net.conv(x, f"{name}.project", (wide, out), gain=1.0)
            if stride == 1 and channels == out:
                x = net.add("Add", [x, skip], f"{name}.add")
            channels, block = out, block + 1
    net.classifier(conv_relu6(x, "head", (channels, 1280)), 1280, CLASSES)
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
