"""MobileNetV3-Large (Howard et al., 2019) at 224x224: inverted residuals with hard swish and squeeze-and-excitation."""

from __future__ import annotations

import onnx

from .net import Net

BLOCKS = (
    (3, 16, 16, 0, "Relu", 1),
    (3, 64, 24, 0, "Relu", 2),
    (3, 72, 24, 0, "Relu", 1),
    (5, 72, 40, 24, "Relu", 2),
    (5, 120, 40, 32, "Relu", 1),
    (5, 120, 40, 32, "Relu", 1),
    (3, 240, 80, 0, "HardSwish", 2),
    (3, 200, 80, 0, "HardSwish", 1),
    (3, 184, 80, 0, "HardSwish", 1),
    (3, 184, 80, 0, "HardSwish", 1),
    (3, 480, 112, 120, "HardSwish", 1),
    (3, 672, 112, 168, "HardSwish", 1),
    (5, 672, 160, 168, "HardSwish", 2),
    (5, 960, 160, 240, "HardSwish", 1),
    (5, 960, 160, 240, "HardSwish", 1),
)
"""Table 1 of the paper: kernel, expanded and output channels, squeezed channels (0: none), activation, stride."""

CLASSES = 1000


def mobilenet_v3_large() -> onnx.ModelProto:
    """``input`` 1x3x224x224 to ``output`` 1x1000."""
    net = Net("mobilenet_v3_large", seed=2019)

    def squeeze_excite(x: str, name: str, channels: int, squeezed: int) -> str:
        scale = net.add("GlobalAveragePool", [x], f"{name}.pool")
        scale = net.relu(net.conv(scale, f"{name}.squeeze", (channels, squeezed)), f"{name}.relu")
        scale = net.conv(scale, f"{name}.excite", (squeezed, channels))
        scale = net.add("HardSigmoid", [scale], f"{name}.gate", alpha=1 / 6, beta=0.5)
        return net.add("Mul", [scale, x], f"{name}.scale")

    x = net.add("HardSwish", [net.conv_norm("input", "stem", (3, 16), 3, 2)], "stem.act")
    channels = 16
    for block, (kernel, wide, out, squeezed, activation, stride) in enumerate(BLOCKS):
        name, skip = f"block{block}", x
        if wide != channels:
            x = net.conv_norm(x, f"{name}.expand", (channels, wide))
            x = net.add(activation, [x], f"{name}.expand.act")
        x = net.conv_norm(x, f"{name}.depthwise", (wide, wide), kernel, stride, group=wide)
        x = net.add(activation, [x], f"{name}.depthwise.act")
        if squeezed:
            x = squeeze_excite(x, f"{name}.se", wide, squeezed)
        x = net.conv_norm(x, f"{name}.project", (wide, out), gain=1.0)
        if stride == 1 and channels == out:
            x = net.add("Add", [x, skip], f"{name}.add")
        channels = out
    x = net.add("HardSwish", [net.conv_norm(x, "head", (channels, 960))], "head.act")
    x = net.classifier(x, 960, 1280, name="hidden")
    net.dense(net.add("HardSwish", [x], "hidden.act"), "output", (1280, CLASSES))
    return net.model({"input": (1, 3, 224, 224)}, {"output": (1, CLASSES)})
