"""MobileNet (Howard et al., 2017) at width 1 and 224x224, as Keras has it: zeros padded at the end before every stride of 2."""

from __future__ import annotations

import onnx

from .net import Net

BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
"""Table 1 of the paper: output channels and stride of the depthwise separable blocks."""

CLASSES = 1000


def mobilenet_v1() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000, probabilities. Strided convolutions read a Pad node."""
    net = Net("mobilenet_v1", seed=2017)

    def conv_norm_relu6(
        x: str, name: str, channels: tuple[int, int], kernel: int, stride: int = 1, group: int = 1
    ) -> str:
        pads = (kernel // 2,) * 4
        if stride > 1:
            border = net.ints(f"{name}.border", 0, 0, 0, 0, 0, 0, 1, 1)
            x, pads = net.add("Pad", [x, border], f"{name}.pad", mode="constant"), (0, 0, 0, 0)
        x = net.conv(x, f"{name}.conv", channels, kernel, stride, pads, group, bias=False)
        return net.relu6(net.batch_norm(x, f"{name}.norm", channels[1]), f"{name}.relu6")

    x = conv_norm_relu6("input", "stem", (3, 32), 3, stride=2)
    channels = 32
    for block, (out, stride) in enumerate(BLOCKS):
        x = conv_norm_relu6(x, f"block{block}.depthwise", (channels, channels), 3, stride, channels)
        x = conv_norm_relu6(x, f"block{block}.pointwise", (channels, out), 1)
        channels = out
    x = net.classifier(x, channels, CLASSES, name="logits")
    net.add("Softmax", [x], "output", axis=-1)
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
