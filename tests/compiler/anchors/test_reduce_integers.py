"""Reductions of integers at every stage against ONNX Runtime and ONNX's reference, along lanes and across them, alone and fused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from fusekit.compiler.graph import Type

from ..elementwise.functions_graph import Call, run_on
from ..property.check import Setting, check_model
from ..property.draft import Draft, Tensor
from ..property.settings import TARGETS

SETTINGS = (Setting("none", TARGETS[0]), Setting("full", TARGETS[-1], threads=2))
SHAPE = (3, 5, 19)
"""Rows longer than a vector of any target, and no multiple of one."""
EVERY_AXES = ((1,), (2,), (0, 2))
SUMS = ("ReduceSum", "ReduceMean", "ReduceL1")


def numbers(draft: Draft, dtype: str, largest: int = 100) -> Tensor:
    """An input whose elements span what `dtype` has, up to `largest` in magnitude."""
    info = np.iinfo(dtype)
    low, high = max(info.min, -largest), min(info.max, largest)
    return draft.fed(draft.random.integers(low, high, SHAPE, endpoint=True).astype(dtype))


@pytest.mark.parametrize("dtype", ["int64", "int32", "int8", "uint8"])
def test_extremes_and_where_they_are(dtype: str) -> None:
    draft = Draft(0)
    x = numbers(draft, dtype, largest=2**60)
    for axes in EVERY_AXES:
        for op in ("ReduceMax", "ReduceMin"):
            draft.node(op, [x, draft.ints(*axes)], keepdims=0)
    for axis in range(3):
        draft.node("ArgMax", [x], axis=axis)
        draft.node("ArgMin", [x], axis=axis, keepdims=0)
    check_model(draft.case(), *SETTINGS)


@pytest.mark.parametrize("dtype", ["int64", "int32"])
def test_sums_and_means(dtype: str) -> None:
    draft = Draft(1)
    x = numbers(draft, dtype)
    for axes in EVERY_AXES:
        for op in SUMS:
            draft.node(op, [x, draft.ints(*axes)])
    few = draft.node("Clip", [x, *(draft.exactly(np.asarray(n, dtype)) for n in (-2, 2))])
    draft.node("ReduceProd", [few, draft.ints(0, 1)])
    check_model(draft.case(), *SETTINGS)


def test_ties_are_decided_by_position() -> None:
    draft = Draft(2)
    x = numbers(draft, "int32", largest=2)
    for op in ("ArgMax", "ArgMin"):
        for last in (0, 1):
            draft.node(op, [x], axis=2, select_last_index=last)
    check_model(draft.case(), *SETTINGS)


def test_truth_values_are_all_or_any() -> None:
    draft = Draft(3)
    x = draft.node("Less", [numbers(draft, "int32"), draft.exactly(np.asarray(80, np.int32))])
    for axes in EVERY_AXES:
        for op in ("ReduceMax", "ReduceMin"):
            draft.node(op, [x, draft.ints(*axes)])
    check_model(draft.case(), *SETTINGS)


def test_what_surrounds_a_reduction_is_fused_with_it() -> None:
    """The elements of a mask are counted, and a mean is taken over those that it leaves."""
    draft = Draft(4)
    x = draft.input(*SHAPE)
    mask = draft.node("Less", [x, draft.constant(0.5)])
    ones = draft.node("Cast", [mask], to=TensorProto.INT32)
    count = draft.node("ReduceSum", [ones, draft.ints(2)])
    some = draft.node("Max", [count, draft.exactly(np.asarray(1, np.int32))])
    left = draft.node("Where", [mask, x, draft.constant(0.0)])
    total = draft.node("ReduceSum", [left, draft.ints(2)], 1e-5)
    draft.node("Div", [total, draft.node("Cast", [some], to=TensorProto.FLOAT)], 1e-5)
    check_model(draft.case(), *SETTINGS)


@pytest.mark.parametrize("target", ["x86-64-v2", "cortex-a53"])
def test_sums_wrap_around_on_every_architecture(target: str, tmp_path: Path) -> None:
    cases = []
    for dtype in ("int64", "int32", "int8", "uint8"):
        x = np.full(SHAPE, np.iinfo(dtype).max, dtype)
        for axis in range(3):
            want = x.sum(axis=axis, dtype=dtype)
            attrs = {"axes": (axis,), "keepdims": 0}
            cases.append((Call("ReduceSum", (x,), Type(dtype, want.shape), attrs), want))
    for got, (_, want) in zip(run_on(target, [call for call, _ in cases], tmp_path), cases, strict=True):
        np.testing.assert_array_equal(got, want)
