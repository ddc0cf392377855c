"""A net with the structure of BlazeFace (Bazarevsky et al., 2019), MediaPipe's short-range face detector."""

from __future__ import annotations

import onnx

from .blaze_block import blaze_block
from .net import Net

FINE = ((24, 1), (28, 1), (32, 2), (36, 1), (42, 1), (48, 2), (56, 1), (64, 1), (72, 1), (80, 1), (88, 1))
COARSE = ((96, 2), (96, 1), (96, 1), (96, 1), (96, 1))
"""Output channels and stride of the blocks down to 16 rows, and from there to 8."""

ANCHORS = ((88, 16, 2), (96, 8, 6))
"""Channels, rows and boxes per pixel of the two feature maps."""

COORDINATES = 16


def blazeface_like() -> onnx.ModelProto:
    """``input`` 1x3x128x128 to ``boxes`` 1x896x16 and ``scores`` 1x896x1, for two feature maps side by side."""
    net = Net("blazeface_like", seed=896)
    maps = []
    x = net.relu(net.conv("input", "stem.conv", (3, 24), 5, 2, (1, 1, 2, 2)), "stem.relu")
    channels, block = 24, 0
    for stage in (FINE, COARSE):
        for out, stride in stage:
            x = blaze_block(net, x, f"block{block}", (channels, out), stride)
            x = net.relu(x, f"block{block}.relu")
            channels, block = out, block + 1
        maps.append(x)

    def head(name: str, values: int) -> str:
        parts = []
        for x, (channels, rows, boxes) in zip(maps, ANCHORS, strict=True):
            part = net.conv(x, f"{name}{rows}.conv", (channels, boxes * values))
            part = net.add("Transpose", [part], f"{name}{rows}.channels_last", perm=[0, 2, 3, 1])
            shape = net.ints(f"{name}{rows}.shape", 1, rows * rows * boxes, values)
            parts.append(net.add("Reshape", [part, shape], f"{name}{rows}"))
        return net.add("Concat", parts, name, axis=1)

    count = sum(rows * rows * boxes for _, rows, boxes in ANCHORS)
    outputs = {head("boxes", COORDINATES): (1, count, COORDINATES), head("scores", 1): (1, count, 1)}
    return net.model({"input": (1, 3, 128, 128)}, outputs)
