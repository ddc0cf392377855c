"""Random graphs as ONNX files through the importer, the linker and the crew: what a person compiles is what the stages computed."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import assume, given, note, seed
from hypothesis import strategies as st

import fusekit

from .net import Case
from .onnx_model import model_of, reference
from .settings import AGAIN, EXAMPLES, SEED, tried
from .test_random_graphs import cases


@pytest.mark.parametrize("anchor", ["conv", "matmul", "reduce", "chain", "fork"])
def test_loaded_model_computes_what_onnxruntime_does(anchor: str) -> None:
    @seed(SEED)
    @tried(max(1, EXAMPLES // 4))
    @given(
        case=cases(anchor), threads=st.sampled_from((1, 2)), level=st.sampled_from(("full", "basic", "none"))
    )
    def agree(case: Case, threads: int, level: str) -> None:
        note(f"{AGAIN}\n{level}, {threads} threads\n{case}")
        assume(all(node.op != "Less" for node in case.graph.nodes))  # the importer takes no booleans
        want = reference(case.graph, case.feeds)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "random.onnx")
            onnx.save(model_of(case.graph), path)
            bundle = fusekit.compile(path, fusion=level, threads=threads)
        with fusekit.load(bundle) as model:
            got = model.run(case.feeds)
        for name, expected in want.items():
            assert (got[name].dtype, got[name].shape) == (expected.dtype, expected.shape)
            difference = np.abs(np.asarray(got[name], np.float64) - expected)
            assert (difference <= case.tolerances[name]).all(), f"{name} is off by {difference.max()}"

    agree()
