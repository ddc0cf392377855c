"""The residual block of MediaPipe's face nets (Bazarevsky et al., 2019): a depthwise and a pointwise convolution beside a skip.

Where the resolution halves, the skip is a max-pool and zero channels are padded onto it; the depthwise convolution there has stride 2
and pads at the end only, as TensorFlow's SAME gives on an even size.
"""

from __future__ import annotations

from .net import Net


def blaze_block(net: Net, x: str, name: str, channels: tuple[int, int], stride: int = 1) -> str:
    """The sum of skip and convolutions, before the activation; `channels` (in, out) may only grow."""
    skip = x
    pads = (1, 1, 1, 1) if stride == 1 else (0, 0, 1, 1)
    x = net.conv(x, f"{name}.depthwise", (channels[0], channels[0]), 3, stride, pads, channels[0], gain=1.0)
    x = net.conv(x, f"{name}.pointwise", channels, gain=0.25)
    if stride > 1:
        skip = net.add("MaxPool", [skip], f"{name}.pool", kernel_shape=[2, 2], strides=[2, 2])
    if channels[0] != channels[1]:
        border = net.ints(f"{name}.border", 0, 0, 0, 0, 0, channels[1] - channels[0], 0, 0)
        skip = net.add("Pad", [skip, border], f"{name}.pad", mode="constant")
    return net.add("Add", [skip, x], f"{name}.add")
