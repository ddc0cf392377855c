"""Small graphs for tests of fusion, built directly in the canonical op set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fusekit.compiler.graph import Attribute, Graph, Node, Type, verify


@dataclass
class Net:
    """Grows a graph node by node; every method returns the name of the new value."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))
    nodes: list[Node] = field(default_factory=list)
    types: dict[str, Type] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: list[str] = field(default_factory=list)

    def input(self, *shape: int) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(name)
        self.types[name] = Type("float32", shape)
        return name

    def constant(self, *shape: int) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = self.rng.uniform(-1, 1, shape).astype(np.float32)
        self.types[name] = Type("float32", shape)
        return name

    def node(self, op: str, shape: tuple[int, ...], *inputs: str, **attrs: Attribute) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(Node(op, inputs, name, tuple(attrs.items()), name))
        self.types[name] = Type("float32", shape)
        return name

    def conv(
        self, x: str, channels: int, kernel: int = 1, stride: int = 1, group: int = 1,
        pad: int | tuple[int, ...] | None = None,
    ) -> str:  # fmt: skip
        n, c, *size = self.types[x].shape
        pads = pad if isinstance(pad, tuple) else (kernel // 2 if pad is None else pad,) * 4
        out = tuple(
            (extent + before + after - kernel) // stride + 1
            for extent, before, after in zip(size, pads[:2], pads[2:], strict=True)
        )
        weights, bias = self.constant(channels, c // group, kernel, kernel), self.constant(channels)
        return self.node(
            "Conv", (n, channels, *out), x, weights, bias,
            strides=(stride, stride), dilations=(1, 1), pads=pads, group=group,
        )  # fmt: skip

    def unary(self, op: str, x: str, **attrs: float) -> str:
        return self.node(op, self.types[x].shape, x, **attrs)

    def binary(self, op: str, a: str, b: str) -> str:
        shape = np.broadcast_shapes(self.types[a].shape, self.types[b].shape)
        return self.node(op, tuple(shape), a, b)

    def graph(self, *outputs: str) -> Graph:
        return verify(
            Graph("net", tuple(self.inputs), outputs, tuple(self.nodes), self.types, self.constants)
        )

    def feeds(self) -> Mapping[str, np.ndarray]:
        return {
            name: self.rng.uniform(-1, 1, self.types[name].shape).astype(np.float32) for name in self.inputs
        }
