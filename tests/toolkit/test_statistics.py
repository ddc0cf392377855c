"""Medians and speed-ups: right in the middle, honest at the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusekit import UserError
from fusekit.toolkit.measure.statistics import median_ns, speedup, speedup_of

from .fake_record import emulated_record, timed_record


def rounds(centre: float, *, spread: float = 0.01, seed: int = 0, count: int = 5) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return [[int(ns) for ns in random.normal(centre, spread * centre, 30)] for _ in range(count)]


def test_median_of_all_samples() -> None:
    estimate = median_ns([[1, 2, 3], [4, 5, 600], []])
    assert estimate.value == 3.5
    assert estimate.low <= estimate.value <= estimate.high


def test_estimates_repeat() -> None:
    assert median_ns(rounds(1000)) == median_ns(rounds(1000))
    assert speedup(rounds(1000), rounds(800)) == speedup(rounds(1000), rounds(800))


def test_speedup_is_claimed_where_the_difference_is_large() -> None:
    gain = speedup(rounds(1_000_000), rounds(800_000, seed=1))
    assert gain.claim
    assert gain.low < 1.25 < gain.high
    assert speedup(rounds(800_000), rounds(1_000_000)).claim


def test_speedup_is_not_claimed_between_equals() -> None:
    claims = [speedup(rounds(1e6, seed=s), rounds(1e6, seed=100 + s)).claim for s in range(40)]
    assert sum(claims) <= 4


def test_speedup_pairs_rounds_when_the_machine_drifts() -> None:
    drift = [1.0, 1.5, 2.0, 2.5, 3.0]
    slow = [[int(1e6 * d * (1 + 0.001 * i)) for i in range(9)] for d in drift]
    fast = [[int(0.9e6 * d * (1 + 0.001 * i)) for i in range(9)] for d in drift]
    gain = speedup(slow, fast)
    assert gain.claim
    assert gain.high - gain.low < 0.1


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="no samples"):
        median_ns([[]])


def test_speedup_of_refuses_two_sessions() -> None:
    with pytest.raises(
        UserError, match=r"records of mobilenet_v2 from two sessions \(5e55, 0\) are not comparable"
    ):
        speedup_of(timed_record("none"), replace(timed_record("full"), session="0"))
    unlike = replace(emulated_record("none"), bundle="another")
    with pytest.raises(UserError, match="a record of mobilenet_v2 has no samples: nothing to compare"):
        speedup_of(unlike, emulated_record("full"))


def test_speedup_of_the_same_code_is_one() -> None:
    none = timed_record("none")
    gain = speedup_of(none, replace(none, fusion="basic"))
    assert (gain.value, gain.low, gain.high, gain.claim) == (1.0, 1.0, 1.0, False)
