"""The one rule by which outputs are right: |got - want| <= atol + rtol * max|want|, elementwise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class OutputCheck:
    """What comparing one output said; `max_abs_error` and `limit` are in the output's own unit."""

    name: str
    ok: bool
    max_abs_error: float | None
    limit: float | None
    detail: str


def check_output(
    name: str, got: npt.NDArray[np.generic], want: npt.NDArray[np.generic], *, rtol: float, atol: float
) -> OutputCheck:
    """Compares one output with the reference; NaN must meet NaN, shape and dtype must be equal.

    >>> check_output("y", np.float32([1, 2]), np.float32([1, 2.5]), rtol=0.1, atol=0.0).detail
    '1 of 2 elements beyond the limit, first at [1]: 2 where the reference has 2.5'
    """
    if got.dtype != want.dtype or got.shape != want.shape:
        detail = f"{got.dtype}{list(got.shape)} where the reference has {want.dtype}{list(want.shape)}"
        return OutputCheck(name, False, None, None, detail)
    if want.size == 0:
        return OutputCheck(name, True, 0.0, atol, "empty")
    finite = np.abs(want[np.isfinite(want)].astype(np.float64)) if want.dtype.kind == "f" else np.abs(want)
    limit = atol + rtol * (float(finite.max()) if finite.size else 0.0)
    # Infinities and NaNs match by being the same; their difference would be NaN.
    same = (got == want) | (_is_nan(got) & _is_nan(want))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got.astype(np.float64) - want.astype(np.float64))
    error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
    wrong = error > limit
    worst = float(error.max())
    if not wrong.any():
        return OutputCheck(name, True, worst, limit, f"largest error {worst:.3g}, limit {limit:.3g}")
    first = np.unravel_index(int(np.argmax(wrong)), want.shape)
    detail = (
        f"{int(wrong.sum())} of {want.size} elements beyond the limit, first at "
        f"{[int(i) for i in first]}: {got[first]:g} where the reference has {want[first]:g}"
    )
    # Infinity is no JSON number.
    return OutputCheck(name, False, worst if np.isfinite(worst) else None, limit, detail)


def _is_nan(array: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, np.bool_)
