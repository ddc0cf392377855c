"""One-node and small models, imported and compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.graph import Graph, Type, verify
from fusekit.compiler.importers.onnx import import_onnx
from fusekit.compiler.interpret_graph import run_graph
from fusekit.compiler.passes import canonicalise
from fusekit.errors import UserError

Array = np.ndarray[Any, Any]
Importing = Callable[..., Graph]


def model_of(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, Array] | None = None,
    opset: int = 17,
    dtype: int = onnx.TensorProto.FLOAT,
    types: Mapping[str, int] | None = None,
) -> onnx.ModelProto:
    """A model whose outputs' shapes are left to inference; `types` are element types of inputs and outputs that are not `dtype` and float32."""
    types = types or {}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [
            helper.make_tensor_value_info(name, types.get(name, dtype), shape)
            for name, shape in inputs.items()
        ],
        [
            helper.make_tensor_value_info(name, types.get(name, onnx.TensorProto.FLOAT), None)
            for name in outputs
        ],
        [numpy_helper.from_array(data, name) for name, data in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def reference(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What ONNX Runtime computes, without its own optimizations."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def values_of(type_: Type, random: np.random.Generator) -> Array:
    """Small numbers of either sign, or truth values."""
    if type_.dtype == "float32":
        return random.uniform(-2, 2, type_.shape).astype(np.float32)
    lowest = 0 if type_.dtype in ("bool", "uint8") else -4
    return np.asarray(random.integers(lowest, 2 if type_.dtype == "bool" else 5, type_.shape)).astype(
        type_.dtype
    )


@pytest.fixture
def build() -> Callable[..., onnx.ModelProto]:
    """`model_of`."""
    return model_of


@pytest.fixture
def importing(tmp_path: Path) -> Importing:
    """A function that imports a ModelProto by way of a file."""

    def run(model: onnx.ModelProto, shapes: Mapping[str, tuple[int, ...]] | None = None) -> Graph:
        path = tmp_path / "model.onnx"
        onnx.save(model, str(path))
        return import_onnx(path, shapes or {})

    return run


@pytest.fixture
def agrees(importing: Importing) -> Callable[..., Graph]:
    """A function that checks the imported and the canonical graph of a model against ONNX Runtime and returns the canonical one."""

    def run(model: onnx.ModelProto, feeds: Mapping[str, Array] | None = None, rtol: float = 2e-6) -> Graph:
        imported = importing(model)
        random = np.random.default_rng(7)
        if feeds is None:
            feeds = {name: values_of(imported.types[name], random) for name in imported.inputs}
        want = reference(model, feeds)
        canonical = verify(canonicalise(imported))
        for stage, graph in (("imported", imported), ("canonical", canonical)):
            got = run_graph(graph, feeds)
            for name, expected in want.items():
                assert got[name].shape == expected.shape, f"{stage} {name}"
                assert got[name].dtype == expected.dtype, f"{stage} {name}"
                if expected.dtype != np.float32:
                    np.testing.assert_array_equal(got[name], expected, err_msg=f"{stage} {name}")
                    continue
                scale = float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
                np.testing.assert_allclose(
                    got[name], expected, rtol=0, atol=rtol * scale, err_msg=f"{stage} {name}"
                )
        return canonical

    return run


@pytest.fixture
def message(tmp_path: Path) -> Callable[..., str]:
    """A function that gives the text of the UserError for a model, or for what was written to ``m.onnx``, without the folder's name."""

    def run(model: onnx.ModelProto | None = None, shapes: Mapping[str, tuple[int, ...]] | None = None) -> str:
        path = tmp_path / "m.onnx"
        if model is not None:
            onnx.save(model, str(path))
        with pytest.raises(UserError) as caught:
            import_onnx(path, shapes or {})
        return str(caught.value).replace(f"{tmp_path}/", "")

    return run
