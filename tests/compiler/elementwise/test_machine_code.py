"""Every op of the table as machine code: the right results on every target, and errors as stated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.graph import Type

from .accuracy import POWER, UNARY, expected, powers, sample, ulp_error
from .definition import Array, evaluate
from .functions_graph import TARGETS, Call, run_on
from .onnx_check import dtypes_of, inputs_of


def call(op: str, inputs: list[Array], **attrs: Any) -> tuple[Call, Array]:
    """The op on `inputs`, and what the interpreter makes of them."""
    want = evaluate(TABLE[op], *inputs, **attrs)
    return Call(op, tuple(inputs), Type(want.dtype.name, want.shape), attrs), want


def check(target: str, cases: list[tuple[Call, Array]], folder: Path) -> None:
    """Each call gives what the interpreter does."""
    results = run_on(target, [made for made, _ in cases], folder)
    for (made, want), got in zip(cases, results, strict=True):
        what = f"{made.op} of {made.inputs[0].dtype}"
        if want.dtype == np.float32:
            # A sum may be rounded differently where muladd rounds twice.
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6, err_msg=what)
        else:
            np.testing.assert_array_equal(got, want, err_msg=what)


@pytest.mark.parametrize("target", TARGETS)
def test_every_op_computes_what_the_interpreter_does(target: str, tmp_path: Path) -> None:
    check(target, [call(op, inputs_of(op)) for op in TABLE], tmp_path)


@pytest.mark.parametrize("target", ["x86-64-v2", "cortex-a53"])
def test_every_op_on_integers_computes_what_the_interpreter_does(target: str, tmp_path: Path) -> None:
    # The other integers and targets take the same instructions, of another width.
    typed = [(op, dtype) for op in TABLE for dtype in dtypes_of(op) if dtype in ("int32", "uint8")]
    cases = [call(op, inputs_of(op, dtype)) for op, dtype in typed if op != "BitCast"]
    right = call("BitShift", inputs_of("BitShift", "int32"), direction="RIGHT")
    check(target, [*cases, right], tmp_path)


@pytest.mark.parametrize("target", TARGETS)
def test_largest_errors_are_as_stated(target: str, tmp_path: Path) -> None:
    x, pair = sample(), powers(200000)
    functions = {**UNARY, "Pow": POWER}
    inputs = {name: pair if name == "Pow" else (x,) for name in functions}
    calls = [
        Call(f.op, inputs[name], Type("float32", inputs[name][0].shape), f.attrs)
        for name, f in functions.items()
    ]
    for (name, function), got in zip(functions.items(), run_on(target, calls, tmp_path), strict=True):
        error = ulp_error(got, expected(function, *inputs[name]))
        worst = int(np.argmax(error))
        assert error[worst] <= function.bound, f"{name} of {[a[worst] for a in inputs[name]]}"
