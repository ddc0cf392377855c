"""Every op of the table, and the functions whose errors are stated, as AVX-512 code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.graph import Graph, Node, Type

from ..compiler.elementwise.accuracy import UNARY, expected, sample, ulp_error
from ..compiler.elementwise.definition import Array, evaluate
from ..compiler.elementwise.onnx_check import inputs_of, required_attributes
from .graph_bundle import graph_bundle
from .guest import boot
from .image import Job


def one_op(op: str, inputs: Sequence[Array], dtype: str, attrs: Mapping[str, Any]) -> Job:
    """The op alone on `inputs`; `dtype` is the result's."""
    feeds = {f"x{i}": array for i, array in enumerate(inputs)}
    types = {name: Type(array.dtype.name, array.shape) for name, array in feeds.items()}
    node = Node(op, tuple(feeds), "y", tuple(attrs.items()), op)
    graph = Graph(op, tuple(feeds), ("y",), (node,), types | {"y": Type(dtype, inputs[0].shape)}, {})
    return Job(graph_bundle(graph), feeds)


def test_every_op_computes_what_the_interpreter_does(tmp_path: Path) -> None:
    inputs = {op: inputs_of(op) for op in TABLE}
    want = {op: evaluate(TABLE[op], *inputs[op]) for op in TABLE}
    jobs = [one_op(op, inputs[op], want[op].dtype.name, required_attributes(op)) for op in TABLE]
    for op, got in zip(TABLE, boot(jobs, tmp_path).outputs, strict=True):
        np.testing.assert_allclose(np.asarray(got["y"], want[op].dtype), want[op], 1e-6, 1e-6, err_msg=op)


def test_largest_errors_are_as_stated(tmp_path: Path) -> None:
    x = sample()[::4]
    jobs = [one_op(function.op, [x], "float32", function.attrs) for function in UNARY.values()]
    for (name, function), got in zip(UNARY.items(), boot(jobs, tmp_path).outputs, strict=True):
        error = ulp_error(got["y"], expected(function, x))
        assert error.max() <= function.bound, f"{name} of {x[np.argmax(error)]}"
