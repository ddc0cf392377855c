"""The check that stands before every number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from fusekit.toolkit.measure.check import check_output

INF, NAN = np.inf, np.nan


def f32(values: object) -> npt.NDArray[np.float32]:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("got", "want", "ok"),
    [
        (f32([1, 2]), f32([1, 2]), True),
        (f32([1, 2.001]), f32([1, 2]), True),
        (f32([1, 2.1]), f32([1, 2]), False),
        (f32([0.001, 2]), f32([0, 2]), True),  # relative to the largest element, not to each
        (f32([NAN, 1]), f32([NAN, 1]), True),
        (f32([NAN, 1]), f32([0, 1]), False),
        (f32([0, 1]), f32([NAN, 1]), False),
        (f32([INF, 1]), f32([INF, 1]), True),
        (f32([-INF, 1]), f32([INF, 1]), False),
        (f32([INF, 1]), f32([9, 1]), False),
        (f32([[1, 2]]), f32([1, 2]), False),
        (np.array([1, 2], np.float64), f32([1, 2]), False),
        (f32([]), f32([]), True),
        (np.array([3, 4], np.int64), np.array([3, 4], np.int64), True),
        (np.array([3, 5], np.int64), np.array([3, 4], np.int64), False),
        (np.array([True]), np.array([False]), False),
    ],
)
def test_check_output(got: npt.NDArray[np.generic], want: npt.NDArray[np.generic], ok: bool) -> None:
    rtol = 1e-3 if want.dtype.kind == "f" else 0.0
    assert check_output("y", got, want, rtol=rtol, atol=0.0).ok is ok


def test_check_output_says_where() -> None:
    check = check_output("y", f32([[1, 2], [3, 9]]), f32([[1, 2], [3, 4]]), rtol=1e-3, atol=0.0)
    assert check.detail == "1 of 4 elements beyond the limit, first at [1, 1]: 9 where the reference has 4"
    assert (check.max_abs_error, check.limit) == (5.0, 4e-3)


def test_check_output_names_shape_and_dtype() -> None:
    check = check_output("y", np.zeros((2, 1)), np.zeros(2, np.float32), rtol=0, atol=0)
    assert check.detail == "float64[2, 1] where the reference has float32[2]"
