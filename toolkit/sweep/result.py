"""What one session says in a few figures: times, and what fusion bought, at each thread count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...compiler.fusion import LEVELS
from ..measure.record import RunRecord
from ..measure.statistics import Estimate, Speedup, median_ns, speedup_of


@dataclass(frozen=True)
class Result:
    """A session at one thread count; no times where none may be taken, no gain where a level of it is missing."""

    threads: int
    level: str
    """The most fused level of the session, whose time it is."""
    time_ns: Estimate | None
    gain: Speedup | None
    """Of full fusion over none."""


def results_of(records: Sequence[RunRecord]) -> tuple[Result, ...]:
    """A result a thread count, of records that were all right."""
    return tuple(_result(records, threads) for threads in sorted({record.threads for record in records}))


def _result(records: Sequence[RunRecord], threads: int) -> Result:
    by_level = {record.fusion: record for record in records if record.threads == threads}
    level = max(by_level, key=LEVELS.index)
    samples = by_level[level].samples_ns
    none, full = by_level.get("none"), by_level.get("full")
    timed = none is not None and full is not None and none.samples_ns and full.samples_ns
    return Result(
        threads,
        level,
        None if samples is None else median_ns(samples),
        speedup_of(none, full) if timed and none is not None and full is not None else None,
    )


def mean_gain(gains: Sequence[Speedup]) -> Speedup:
    """Geometric mean of speed-ups from sessions of their own; at least one.

    Their errors are independent, so the distances from value to limit add up in quadrature, on the logarithm, each side
    for itself.

    >>> mean = mean_gain([Speedup(2.0, 1.0, 4.0), Speedup(2.0, 1.0, 4.0)])
    >>> f"{mean.value:.2f} [{mean.low:.2f}, {mean.high:.2f}]"
    '2.00 [1.23, 3.27]'
    """
    count = len(gains)
    value = sum(math.log(gain.value) for gain in gains) / count
    below = math.hypot(*(math.log(gain.value / gain.low) for gain in gains)) / count
    above = math.hypot(*(math.log(gain.high / gain.value) for gain in gains)) / count
    return Speedup(math.exp(value), math.exp(value - below), math.exp(value + above))
