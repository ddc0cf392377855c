"""A net with the structure of MediaPipe's face landmark model: depthwise residual blocks with PReLU behind the addition."""

from __future__ import annotations

import onnx

from .blaze_block import blaze_block
from .net import Net

STAGES = (16, 32, 64, 128, 128, 128)
"""Channels at 96, 48, 24, 12, 6 and 3 rows."""

LANDMARKS = 468


def face_landmark_like() -> onnx.ModelProto:
    """``input`` 1x192x192x3 (channels last) to ``landmarks`` 1x1x1x1404 and ``score`` 1x1x1x1."""
    net = Net("face_landmark_like", seed=468)

    def prelu(x: str, name: str, channels: int) -> str:
        return net.add("PRelu", [x, net.uniform(f"{name}.slope", (1, channels, 1, 1), 0.05, 0.45)], name)

    def residual(x: str, name: str, channels: tuple[int, int], stride: int = 1) -> str:
        return prelu(blaze_block(net, x, name, channels, stride), f"{name}.prelu", channels[1])

    def head(x: str, name: str, out: int) -> str:
        x = prelu(net.conv(x, f"{name}.reduce", (STAGES[-1], 32)), f"{name}.prelu", 32)
        x = residual(x, f"{name}.block", (32, 32))
        x = net.conv(x, f"{name}.conv", (32, out), 3, 3)
        return net.add("Reshape", [x, net.ints(f"{name}.shape", 1, 1, 1, out)], name)

    x = net.add("Transpose", ["input"], "to_channels_first", perm=[0, 3, 1, 2])
    x = prelu(net.conv(x, "stem.conv", (3, STAGES[0]), 3, 2, (0, 0, 1, 1)), "stem.prelu", STAGES[0])
    channels = STAGES[0]
    for stage, out in enumerate(STAGES):
        if stage > 0:
            x = residual(x, f"stage{stage}.down", (channels, out), stride=2)
        for block in range(2):
            x = residual(x, f"stage{stage}.block{block}", (out, out))
        channels = out
    landmarks, score = head(x, "landmarks", 3 * LANDMARKS), head(x, "score", 1)
    return net.model({"input": (1, 192, 192, 3)}, {landmarks: (1, 1, 1, 3 * LANDMARKS), score: (1, 1, 1, 1)})
