"""Every op from floats to a float before a convolution and after one, fused and compared with ONNX Runtime."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.compile import Options, compile_model
from fusekit.compiler.elementwise import TABLE

from ...emulated.run_bundles import check_against_reference, run_bundles
from .onnx_check import arity, dtypes_of

OPSET = 23
SHAPE = (1, 5, 6, 7)
ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {"Mod": {"fmod": 1}}
"""What ONNX Runtime insists on."""

DOMAINS = {
    "Acos": (-1, 1),
    "Asin": (-1, 1),
    "Atanh": (-0.9, 0.9),
    "Acosh": (1, 4),
    "Log": (0.1, 4),
    "Sqrt": (0, 4),
    "Pow": (0.1, 3),
}
"""Where ops of a part of the numbers are tried; the others from -4 to 4."""


def is_float_op(op: str) -> bool:
    """Whether `op` takes and gives float32 in this opset."""
    schema = onnx.defs.get_schema(op)
    floats = "tensor(float)" in schema.outputs[0].types and dtypes_of(op)[0] == "float32"
    return floats and onnx.defs.has(op, OPSET) and op not in ("Cast", "Where")


def model() -> onnx.ModelProto:
    """An output for every op and place; the op's other operands are vectors of the channels."""
    random = np.random.default_rng(6)
    constants = {
        "weights": random.uniform(-0.3, 0.3, (5, 5, 1, 1)),
        "vector": random.uniform(0.5, 2, (5, 1, 1)),
    }
    nodes, outputs = [], []
    for op in filter(is_float_op, TABLE):
        low, high = DOMAINS.get(op, (-4, 4))
        constants |= {f"{op}/low": np.array(low), f"{op}/high": np.array(high)}
        others = ["vector"] * (arity(TABLE[op]) - 1)
        bounds = [f"{op}/low", f"{op}/high"]
        attrs = ATTRIBUTES.get(op, {})
        nodes += [
            helper.make_node("Clip", ["x", *bounds], [f"{op}/x"]),
            helper.make_node(op, [f"{op}/x", *others], [f"{op}/inner"], **attrs),
            helper.make_node("Conv", [f"{op}/inner", "weights"], [f"{op}/prologue"]),
            helper.make_node("Conv", ["x", "weights"], [f"{op}/conv"]),
            helper.make_node("Clip", [f"{op}/conv", *bounds], [f"{op}/clipped"]),
            helper.make_node(op, [f"{op}/clipped", *others], [f"{op}/epilogue"], **attrs),
        ]
        outputs += [f"{op}/prologue", f"{op}/epilogue"]
    graph = helper.make_graph(
        nodes,
        "places",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPE) for name in outputs],
        [numpy_helper.from_array(data.astype(np.float32), name) for name, data in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)


def test_every_op_is_right_before_and_after_a_convolution(tmp_path: Path) -> None:
    path = tmp_path / "places.onnx"
    onnx.save(model(), str(path))
    bundle = compile_model(path, Options(target="x86-64-v2"))
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("host: this is no x86-64")
    run = run_bundles([bundle], tmp_path, cpu=None)
    assert run.exit_code == 0, run.messages
    wrong = [c for c in check_against_reference(path, bundle, run.outputs[0]) if not c.ok]
    assert wrong == []
