"""A Graph as an ONNX model, run by ONNX Runtime without its optimizations: the oracle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from fusekit.compiler.graph import REDUCTIONS, Graph, Node

Array = np.ndarray[Any, Any]

_ELEMENT = {"float32": onnx.TensorProto.FLOAT, "bool": onnx.TensorProto.BOOL, "int64": onnx.TensorProto.INT64}


def reference(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs of `graph` by name."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model_of(graph).SerializeToString(), options)
    return dict(zip(graph.outputs, session.run(list(graph.outputs), dict(feeds)), strict=True))


def model_of(graph: Graph) -> onnx.ModelProto:
    """`graph` as a model of opset 20, whose values keep their names."""
    writer = _Writer(graph)
    for node in graph.nodes:
        writer.add(node)
    made = helper.make_graph(
        writer.nodes,
        graph.name,
        [_info(graph, name) for name in graph.inputs],
        [_info(graph, name) for name in graph.outputs],
        [
            numpy_helper.from_array(data, name)
            for name, data in {**graph.constants, **writer.constants}.items()
        ],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def _info(graph: Graph, name: str) -> onnx.ValueInfoProto:
    type_ = graph.types[name]
    return helper.make_tensor_value_info(name, _ELEMENT[type_.dtype], type_.shape)


class _Writer:
    """Nodes in ONNX's terms, with the constants that these need as inputs."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}

    def add(self, node: Node) -> None:
        """Append what computes `node`."""
        match node.op:
            case "Reshape" | "Expand":
                self._node(node, self._ints(self.graph.types[node.output].shape))
            case "Slice":
                self._slice(node)
            case "Pad":
                fill = self._constant(np.asarray(node.attr("value"), np.float32))
                self._node(node, self._ints(node.ints("pads")), fill)
            case "Swish":
                self._swish(node)
            case "MaxPool" | "AveragePool":
                attrs = dict(node.attrs)
                attrs["kernel_shape"] = attrs.pop("kernel")
                self._node(node, attrs=attrs)
            case op if op in REDUCTIONS:
                self._node(node, self._ints(node.ints("axes")), attrs={"keepdims": node.attr("keepdims")})
            case _:
                self._node(node, attrs=dict(node.attrs))

    def _node(self, node: Node, *more: str, attrs: Mapping[str, Any] | None = None) -> None:
        self.nodes.append(
            helper.make_node(node.op, [*node.inputs, *more], [node.output], node.name, **(attrs or {}))
        )

    def _slice(self, node: Node) -> None:
        starts, steps = node.ints("starts"), node.ints("steps")
        shape = self.graph.types[node.output].shape
        lowest = np.iinfo(np.int64).min
        ends = [s + (n - 1) * t + (1 if t > 0 else -1) for s, n, t in zip(starts, shape, steps, strict=True)]
        ends = [end if end >= 0 else lowest for end in ends]
        axes = range(len(shape))
        self._node(node, self._ints(starts), self._ints(ends), self._ints(axes), self._ints(steps))

    def _swish(self, node: Node) -> None:
        (x,) = node.inputs
        alpha = self._constant(np.asarray(node.attr("alpha"), np.float32))
        scaled, sigmoid = f"{node.output}/scaled", f"{node.output}/sigmoid"
        self.nodes += [
            helper.make_node("Mul", [x, alpha], [scaled]),
            helper.make_node("Sigmoid", [scaled], [sigmoid]),
            helper.make_node("Mul", [x, sigmoid], [node.output]),
        ]

    def _ints(self, values: Any) -> str:
        return self._constant(np.asarray(list(values), np.int64))

    def _constant(self, data: Array) -> str:
        name = f"constant/{len(self.constants)}"
        self.constants[name] = data
        return name
