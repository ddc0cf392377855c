"""The polynomials against float64, over every exponent of float32, with and without a fused multiply-add."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fusekit.compiler import approximation, interpret_expr
from fusekit.compiler.expr import Expr

from .definition import evaluate

Array = np.ndarray[Any, Any]

SPECIAL = (0.0, -0.0, math.inf, -math.inf, math.nan)


def _erf(x: Array) -> Array:
    return np.array([math.erf(v) for v in x])


def _sigmoid(x: Array) -> Array:
    return np.asarray(np.where(x < 0, np.exp(x) / (np.exp(x) + 1), 1 / (np.exp(-x) + 1)))


CASES: dict[str, tuple[Callable[[Expr], Expr], Callable[[Array], Array], float]] = {
    "exp": (approximation.exp, np.exp, 2.0),
    "log": (approximation.log, np.log, 1.0),
    "sigmoid": (approximation.sigmoid, _sigmoid, 3.0),
    "tanh": (approximation.tanh, np.tanh, 3.5),
    "erf": (approximation.erf, _erf, 3.0),
}
"""Name to the definition, its float64 oracle and the largest error in ULP that its docstring promises."""


@pytest.fixture(params=["fma", "two roundings"])
def multiply_add(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluation as on a target with a fused multiply-add, and as on one without."""
    if request.param == "two roundings":
        monkeypatch.setitem(interpret_expr.NUMPY, "muladd", lambda a, b, c: a * b + c)


def every_exponent(mantissas: int) -> Array:
    """float32 of both signs and every exponent, NaN payloads and denormals included: the first and last mantissas and random ones."""
    random = np.random.default_rng(0)
    ends = np.array([0, 1, 2, (1 << 22) - 1, 1 << 22, (1 << 23) - 2, (1 << 23) - 1])
    bits = [(e << 23) | np.concatenate([random.integers(0, 1 << 23, mantissas), ends]) for e in range(256)]
    positive = np.concatenate(bits).astype(np.uint32)
    return np.concatenate([positive, positive | np.uint32(1 << 31)]).view(np.float32)


def busy_range(count: int) -> Array:
    """float32 where the functions are neither 0, 1, linear nor infinite."""
    random = np.random.default_rng(1)
    ranges = ((-110, 100), (-10, 10), (-1, 1), (0, 2))
    return np.concatenate([random.uniform(*r, count) for r in ranges]).astype(np.float32)


def ulp_error(got: Array, want: Array) -> Array:
    """Distance of float32 `got` from float64 `want` in units of the last float32 place at `want`; infinity where NaN meets a number.

    What overflows counts as 2**128, the number that would come after the largest float32.
    """
    value, limit = (np.clip(v.astype(np.float64), -(2.0**128), 2.0**128) for v in (got, want))
    exponent = np.clip(np.frexp(limit)[1] - 1, -126, 127)
    error = np.where(np.isnan(got) & np.isnan(want), 0, np.abs(value - limit) / np.ldexp(1.0, exponent - 23))
    return np.asarray(np.where(np.isnan(error), np.inf, error))


@pytest.mark.usefixtures("multiply_add")
@pytest.mark.parametrize("name", CASES)
def test_largest_error_is_as_stated(name: str, record_property: Callable[[str, object], None]) -> None:
    definition, oracle, bound = CASES[name]
    x = np.concatenate([every_exponent(100), busy_range(20000)])
    with np.errstate(all="ignore"):
        want = oracle(x.astype(np.float64))
    error = ulp_error(evaluate(definition, x), want)
    worst = int(np.argmax(error))
    record_property("max_ulp", round(float(error[worst]), 3))
    assert error[worst] <= bound, f"{name}({x[worst]!r}) is {error[worst]:.2f} ULP from {want[worst]!r}"


@pytest.mark.parametrize("name", CASES)
def test_special_values_are_exact(name: str) -> None:
    definition, oracle, _ = CASES[name]
    x = np.array(SPECIAL, np.float32)
    with np.errstate(all="ignore"):
        want = oracle(x.astype(np.float64)).astype(np.float32)
    got = evaluate(definition, x)
    np.testing.assert_array_equal(got, want)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))


def test_exp_rounds_denormals_and_overflows_where_it_should() -> None:
    x = np.array([-103.97209, -103.27893, -87.5, 88.72283, 88.722839355], np.float32)
    with np.errstate(over="ignore"):
        want = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_array_max_ulp(evaluate(approximation.exp, x)[:4], want[:4], 2)
    assert want[0] == 0 or want[0] == np.float32(2.0**-149)
    assert np.isinf(evaluate(approximation.exp, np.array([88.73], np.float32)))[0]


@pytest.mark.usefixtures("multiply_add")
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "erf"])
def test_result_never_passes_one(name: str) -> None:
    x = np.linspace(-25, 25, 200001).astype(np.float32)
    got = evaluate(CASES[name][0], x)
    assert np.abs(got).max() == 1


@pytest.mark.usefixtures("multiply_add")
def test_one_minus_exp2_keeps_its_digits_near_zero() -> None:
    x = np.abs(np.concatenate([every_exponent(50), busy_range(20000)]))
    x = x[x <= 100]
    want = -np.expm1(-x.astype(np.float64) * math.log(2))
    assert ulp_error(evaluate(approximation.one_minus_exp2, x), want).max() <= 2


@pytest.mark.usefixtures("multiply_add")
def test_log_1p_keeps_its_digits_near_zero() -> None:
    x = np.abs(np.concatenate([every_exponent(50), busy_range(20000)]))
    x = x[x <= 1]
    assert ulp_error(evaluate(approximation.log_1p, x), np.log1p(x.astype(np.float64))).max() <= 2


@pytest.mark.usefixtures("multiply_add")
def test_power_error_grows_with_the_exponent_of_the_result_only() -> None:
    random = np.random.default_rng(2)
    logarithm = random.uniform(-103, 88, 200000)
    x = np.concatenate([np.exp(random.uniform(-85, 85, 100000)), random.uniform(0.7, 1.45, 100000)]).astype(
        np.float32
    )
    with np.errstate(all="ignore"):
        y = (logarithm / np.log(x.astype(np.float64))).astype(np.float32)
        want = np.power(x.astype(np.float64), y.astype(np.float64))
    error = ulp_error(evaluate(approximation.power, x, y), want)
    assert (error <= 3 + np.abs(logarithm) / 4).all()


def test_power_special_cases_are_those_of_ieee() -> None:
    values = (0, 1e-40, 0.1, 0.5, 1, 1 + 2**-23, 2, 2.5, 3, 4, 33, 8388609, 1e30, 3.4e38, math.inf)
    axis = np.array([*values, *(-v for v in values), -0.0, math.nan], np.float32)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    with np.errstate(all="ignore"):
        want = np.power(x.astype(np.float64), y.astype(np.float64)).astype(np.float32)
    got = evaluate(approximation.power, x, y)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    numbers = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(want[numbers]))
