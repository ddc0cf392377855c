"""ShuffleNetV2 (Ma et al., 2018) at width 1 and 224x224: half of the channels pass by, and a shuffle mixes the halves."""

from __future__ import annotations

import onnx

from .net import Net

STAGES = ((116, 4), (232, 8), (464, 4))
"""Table 5 of the paper: output channels and units of the stages, at 28, 14 and 7 rows."""

CLASSES = 1000


def shufflenet_v2() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000. A shuffle is Reshape, Transpose, Reshape."""
    net = Net("shufflenet_v2", seed=2021)

    def conv_norm_relu(x: str, name: str, channels: tuple[int, int], kernel: int = 1, stride: int = 1) -> str:
        return net.relu(net.conv_norm(x, name, channels, kernel, stride), f"{name}.relu")

    def depthwise(x: str, name: str, channels: int, stride: int) -> str:
        return net.conv_norm(x, name, (channels, channels), 3, stride, group=channels, gain=1.0)

    def branch(x: str, name: str, channels: tuple[int, int], stride: int) -> str:
        x = conv_norm_relu(x, f"{name}.in", channels)
        x = depthwise(x, f"{name}.depthwise", channels[1], stride)
        return conv_norm_relu(x, f"{name}.out", (channels[1], channels[1]))

    def shuffle(x: str, name: str, channels: int, rows: int) -> str:
        apart = net.ints(f"{name}.apart", 1, 2, channels // 2, rows, rows)
        x = net.add("Reshape", [x, apart], f"{name}.groups")
        x = net.add("Transpose", [x], f"{name}.transpose", perm=[0, 2, 1, 3, 4])
        return net.add("Reshape", [x, net.ints(f"{name}.whole", 1, channels, rows, rows)], name)

    x = conv_norm_relu("input", "stem", (3, 24), 3, 2)
    x = net.add("MaxPool", [x], "stem.pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels, rows = 24, 56
    for stage, (out, units) in enumerate(STAGES):
        half, rows = out // 2, rows // 2
        for unit in range(units):
            name = f"stage{stage}.unit{unit}"
            if unit == 0:
                left = depthwise(x, f"{name}.skip.depthwise", channels, 2)
                left = conv_norm_relu(left, f"{name}.skip.out", (channels, half))
                right = branch(x, f"{name}.branch", (channels, half), 2)
            else:
                halves = [f"{name}.left", f"{name}.right"]
                left, right = net.add_many("Split", [x], f"{name}.split", halves, axis=1)
                right = branch(right, f"{name}.branch", (half, half), 1)
            x = net.add("Concat", [left, right], f"{name}.concat", axis=1)
            x = shuffle(x, f"{name}.shuffle", out, rows)
        channels = out
    x = conv_norm_relu(x, "head", (channels, 1024))
    x = net.add("ReduceMean", [x], "pool", axes=[2, 3], keepdims=0)
    net.dense(x, "output", (1024, CLASSES))
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
