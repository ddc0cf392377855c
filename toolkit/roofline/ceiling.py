"""What the machine can do at most, from the medians of the probe's steps, and the time that a kernel needs by it."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .probe import SIZES, Probe
from .work import Work

Limit = Literal["pipes", "memory"]


@dataclass(frozen=True)
class Ceiling:
    """Peak in GFLOP/s and streams in GB/s by working set in bytes, all threads together."""

    peak_gflops: float
    write_gbps: Mapping[int, float]
    read_gbps: Mapping[int, float]
    copy_gbps: Mapping[int, float]

    @staticmethod
    def of(probes: Sequence[Probe], steps_ns: npt.ArrayLike) -> Ceiling:
        """From the times of the probe's steps, a row a run."""
        medians = np.median(np.asarray(steps_ns, np.float64), axis=0)
        gbps = {p.label: p.bytes / ns for p, ns in zip(probes, medians, strict=True)}

        def by_size(kind: str) -> dict[int, float]:
            return {size: gbps[f"{kind} {size}"] for size in SIZES}

        return Ceiling(probes[0].flops / medians[0], by_size("write"), by_size("read"), by_size("copy"))

    def bound_ns(self, work: Work, resident_bytes: int) -> tuple[float, Limit]:
        """The least time of `work`, and what sets it: the vector pipes or the memory.

        Weights were last used an inference ago, so they come from where the whole model, `resident_bytes`, lies; the rest from where the kernel's
        own data lie.
        """
        pipes = self.pipes_ns(work)
        memory = self.memory_ns(work, resident_bytes)
        return (pipes, "pipes") if pipes >= memory else (memory, "memory")

    def pipes_ns(self, work: Work) -> float:
        """Every vector operation takes the slot of one multiply-add, which the peak counts as two operations a lane."""
        return work.slots / (self.peak_gflops / 2)

    def memory_ns(self, work: Work, resident_bytes: int) -> float:
        """Reads that have a write to go with move at the speed of a copy, what is left over at its own."""
        level = _level(work.bytes)
        both = min(work.read_bytes, work.written_bytes)
        return (
            2 * both / self.copy_gbps[level]
            + (work.read_bytes - both) / self.read_gbps[level]
            + (work.written_bytes - both) / self.write_gbps[level]
            + work.weight_bytes / self.read_gbps[_level(resident_bytes)]
        )


def _level(working_set: int) -> int:
    """The largest measured size that such a working set is no smaller than, or else the smallest: a bound may not ask too much."""
    return SIZES[max(bisect.bisect_right(SIZES, working_set) - 1, 0)]
