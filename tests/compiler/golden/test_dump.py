"""Every stage of a tiny model as text, compared with the files of this folder; `--update-golden` rewrites them.

Machine code depends on LLVM's version and is held to what it must contain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from fusekit.compiler.compile import Options
from fusekit.compiler.inspect import STAGES, dump
from fusekit.errors import UserError

GOLDEN = Path(__file__).parent
OPTIONS = Options(target="cortex-a76")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An addition, a 1x1 convolution, a hard swish and a second output: a prologue, an anchor and an epilogue."""
    random = np.random.default_rng(1)
    constants = {
        "offset": np.array([0.5, 0.25, -0.5, 1.0], np.float32).reshape(4, 1, 1),
        "weights": random.uniform(-1, 1, (8, 4, 1, 1)).astype(np.float32),
        "bias": np.arange(8, dtype=np.float32),
    }
    nodes = [
        helper.make_node("Add", ["x", "offset"], ["shifted"], "shift"),
        helper.make_node("Conv", ["shifted", "weights", "bias"], ["product"], "conv"),
        helper.make_node("HardSwish", ["product"], ["y"], "activation"),
        helper.make_node("GlobalAveragePool", ["y"], ["mean"], "mean"),
    ]
    return _saved(tmp_path, nodes, [1, 4, 3, 5], ["y", "mean"], constants)


@pytest.fixture
def relu(tmp_path: Path) -> Path:
    """One ReLU over five elements, whose code fits a page."""
    return _saved(tmp_path, [helper.make_node("Relu", ["x"], ["y"], "relu")], [5], ["y"], {})


def _saved(
    folder: Path,
    nodes: Sequence[onnx.NodeProto],
    shape: Sequence[int],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray[Any, Any]],
) -> Path:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(data, name) for name, data in constants.items()],
    )
    path = folder / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def expect(got: str, name: str, request: pytest.FixtureRequest) -> None:
    """AssertionError where `got` is not the golden text `name`."""
    path = GOLDEN / name
    if request.config.getoption("--update-golden", default=False):
        path.write_text(got, encoding="utf-8")
    assert got == path.read_text(encoding="utf-8")


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in ("llvm", "asm")])
def test_text_is_the_golden_one(stage: str, model: Path, request: pytest.FixtureRequest) -> None:
    expect(dump(model, OPTIONS, stage), f"tiny.{stage}.txt", request)


def test_llvm_text_is_the_golden_one(relu: Path, request: pytest.FixtureRequest) -> None:
    expect(dump(relu, OPTIONS, "llvm"), "relu.llvm.txt", request)


def test_assembly_multiplies_by_lane_and_calls_nothing(model: Path) -> None:
    lines = [line.split() for line in dump(model, OPTIONS, "asm").splitlines()]
    assert any(line[:1] == ["fmla"] and "[" in line[-1] for line in lines)
    assert not [
        line for line in lines if line[:1] in (["bl"], ["b"]) and line[1].startswith(("mem", "f", "exp"))
    ]


def test_every_kernel_is_printed_once(model: Path) -> None:
    options = Options(target="cortex-a76", fusion="none")
    names = [
        line.split(":")[0] for line in dump(model, options, "kernels").splitlines() if line.startswith("fk_")
    ]
    assert len(names) == len(set(names)) == 4


def test_unknown_stage_names_the_known_ones(model: Path) -> None:
    with pytest.raises(UserError) as raised:
        dump(model, OPTIONS, "group")
    known = "graph, groups, ledger, layout, kernels, llvm, asm, plan"
    assert str(raised.value) == f"unknown stage 'group': did you mean groups? stages are {known}"


def test_unknown_stage_has_no_suggestion_when_nothing_is_near(model: Path) -> None:
    with pytest.raises(UserError, match=r"^unknown stage 'zzz': stages are graph, "):
        dump(model, OPTIONS, "zzz")
