"""ResNet-18 and ResNet-50 (He et al., 2016) at 224x224, the stride of a bottleneck in its 3x3 convolution."""

from __future__ import annotations

import onnx

from .net import Net

WIDTHS = (64, 128, 256, 512)
CLASSES = 1000


def resnet18() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000: blocks of two 3x3 convolutions."""
    return _resnet(Net("resnet18", seed=18), (2, 2, 2, 2), bottleneck=False)


def resnet50() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000: bottlenecks of 1x1, 3x3 and 1x1 convolutions."""
    return _resnet(Net("resnet50", seed=50), (3, 4, 6, 3), bottleneck=True)


def _resnet(net: Net, repeats: tuple[int, int, int, int], bottleneck: bool) -> onnx.ModelProto:
    x = net.relu(net.conv_norm("input", "stem", (3, 64), 7, 2), "stem.relu")
    x = net.add("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for stage, (width, count) in enumerate(zip(WIDTHS, repeats, strict=True)):
        out = 4 * width if bottleneck else width
        for block in range(count):
            name, stride = f"stage{stage}.block{block}", 2 if stage > 0 and block == 0 else 1
            skip = x
            if stride > 1 or channels != out:
                skip = net.conv_norm(x, f"{name}.down", (channels, out), 1, stride, gain=1.0)
            x = _branch(net, x, name, (channels, width), stride, bottleneck)
            x = net.relu(net.add("Add", [x, skip], f"{name}.add"), f"{name}.relu")
            channels = out
    net.classifier(x, channels, CLASSES)
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})


def _branch(net: Net, x: str, name: str, channels: tuple[int, int], stride: int, bottleneck: bool) -> str:
    """The convolutions beside the skip; `channels` are the input's and the block's width."""
    before, width = channels
    if not bottleneck:
        x = net.relu(net.conv_norm(x, f"{name}.a", (before, width), 3, stride), f"{name}.a.relu")
        return net.conv_norm(x, f"{name}.b", (width, width), 3, gain=0.5)
    x = net.relu(net.conv_norm(x, f"{name}.a", (before, width)), f"{name}.a.relu")
    x = net.relu(net.conv_norm(x, f"{name}.b", (width, width), 3, stride), f"{name}.b.relu")
    return net.conv_norm(x, f"{name}.c", (width, 4 * width), gain=0.5)
