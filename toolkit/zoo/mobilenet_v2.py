"""MobileNetV2 (Sandler et al., 2018) at width 1 and 224x224: inverted residuals with linear bottlenecks."""

from __future__ import annotations

import onnx

from .net import Net

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Table 2 of the paper: expansion, output channels, repeats, stride of the first repeat."""

CLASSES = 1000


def mobilenet_v2() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000. Batch norms stand behind all convolutions but the linear ones, which have a bias."""
    net = Net("mobilenet_v2", seed=2018)

    def conv_norm_relu6(
        x: str, name: str, channels: tuple[int, int], kernel: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        return net.relu6(net.conv_norm(x, name, channels, kernel, stride, group), f"{name}.relu6")

    x = conv_norm_relu6("input", "stem", (3, 32), kernel=3, stride=2)
    channels, block = 32, 0
    for expansion, out, repeats, first_stride in STAGES:
        for repeat in range(repeats):
            name, skip, stride = f"block{block}", x, first_stride if repeat == 0 else 1
            wide = channels * expansion
            if expansion > 1:
                x = conv_norm_relu6(x, f"{name}.expand", (channels, wide))
            x = conv_norm_relu6(x, f"{name}.depthwise", (wide, wide), kernel=3, stride=stride, group=wide)
            x = net.conv(x, f"{name}.project", (wide, out), gain=1.0)
            if stride == 1 and channels == out:
                x = net.add("Add", [skip, x], f"{name}.add")
            channels, block = out, block + 1
    x = conv_norm_relu6(x, "head", (channels, 1280))
    net.classifier(x, 1280, CLASSES)
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
