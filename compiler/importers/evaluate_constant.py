"""Nodes whose inputs are all known, evaluated at import by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import onnx
import onnxruntime

RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)


def is_constant(node: onnx.NodeProto, constants: Collection[str], shaped: Collection[str]) -> bool:
    """Whether every output of `node` is known at import, given the names of the constants and of the values of known shape."""
    if node.op_type in RANDOM or any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute):
        return False
    known = shaped if node.op_type in ("Shape", "Size") else constants
    return all(name in known for name in node.input if name)


def evaluate(
    node: onnx.NodeProto, inputs: Mapping[str, np.ndarray], opset_imports: list[onnx.OperatorSetIdProto]
) -> dict[str, np.ndarray]:
    """The outputs of `node` by name; `inputs` has an array for every named input. Raises what ONNX Runtime raises."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        return {node.output[0]: onnx.numpy_helper.to_array(node.attribute[0].t)}
    outputs = [name for name in node.output if name]
    graph = onnx.helper.make_graph(
        [node],
        "constant",
        [
            onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in inputs.items()
        ],
        [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in outputs],
    )
    model = onnx.helper.make_model(graph, opset_imports=opset_imports, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(outputs, map(np.asarray, session.run(outputs, dict(inputs))), strict=True))
