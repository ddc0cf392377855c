"""Draft: an ONNX model in the making whose values are computed as its nodes are added.

Shapes, magnitudes and the spread of what a normalization divides by are then known, so that tolerances are derived from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.capi.onnxruntime_pybind11_state import (
    Fail,
    InvalidArgument,
    NotImplemented,
    RuntimeException,
)

from .net import EPS

Array = np.ndarray[Any, Any]

OPSET = 21
IR_VERSION = 10


@dataclass(frozen=True)
class Tensor:
    """A value of the model with its elements and how far two float32 evaluations of it may be apart."""

    name: str
    data: Array
    error: float = 0.0

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def rank(self) -> int:
        return self.data.ndim

    @property
    def bound(self) -> float:
        """The largest magnitude of the elements."""
        return float(np.abs(self.data.astype(np.float64)).max(initial=0.0))


Error = float | Callable[[Array], float]
"""The error of a node's result, or what tells it from the result's elements."""


@dataclass(frozen=True)
class ModelCase:
    """A model with inputs to run it on and the tolerance of each output."""

    model: onnx.ModelProto
    feeds: Mapping[str, Array]
    tolerances: Mapping[str, float]

    def _repr_pretty_(self, printer: Any, _cycle: bool) -> None:
        printer.text(f"ModelCase of {len(self.model.graph.node)} nodes")

    def __str__(self) -> str:
        return onnx.printer.to_text(self.model)


class Refused(Exception):
    """A node that ONNX Runtime does not run."""


class Draft:
    """Nodes and values; random data comes from one seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Tensor] = {}
        self.inputs: list[str] = []
        self.constants: list[str] = []
        self.marked: set[str] = set()

    def input(self, *shape: int, bound: float = 2.0) -> Tensor:
        """A new float32 input with uniform elements."""
        return self.fed(self.random.uniform(-bound, bound, shape).astype(np.float32))

    def fed(self, data: Array) -> Tensor:
        """A new input that is run with `data`."""
        self.inputs.append(f"x{len(self.inputs)}")
        return self._tensor(self.inputs[-1], data)

    def constant(self, data: Array | float) -> Tensor:
        """A new float32 constant."""
        return self.exactly(np.asarray(data, np.float32))

    def exactly(self, data: Array) -> Tensor:
        """A new constant of the type that `data` has."""
        self.constants.append(f"c{len(self.constants)}")
        return self._tensor(self.constants[-1], data)

    def ints(self, *values: int) -> Tensor:
        """A new constant vector of int64."""
        return self.exactly(np.asarray(values, np.int64))

    def uniform(self, *shape: int, bound: float = 1.0) -> Tensor:
        """A new float32 constant with uniform elements."""
        return self.constant(self.random.uniform(-bound, bound, shape))

    def node(self, op: str, operands: Sequence[Tensor | None], error: Error = 0.0, **attrs: Any) -> Tensor:
        """The result of a new node; a None among the operands is one left out."""
        return self.nodes_of(op, operands, 1, error, **attrs)[0]

    def nodes_of(
        self, op: str, operands: Sequence[Tensor | None], results: int, error: Error = 0.0, **attrs: Any
    ) -> list[Tensor]:
        """All `results` of a new node. Refused where ONNX Runtime does not run it."""
        outputs = [f"v{len(self.nodes)}" if i == 0 else f"v{len(self.nodes)}_{i}" for i in range(results)]
        names = ["" if t is None else t.name for t in operands]
        proto = helper.make_node(op, names, outputs, f"{op}_{len(self.nodes)}", **attrs)
        arrays = _evaluate(proto, {t.name: t.data for t in operands if t is not None})
        self.nodes.append(proto)
        return [
            self._tensor(name, data, error(data) if callable(error) else error)
            for name, data in zip(outputs, arrays, strict=True)
        ]

    def _tensor(self, name: str, data: Array, error: float = 0.0) -> Tensor:
        self.tensors[name] = Tensor(name, data, error)
        return self.tensors[name]

    def case(self) -> ModelCase:
        """The model; its outputs are the marked values and all that nothing reads."""
        read = {name for node in self.nodes for name in node.input}
        made = [name for node in self.nodes for name in node.output]
        outputs = [name for name in made if name in self.marked or name not in read]
        inputs = [name for name in self.inputs if name in read]
        graph = helper.make_graph(
            self.nodes,
            "random",
            [_info(self.tensors[name]) for name in inputs],
            [_info(self.tensors[name]) for name in outputs],
            [
                numpy_helper.from_array(self.tensors[name].data, name)
                for name in self.constants
                if name in read
            ],
        )
        tolerances = {name: 4 * self.tensors[name].error + 1e-30 for name in outputs}
        return ModelCase(_model(graph), {n: self.tensors[n].data for n in inputs}, tolerances)


def run_onnxruntime(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `model` by name, computed by ONNX Runtime without its optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def rounding(bound: float) -> float:
    """How far two evaluations of a function with exact operands may be apart."""
    return 8 * EPS * max(bound, 1e-3)


def products(terms: int, weight: float, error: float, bound: float) -> float:
    """The error of a sum of products whose weights have magnitudes that add up to `weight`."""
    return weight * error + 2 * EPS * (sqrt(terms) + 2) * weight * bound


def _evaluate(proto: onnx.NodeProto, feeds: Mapping[str, Array]) -> list[Array]:
    inputs = [helper.make_tensor_value_info(n, _element(d), d.shape) for n, d in feeds.items()]
    outputs = [onnx.ValueInfoProto(name=name) for name in proto.output]
    try:
        found = run_onnxruntime(_model(helper.make_graph([proto], "one", inputs, outputs)), feeds)
    except (Fail, InvalidArgument, NotImplemented, RuntimeException) as error:
        raise Refused(f"{proto.op_type}: {error}") from error
    return [np.asarray(found[name]) for name in proto.output]


def _model(graph: onnx.GraphProto) -> onnx.ModelProto:
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _info(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, _element(tensor.data), tensor.shape)


def _element(data: Array) -> int:
    return helper.np_dtype_to_tensor_dtype(data.dtype)
