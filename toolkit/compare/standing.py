"""What the records of sessions say: each engine's time over fusekit's, the best peer, and means over models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..measure.record import Failure
from ..measure.statistics import Estimate, Speedup, median_ns, speedup
from .lineup import OURS
from .record import EngineRecord


@dataclass(frozen=True)
class Standing:
    """One model: medians in ns by engine, and the time of each other engine over that of the first."""

    model: str
    engines: tuple[str, ...]
    """In the order of the session; the first is fusekit's own."""
    medians: Mapping[str, Estimate]
    ratios: Mapping[str, Speedup]
    failures: Mapping[str, Failure]

    @property
    def ours(self) -> str:
        """The engine that the others are compared with."""
        return self.engines[0]

    @property
    def best(self) -> str | None:
        """The fastest of the engines that are not fusekit."""
        peers = [name for name in self.ratios if not name.startswith(OURS)]
        return min(peers, key=lambda name: self.medians[name].value, default=None)


def standings(records: Sequence[EngineRecord]) -> list[Standing]:
    """A standing for each session, in order; the first engine of a session is what the others are compared with."""
    sessions: dict[str, list[EngineRecord]] = {}
    for record in records:
        sessions.setdefault(record.session, []).append(record)
    return [_standing(session) for session in sessions.values()]


def _standing(session: Sequence[EngineRecord]) -> Standing:
    ours, *others = session
    samples = {r.engine: r.samples_ns for r in session if r.samples_ns is not None}
    base = samples.get(ours.engine)
    ratios = {
        other.engine: speedup(samples[other.engine], base)
        for other in others
        if base is not None and other.engine in samples
    }
    return Standing(
        ours.model,
        tuple(record.engine for record in session),
        {engine: median_ns(rounds) for engine, rounds in samples.items()},
        ratios,
        {record.engine: record.error for record in session if record.error is not None},
    )


def geometric_mean(ratios: Sequence[Speedup]) -> Speedup:
    """The mean of independent ratios: on the logarithmic scale, where half-widths of intervals add as squares.

    >>> geometric_mean([Speedup(2.0, 1.0, 4.0), Speedup(0.5, 0.25, 1.0)]).value
    1.0
    """
    count = len(ratios)
    middle = sum(math.log(ratio.value) for ratio in ratios) / count
    half = math.sqrt(sum((math.log(ratio.high / ratio.low) / 2) ** 2 for ratio in ratios)) / count
    return Speedup(math.exp(middle), math.exp(middle - half), math.exp(middle + half))
