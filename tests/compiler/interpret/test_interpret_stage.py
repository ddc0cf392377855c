"""Stages over arrays: the whole, a part, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fusekit.compiler.expr import Acc, Expr, Load, const, op
from fusekit.compiler.graph import Type
from fusekit.compiler.index import Axis, Index
from fusekit.compiler.interpret_stage import Part, run_stage, unwritten
from fusekit.compiler.stage import Operand, Stage, Store

Array = np.ndarray[Any, Any]

ROW, COLUMN, TERM = Axis(0, 3), Axis(1, 4), Axis(10, 5)


def read(buffer: str, *axes: Axis) -> Operand:
    """An operand that reads `buffer` at `axes`."""
    where = tuple(Index.of(axis) for axis in axes)
    return Operand(axes, Load("float32", buffer, where), where)


def product(value: Expr | None = None, init: Expr | None = None) -> Stage:
    """A matrix product with an epilogue."""
    store = Store(value or Acc("float32"), "out", (Index.of(ROW), Index.of(COLUMN)))
    operands = (read("a", ROW, TERM), read("b", TERM, COLUMN))
    return Stage("contraction", (ROW, COLUMN), (TERM,), "sum", operands, init, (store,))


@pytest.fixture
def buffers() -> dict[str, Array]:
    random = np.random.default_rng(2)
    a, b = (random.integers(-9, 9, shape).astype(np.float32) for shape in ((3, 5), (5, 4)))
    bias = np.arange(4, dtype=np.float32)
    return {"a": a, "b": b, "bias": bias, "out": unwritten(Type("float32", (3, 4)))}


def test_operands_are_multiplied_and_summed_from_the_start_value(buffers: dict[str, Array]) -> None:
    run_stage(product(init=Load("float32", "bias", (Index.of(COLUMN),))), buffers)
    np.testing.assert_array_equal(buffers["out"], buffers["a"] @ buffers["b"] + np.arange(4))


def test_epilogue_reads_the_accumulator_and_other_buffers(buffers: dict[str, Array]) -> None:
    bias = Load("float32", "bias", (Index.of(COLUMN),))
    run_stage(product(op("max", Acc("float32") * 0.5, bias)), buffers)
    np.testing.assert_array_equal(buffers["out"], np.maximum(buffers["a"] @ buffers["b"] / 2, np.arange(4)))


def test_part_leaves_the_rest_unwritten(buffers: dict[str, Array]) -> None:
    run_stage(product(), buffers, Part({ROW.id: np.array([1])}))
    np.testing.assert_array_equal(buffers["out"][1], (buffers["a"] @ buffers["b"])[1])
    assert np.isnan(buffers["out"][[0, 2]]).all()


def test_reduce_axis_that_no_operand_varies_along_counts() -> None:
    ones = Operand((), const(2.0), ())
    stage = Stage(
        "reduce", (ROW,), (TERM,), "sum", (ones,), None, (Store(Acc("float32"), "out", (Index.of(ROW),)),)
    )
    out = unwritten(Type("float32", (3,)))
    run_stage(stage, {"out": out})
    np.testing.assert_array_equal(out, [10, 10, 10])


def test_axis_outside_the_stage_has_the_value_of_the_part() -> None:
    tile = Axis(-1, 1 << 31)
    where = Index.of(ROW) + Index.of(tile) * -1
    stage = Stage(
        "pointwise", (ROW,), (), "sum", (), None, (Store(Load("float32", "x", (Index.of(ROW),)), "out", (where,)),)
    )  # fmt: skip
    out = unwritten(Type("float32", (1,)))
    run_stage(stage, {"x": np.arange(3, dtype=np.float32), "out": out}, Part({0: np.array([2])}, {-1: 2}))
    np.testing.assert_array_equal(out, [2])


@pytest.mark.parametrize("shift", [-1, 1])
def test_element_outside_a_buffer_is_refused(shift: int) -> None:
    load = Load("float32", "x", (Index.of(ROW) + shift,))
    stage = Stage("pointwise", (ROW,), (), "sum", (), None, (Store(load, "out", (Index.of(ROW),)),))
    arrays = {"x": np.zeros(3, np.float32), "out": np.zeros(3, np.float32)}
    with pytest.raises(AssertionError, match=r"^x\[a0[+-]1\] runs over \[.*\] of 3 elements"):
        run_stage(stage, arrays)
