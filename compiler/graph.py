"""Graph: a model as named values and single-output nodes, with static shapes in ONNX axis order.

The op set is the canonical one that the passes leave behind:

- every op of `elementwise.TABLE`, with ONNX (numpy) broadcasting;
- ``Conv`` (x, w[, b]) with ``strides``, ``dilations``, ``pads`` (begins then ends) and ``group``;
- ``ConvTranspose`` (x, w[, b]) with ``strides``, ``dilations``, ``pads`` and ``group``; output padding is in the output's shape;
- ``MatMul`` (a, b), numpy semantics;
- ``MaxPool``, ``AveragePool`` (x) with ``kernel``, ``strides``, ``dilations``, ``pads`` and, for the average, ``count_include_pad``;
- ``ReduceSum``, ``ReduceMean``, ``ReduceMax``, ``ReduceMin`` (x) with ``axes`` and ``keepdims``;
- ``Reshape`` (x), ``Transpose`` (x; ``perm``), ``Pad`` (x; ``pads`` begins then ends, ``value``), ``Slice`` (x; ``starts``, ``steps``),
  ``Concat`` (x…; ``axis``), ``Expand`` (x): data movement, whose sizes are in the output's type;
- ``Gather`` (x, indices; ``axis``) by indices computed at run time: negative ones count from the end, others are forced into range;
- ``Resize`` (x; ``mode`` nearest or linear, ``coordinates`` half_pixel, asymmetric, align_corners or pytorch_half_pixel, ``rounding`` floor, ceil,
  round_prefer_floor or round_prefer_ceil, ``scales`` one float a dimension): ONNX's sampling grids.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from math import prod

import numpy as np

Attribute = int | float | str | tuple[int, ...] | tuple[float, ...]

MOVEMENT = frozenset({"Reshape", "Transpose", "Pad", "Slice", "Concat", "Expand"})
REDUCTIONS = frozenset({"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"})
ANCHORS = frozenset({"Conv", "ConvTranspose", "MatMul", "MaxPool", "AveragePool"}) | REDUCTIONS


def item_bytes(dtype: str) -> int:
    """Bytes of one element in memory."""
    return np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Type:
    """Element type (a numpy name such as ``float32``) and static shape of a value."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements, densely stored."""
        return self.size * item_bytes(self.dtype)

    def shaped(self, shape: tuple[int, ...]) -> Type:
        """The same elements in another shape."""
        return Type(self.dtype, shape)

    def __str__(self) -> str:
        return f"{self.dtype}[{','.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Node:
    """One operation. `name` is the model's own name for it, for messages and reports."""

    op: str
    inputs: tuple[str, ...]
    output: str
    attrs: tuple[tuple[str, Attribute], ...] = ()
    name: str = ""

    def attr(self, key: str) -> Attribute:
        """The attribute `key`; KeyError when the node has none."""
        return dict(self.attrs)[key]

    def ints(self, key: str) -> tuple[int, ...]:
        """The attribute `key` as a tuple of ints."""
        value = self.attr(key)
        assert isinstance(value, tuple), f"{self.op}.{key} is not a tuple"
        return tuple(int(v) for v in value)

    def __str__(self) -> str:
        attrs = " ".join(f"{k}={v}" for k, v in self.attrs)
        return f"{self.output} = {self.op}({', '.join(self.inputs)})" + (f" {{{attrs}}}" if attrs else "")


@dataclass(frozen=True)
class Graph:
    """A model: nodes in topological order, the type of every value, and the constants' data."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    types: Mapping[str, Type]
    constants: Mapping[str, np.ndarray] = field(repr=False)

    def producers(self) -> dict[str, Node]:
        """The node that makes each value that is neither an input nor a constant."""
        return {node.output: node for node in self.nodes}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, in order; a node that reads it twice is listed twice."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in node.inputs:
                readers.setdefault(value, []).append(node)
        return readers

    def __str__(self) -> str:
        lines = [f"graph {self.name}"]
        lines += [f"  input  {v}: {self.types[v]}" for v in self.inputs]
        lines += [f"  {node}: {self.types[node.output]}" for node in self.nodes]
        lines += [f"  output {v}: {self.types[v]}" for v in self.outputs]
        return "\n".join(lines)


def add_value(types: dict[str, Type], name: str, type_: Type) -> str:
    """Record `type_` in `types` under `name` or, where a model has a value of that name already, a longer one; what it is called now."""
    name = free_name(name, types)
    types[name] = type_
    return name


def free_name(name: str, taken: Container[str]) -> str:
    """`name` or, where it is taken, a longer one."""
    while name in taken:
        name += "'"
    return name


def verify(graph: Graph) -> Graph:
    """`graph` itself, after checking what every pass must keep: order, types, names. AssertionError names the node."""
    known = set(graph.inputs) | set(graph.constants)
    for value in known:
        assert value in graph.types, f"{value} has no type"
    for value, data in graph.constants.items():
        got = Type(data.dtype.name, tuple(data.shape))
        assert graph.types[value] == got, f"constant {value}: {graph.types[value]} is stored as {got}"
    for node in graph.nodes:
        for value in node.inputs:
            assert value in known, f"{node}: {value} is read before it is made"
        assert node.output not in known, f"{node}: {node.output} is made twice"
        assert node.output in graph.types, f"{node}: no type"
        known.add(node.output)
    for value in graph.outputs:
        assert value in known, f"output {value} is never made"
    return graph
