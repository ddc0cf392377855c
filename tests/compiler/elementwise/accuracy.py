"""What every elementary function and activation should be, in float64, and how far a float32 is from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .definition import Array


@dataclass(frozen=True)
class Function:
    """An op of the table with the attributes it is tried with, what it should give in float64, and the largest error in ULP that it may have."""

    op: str
    oracle: Callable[..., Array]
    bound: float
    attrs: Mapping[str, Any] = field(default_factory=dict)


def _each(function: Callable[[float], float]) -> Callable[[Array], Array]:
    return np.vectorize(function, otypes=[np.float64])


def _sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def _elu(x: Array, alpha: float = 1, slope: float = 1) -> Array:
    return np.asarray(np.where(x < 0, alpha * np.expm1(x / slope), x))


def _gelu(x: Array) -> Array:
    # Beyond these ends erfc is 2 and 0 to the last bit of a float32 result.
    tail = np.where(x > 0, 2.0, 0.0)
    inside = ~(np.abs(x) > 16)
    tail[inside] = _each(math.erfc)(-x[inside] / math.sqrt(2))
    return x * tail / 2


def _erf(x: Array) -> Array:
    result = np.sign(x)
    inside = ~(np.abs(x) > 6)
    result[inside] = _each(math.erf)(x[inside])
    return np.asarray(result)


def _tanh_gelu(x: Array) -> Array:
    return x * _sigmoid(math.sqrt(8 / math.pi) * (x + 0.044715 * x**3))


ELEMENTARY: Mapping[str, Function] = {
    "Exp": Function("Exp", np.exp, 2),
    "Log": Function("Log", np.log, 1),
    "Sigmoid": Function("Sigmoid", _sigmoid, 3.5),
    "Sin": Function("Sin", np.sin, 2),
    "Cos": Function("Cos", np.cos, 2),
    "Tan": Function("Tan", np.tan, 4),
    "Asin": Function("Asin", np.arcsin, 2.5),
    "Acos": Function("Acos", np.arccos, 2),
    "Atan": Function("Atan", np.arctan, 2),
    "Sinh": Function("Sinh", np.sinh, 3),
    "Cosh": Function("Cosh", np.cosh, 2),
    "Tanh": Function("Tanh", np.tanh, 3.5),
    "Asinh": Function("Asinh", np.arcsinh, 2),
    "Acosh": Function("Acosh", np.arccosh, 2.5),
    "Atanh": Function("Atanh", np.arctanh, 2.5),
    "Erf": Function("Erf", _erf, 3.5),
    "Sqrt": Function("Sqrt", np.sqrt, 0.5),
    "Reciprocal": Function("Reciprocal", np.reciprocal, 0.5),
}

ACTIVATIONS: Mapping[str, Function] = {
    "Softplus": Function("Softplus", _softplus, 3),
    "Softsign": Function("Softsign", lambda x: x / (1 + np.abs(x)), 2),
    "Elu": Function("Elu", _elu, 2.5),
    "Celu": Function("Celu", _elu, 2.5),
    "Celu, alpha 1.5": Function("Celu", lambda x: _elu(x, 1.5, 1.5), 3, {"alpha": 1.5}),
    "Selu": Function("Selu", lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772), 3.5),
    "Swish": Function("Swish", lambda x: x * _sigmoid(x), 3),
    "Swish, alpha 1.702": Function("Swish", lambda x: x * _sigmoid(1.702 * x), 3, {"alpha": 1.702}),
    "Mish": Function("Mish", lambda x: x * np.tanh(_softplus(x)), 4),
    "Gelu": Function("Gelu", _gelu, 4),
    "Gelu, tanh": Function("Gelu", _tanh_gelu, 3, {"approximate": "tanh"}),
}

UNARY = {**ELEMENTARY, **ACTIVATIONS}

POWER = Function("Pow", np.power, 2)


def expected(function: Function, *inputs: Array) -> Array:
    """The results in float64."""
    with np.errstate(all="ignore"):
        return np.asarray(function.oracle(*(x.astype(np.float64) for x in inputs)))


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
    ranges = ((-110, 100), (-15, 10), (-1, 1), (0, 2))
    return np.concatenate([random.uniform(*r, count) for r in ranges]).astype(np.float32)


def near_quadrants(count: int) -> Array:
    """Angles near multiples of pi / 2 of every size, the float32 that is nearest to one of all among them (Muller 2016, table 11.1)."""
    random = np.random.default_rng(3)
    multiples = np.floor(np.exp2(random.uniform(0, 50, count))) * (math.pi / 2)
    return np.concatenate([multiples, [16367173.0 * 2.0**72, 2.0**127]]).astype(np.float32)


def sample(thousands: int = 20) -> Array:
    """Arguments that every unary function is tried with: some nine thousand for each thousand."""
    count = 1000 * thousands
    return np.concatenate([every_exponent(5 * thousands), busy_range(count), near_quadrants(count)])


def powers(count: int, seed: int = 2) -> tuple[Array, Array]:
    """Bases and exponents whose powers are spread over all of float32, denormals and a little beyond included."""
    random = np.random.default_rng(seed)
    logarithm = random.uniform(-104, 89, count)
    far, near = np.exp(random.uniform(-103, 88, count // 2)), random.uniform(0.7, 1.45, count - count // 2)
    x = np.concatenate([far, near]).astype(np.float32)
    with np.errstate(all="ignore"):
        return x, (logarithm / np.log(x.astype(np.float64))).astype(np.float32)


def ulp_error(got: Array, want: Array) -> Array:
    """Distance of float32 `got` from float64 `want` in units of the last float32 place at `want`; infinity where NaN meets a number.

    What overflows counts as 2**128, the number that would come after the largest float32.
    """
    with np.errstate(invalid="ignore"):
        value, limit = (np.clip(v.astype(np.float64), -(2.0**128), 2.0**128) for v in (got, want))
        exponent = np.clip(np.frexp(limit)[1] - 1, -126, 127)
        error = np.abs(value - limit) / np.ldexp(1.0, exponent - 23)
    return np.asarray(np.where(np.isnan(got) & np.isnan(want), 0, np.where(np.isnan(error), np.inf, error)))
