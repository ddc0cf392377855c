"""A vision transformer (Dosovitskiy et al., 2021), tiny: 36 patches of a 96x96 image and a class token, two blocks of two heads."""

from __future__ import annotations

from math import sqrt

import onnx

from .net import Net

PATCH, SIDE = 16, 6
WIDTH, HEADS, HIDDEN = 64, 2, 256
BLOCKS = 2
TOKENS = SIDE * SIDE + 1
CLASSES = 100


def vit_tiny() -> onnx.ModelProto:
    """``input`` 1x3x96x96 to ``output`` 1x100. GELU is written out with Erf, as exporters do."""
    net = Net("vit_tiny", seed=2022)
    x = net.conv("input", "patches", (3, WIDTH), PATCH, PATCH, gain=1.0)
    x = net.add("Reshape", [x, net.ints("patches.shape", 1, WIDTH, SIDE * SIDE)], "patches.flat")
    x = net.add("Transpose", [x], "patches.tokens", perm=[0, 2, 1])
    x = net.add("Concat", [net.spread("class_token", (1, 1, WIDTH), 1.0), x], "tokens", axis=1)
    x = net.add("Add", [x, net.spread("position", (1, TOKENS, WIDTH), 0.2)], "embedded")
    for block in range(BLOCKS):
        name = f"block{block}"
        inner = _attention(net, _layer_norm(net, x, f"{name}.norm1"), f"{name}.attention")
        x = net.add("Add", [x, inner], f"{name}.add1")
        inner = _linear(net, _layer_norm(net, x, f"{name}.norm2"), f"{name}.fc1", (WIDTH, HIDDEN))
        inner = _linear(net, _gelu(net, inner, f"{name}.gelu"), f"{name}.fc2", (HIDDEN, WIDTH))
        x = net.add("Add", [x, inner], f"{name}.add2")
    x = _layer_norm(net, x, "norm")
    x = net.add("Gather", [x, net.ints("first", 0)], "class", axis=1)
    x = net.add("Squeeze", [x, net.ints("token_axis", 1)], "class.features")
    net.dense(x, "output", (WIDTH, CLASSES))
    return net.model({"input": (1, 3, PATCH * SIDE, PATCH * SIDE)}, {"output": (1, CLASSES)})


def _layer_norm(net: Net, x: str, name: str) -> str:
    scale, shift = (
        net.uniform(f"{name}.scale", (WIDTH,), 0.8, 1.2),
        net.spread(f"{name}.shift", (WIDTH,), 0.1),
    )
    return net.add("LayerNormalization", [x, scale, shift], name, axis=-1, epsilon=1e-6)


def _linear(net: Net, x: str, name: str, features: tuple[int, int]) -> str:
    """A fully connected layer on every token."""
    x = net.add("MatMul", [x, net.spread(f"{name}.weight", features, features[0] ** -0.5)], f"{name}.matmul")
    return net.add("Add", [net.spread(f"{name}.bias", (features[1],), 0.1), x], name)


def _attention(net: Net, x: str, name: str) -> str:
    """Queries, keys and values come from one product and are split from it."""
    x = _linear(net, x, f"{name}.qkv", (WIDTH, 3 * WIDTH))
    x = net.add(
        "Reshape", [x, net.ints(f"{name}.shape", 1, TOKENS, 3, HEADS, WIDTH // HEADS)], f"{name}.heads"
    )
    x = net.add("Transpose", [x], f"{name}.apart", perm=[2, 0, 3, 1, 4])
    parts = net.add_many("Split", [x], f"{name}.split", [f"{name}.{part}" for part in "qkv"], axis=0)
    axis = net.ints(f"{name}.axis", 0)
    query, key, value = (net.add("Squeeze", [part, axis], f"{part}.squeezed") for part in parts)
    query = net.add("Mul", [query, net.scalar("attention.scale", (WIDTH / HEADS) ** -0.5)], f"{name}.scaled")
    key = net.add("Transpose", [key], f"{name}.transposed", perm=[0, 1, 3, 2])
    weights = net.add(
        "Softmax", [net.add("MatMul", [query, key], f"{name}.scores")], f"{name}.softmax", axis=-1
    )
    x = net.add("MatMul", [weights, value], f"{name}.mixed")
    x = net.add("Transpose", [x], f"{name}.together", perm=[0, 2, 1, 3])
    x = net.add("Reshape", [x, net.ints(f"{name}.flat", 1, TOKENS, WIDTH)], f"{name}.concat")
    return _linear(net, x, f"{name}.out", (WIDTH, WIDTH))


def _gelu(net: Net, x: str, name: str) -> str:
    """``x * (1 + erf(x / sqrt(2))) * 0.5``."""
    inner = net.add("Div", [x, net.scalar("gelu.root", sqrt(2))], f"{name}.div")
    inner = net.add(
        "Add", [net.add("Erf", [inner], f"{name}.erf"), net.scalar("gelu.one", 1.0)], f"{name}.add"
    )
    inner = net.add("Mul", [x, inner], f"{name}.mul")
    return net.add("Mul", [inner, net.scalar("gelu.half", 0.5)], name)
