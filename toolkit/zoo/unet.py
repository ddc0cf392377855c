"""U-Net (Ronneberger et al., 2015), small: a segmentation mask of 128x128, by transposed convolutions or by resizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx

from .net import Net

WIDTHS = (16, 32, 64, 128)
"""Channels at 128, 64, 32 and 16 rows."""

Up = Callable[[Net, str, str, tuple[int, int]], str]


def unet() -> onnx.ModelProto:
    """``input`` 1x3x128x128 to ``output`` 1x1x128x128, probabilities: 2x2 transposed convolutions lead up."""
    return _unet(Net("unet", seed=128), _transposed)


def unet_resize() -> onnx.ModelProto:
    """``input`` 1x3x128x128 to ``output`` 1x1x128x128, probabilities: bilinear resizing and a 1x1 convolution lead up."""
    return _unet(Net("unet_resize", seed=129), _resized)


def _transposed(net: Net, x: str, name: str, channels: tuple[int, int]) -> str:
    weight = net.spread(f"{name}.weight", (*channels, 2, 2), channels[0] ** -0.5)
    bias = net.spread(f"{name}.bias", (channels[1],), 0.1)
    return net.add("ConvTranspose", [x, weight, bias], name, kernel_shape=[2, 2], strides=[2, 2])


def _resized(net: Net, x: str, name: str, channels: tuple[int, int]) -> str:
    scales = net.weight(f"{name}.scales", np.array([1.0, 1.0, 2.0, 2.0]))
    x = net.add(
        "Resize",
        [x, "", scales],
        f"{name}.resize",
        mode="linear",
        coordinate_transformation_mode="half_pixel",
    )
    return net.conv(x, name, channels, gain=1.0)


def _unet(net: Net, up: Up) -> onnx.ModelProto:
    def twice(x: str, name: str, channels: tuple[int, int]) -> str:
        x = net.relu(net.conv_norm(x, f"{name}.a", channels, 3), f"{name}.a.relu")
        return net.relu(net.conv_norm(x, f"{name}.b", (channels[1], channels[1]), 3), f"{name}.b.relu")

    x, channels, skips = "input", 3, []
    for level, width in enumerate(WIDTHS):
        if level > 0:
            x = net.add("MaxPool", [x], f"down{level}.pool", kernel_shape=[2, 2], strides=[2, 2])
        x = twice(x, f"down{level}", (channels, width))
        skips.append(x)
        channels = width
    for level in reversed(range(len(WIDTHS) - 1)):
        width = WIDTHS[level]
        x = up(net, x, f"up{level}", (channels, width))
        x = net.add("Concat", [skips[level], x], f"up{level}.concat", axis=1)
        x = twice(x, f"up{level}", (2 * width, width))
        channels = width
    net.add("Sigmoid", [net.conv(x, "mask", (channels, 1), gain=1.0)], "output")
    return net.model({"input": (1, 3, 128, 128)}, {"output": (1, 1, 128, 128)})
