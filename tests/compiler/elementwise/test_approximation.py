"""The approximations against float64, over every exponent of float32, with and without a fused multiply-add."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from fusekit.compiler import interpret_expr
from fusekit.compiler.approximation import exponential, logarithm
from fusekit.compiler.elementwise import TABLE
from fusekit.compiler.expr import Expr

from .accuracy import (
    ELEMENTARY,
    POWER,
    UNARY,
    busy_range,
    every_exponent,
    expected,
    powers,
    sample,
    ulp_error,
)
from .definition import Array, evaluate

SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan)

CASES: dict[str, tuple[Callable[..., Expr], Callable[..., Array], float]] = {
    name.lower(): (TABLE[name], function.oracle, function.bound)
    for name, function in UNARY.items()
    if not function.attrs
}
"""Functions without attributes, by name: the definition, its float64 oracle and the largest error in ULP."""


@pytest.fixture(params=["fma", "two roundings"])
def multiply_add(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation as on a target with a fused multiply-add, and as on one without."""
    if request.param == "two roundings":
        monkeypatch.setitem(interpret_expr.NUMPY, "muladd", lambda a, b, c: a * b + c)


@pytest.mark.usefixtures("multiply_add")
@pytest.mark.parametrize("name", UNARY)
def test_largest_error_is_as_stated(name: str) -> None:
    function = UNARY[name]
    x = sample(4)
    want = expected(function, x)
    error = ulp_error(evaluate(TABLE[function.op], x, **function.attrs), want)
    worst = int(np.argmax(error))
    assert error[worst] <= function.bound, (
        f"{name}({x[worst]!r}) is {error[worst]:.2f} ULP from {want[worst]!r}"
    )


@pytest.mark.parametrize("name", UNARY)
def test_special_values_are_exact(name: str) -> None:
    function = UNARY[name]
    x = np.array(SPECIAL, np.float32)
    want = expected(function, x).astype(np.float32)
    got = evaluate(TABLE[function.op], x, **function.attrs)
    np.testing.assert_array_max_ulp(got[~np.isnan(want)], want[~np.isnan(want)], 2)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))


@pytest.mark.parametrize("name", [n for n in ELEMENTARY if expected(UNARY[n], np.zeros(1))[0] == 0])
def test_zero_keeps_its_sign(name: str) -> None:
    function = UNARY[name]
    got = evaluate(TABLE[function.op], np.array([0.0, -0.0], np.float32), **function.attrs)
    assert got.tolist() == [0, 0]
    assert np.signbit(got).tolist() == [False, True]


def test_exp_rounds_denormals_and_overflows_where_it_should() -> None:
    x = np.array([-103.97209, -103.27893, -87.5, 88.72283, 88.722839355], np.float32)
    with np.errstate(over="ignore"):
        want = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_max_ulp(evaluate(exponential.exp, x)[:4], want[:4], 2)
    assert want[0] == 0 or want[0] == np.float32(2.0**-149)
    assert np.isinf(evaluate(exponential.exp, np.array([88.73], np.float32)))[0]


@pytest.mark.usefixtures("multiply_add")
@pytest.mark.parametrize("name", ["Sigmoid", "Tanh", "Erf", "Sin", "Cos", "Softsign"])
def test_result_never_passes_one(name: str) -> None:
    x = np.linspace(-25, 25, 200001).astype(np.float32)
    assert np.abs(evaluate(TABLE[name], x)).max() <= 1


@pytest.mark.usefixtures("multiply_add")
def test_one_minus_exp2_keeps_its_digits_near_zero() -> None:
    x = np.abs(np.concatenate([every_exponent(50), busy_range(20000)]))
    x = x[x <= 100]
    want = -np.expm1(-x.astype(np.float64) * math.log(2))
    assert ulp_error(evaluate(exponential.one_minus_exp2, x), want).max() <= 2


@pytest.mark.usefixtures("multiply_add")
def test_log_1p_keeps_its_digits_near_zero() -> None:
    x = np.abs(np.concatenate([every_exponent(50), busy_range(20000)]))
    x = x[x <= 1]
    assert ulp_error(evaluate(logarithm.log_1p, x), np.log1p(x.astype(np.float64))).max() <= 2


@pytest.mark.usefixtures("multiply_add")
def test_largest_error_of_a_power_is_as_stated() -> None:
    x, y = powers(50000)
    assert ulp_error(evaluate(TABLE["Pow"], x, y), expected(POWER, x, y)).max() <= POWER.bound


def test_power_special_cases_are_those_of_ieee() -> None:
    values = (0, 1e-40, 0.1, 0.5, 1, 1 + 2**-23, 2, 2.5, 3, 4, 33, 8388609, 1e30, 3.4e38, math.inf)
    axis = np.array([*values, *(-v for v in values), -0.0, math.nan], np.float32)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    got = evaluate(TABLE["Pow"], x, y)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))


def test_remainder_is_exact_over_the_whole_range() -> None:
    random = np.random.default_rng(4)
    x, y = random.integers(0, 1 << 32, (2, 50000), dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(evaluate(TABLE["Mod"], x, y, fmod=1), np.fmod(x, y))
