"""From raw samples to a median, a speed-up and their intervals.

Samples of one round share the machine's mood (clock, neighbours), so rounds are the unit that is resampled: each
bootstrap replicate draws rounds with replacement and then samples within each drawn round (a two-stage bootstrap:
Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). For a speed-up the same rounds are
drawn for both variants, since they were interleaved.

Few rounds make a percentile interval too narrow. Its tails are therefore moved out as far as Student's t with one
degree of freedom less than there are rounds asks for (the expanded percentile interval: Hesterberg, What Teachers Should
Know About the Bootstrap, The American Statistician 69, 2015, section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import UserError
from .record import RunRecord

REPLICATES = 4000
# Enough for a median's interval; keeps the bootstrap of a 20 µs model short.
SAMPLES_PER_ROUND = 128
# Student's t at 97.5 % for 1, 2, 3… degrees of freedom: the two tails leave 95 %.
_T975 = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
)
_NORMAL975 = 1.960

Rounds = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Estimate:
    """A value and the interval that holds it with 95 % confidence."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Speedup(Estimate):
    """Time of the baseline over time of the variant: above 1 the variant is faster."""

    @property
    def claim(self) -> bool:
        """Whether the interval leaves 1 out."""
        return self.low > 1 or self.high < 1


def median_ns(rounds: Rounds, seed: int = 0) -> Estimate:
    """Median over all samples, in ns, with its bootstrap interval."""
    kept = _thin(rounds)
    value = float(np.median(np.concatenate(kept)))
    low, high = _interval(_replicates([kept], seed)[0], len(kept))
    return Estimate(value, low, high)


def speedup(baseline: Rounds, variant: Rounds, seed: int = 0) -> Speedup:
    """Ratio of medians with a bootstrap interval paired by round."""
    count = min(len(baseline), len(variant))
    kept = [_thin(baseline[:count]), _thin(variant[:count])]
    medians = _replicates(kept, seed)
    low, high = _interval(medians[0] / medians[1], min(map(len, kept)))
    value = float(np.median(np.concatenate(kept[0])) / np.median(np.concatenate(kept[1])))
    return Speedup(value, low, high)


def speedup_of(baseline: RunRecord, variant: RunRecord) -> Speedup:
    """Speed-up between two records of one interleaved session; raises UserError for others."""
    if baseline.session != variant.session:
        raise UserError(
            f"records of {baseline.model} from two sessions ({baseline.session}, {variant.session}) are not "
            f"comparable: bench both levels in one run"
        )
    if baseline.bundle == variant.bundle:
        return Speedup(1.0, 1.0, 1.0)  # two levels that generate the same code were timed once
    if baseline.samples_ns is None or variant.samples_ns is None:
        raise UserError(f"a record of {baseline.model} has no samples: nothing to compare")
    return speedup(baseline.samples_ns, variant.samples_ns)


def _thin(rounds: Rounds) -> list[npt.NDArray[np.float64]]:
    """Each round with at most SAMPLES_PER_ROUND samples, evenly spaced in time."""
    kept = []
    for samples in rounds:
        if not samples:
            continue
        index = np.linspace(0, len(samples) - 1, min(len(samples), SAMPLES_PER_ROUND)).astype(np.intp)
        kept.append(np.asarray(samples, np.float64)[index])
    if not kept:
        raise ValueError("no samples")
    return kept


def _replicates(
    variants: Sequence[list[npt.NDArray[np.float64]]], seed: int
) -> list[npt.NDArray[np.float64]]:
    """Medians of REPLICATES resamplings, the same rounds for every variant."""
    random = np.random.default_rng(seed)
    count = min(len(rounds) for rounds in variants)
    drawn = random.integers(0, count, (REPLICATES, count, 1))
    medians = []
    for rounds in variants:
        lengths = np.array([len(samples) for samples in rounds[:count]])
        padded = np.zeros((count, lengths.max()))
        for number, samples in enumerate(rounds[:count]):
            padded[number, : len(samples)] = samples
        # Every drawn round gives as many samples as the average round has, so that a replicate is as large as the data.
        each = max(1, round(float(lengths.mean())))
        picked = (random.random((REPLICATES, count, each)) * lengths[drawn]).astype(np.intp)
        medians.append(np.median(padded[drawn, picked].reshape(REPLICATES, -1), axis=1))
    return medians


def _interval(values: npt.NDArray[np.float64], rounds: int) -> tuple[float, float]:
    tail = 100 * _tail(rounds)
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _tail(rounds: int) -> float:
    """The share of replicates to leave out on each side."""
    if rounds < 2:
        return 0.0
    t = _T975[rounds - 2] if rounds - 2 < len(_T975) else _NORMAL975
    return 0.5 * math.erfc(math.sqrt(rounds / (rounds - 1)) * t / math.sqrt(2))
