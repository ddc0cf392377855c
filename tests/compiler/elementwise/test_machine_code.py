"""Every op of the table as machine code: runs where this machine can run it, and assembles for every target."""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from fusekit.compiler import objects
from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.target import TARGETS, Target

from . import machine_code
from .definition import evaluate
from .onnx_check import inputs_of
from .test_approximation import CASES, busy_range, every_exponent, ulp_error

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
CORES = ("cortex-a53", "cortex-a76")


def runnable(name: str) -> Target:
    """The target, where this machine can run its code."""
    target = TARGETS[name]
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"host: {name} code needs an x86-64 machine")
    flags = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags"))
    missing = set(target.features) - set(flags.split())
    if missing:
        pytest.skip(f"host: {name} code needs a CPU with {', '.join(sorted(missing))}")
    return target


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_largest_error_of_the_machine_code_is_as_stated(name: str, level: str) -> None:
    definition, oracle, bound = CASES[name]
    x = np.concatenate([every_exponent(100), busy_range(20000)])
    with np.errstate(all="ignore"):
        want = oracle(x.astype(np.float64))
    error = ulp_error(machine_code.run(definition, runnable(level), x, dtype="float32"), want)
    assert error.max() <= bound


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("op", TABLE)
def test_machine_code_computes_what_the_interpreter_does(op: str, level: str) -> None:
    inputs = inputs_of(op)
    want = evaluate(TABLE[op], *inputs)
    got = machine_code.run(TABLE[op], runnable(level), *inputs, dtype=want.dtype.name)
    # A sum may be rounded differently where muladd rounds twice.
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("op", TABLE)
def test_op_needs_no_function_of_a_library(op: str, core: str) -> None:
    dtypes = [array.dtype.name for array in inputs_of(op)]
    listing = objects.listing(machine_code.module_text(TABLE[op], dtypes, 64, TARGETS[core]), TARGETS[core])
    calls = [line for line in listing.splitlines() if line.split()[:1] == ["bl"]]
    assert not calls
