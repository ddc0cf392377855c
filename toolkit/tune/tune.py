"""A model tuned on a device: its kernels' schedules searched, and what was found timed once more against the analytic choices."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...compiler.choice import Choice, Signature
from ...compiler.compile import Options
from ...compiler.schedule_table import Entry
from ...compiler.target import find_target
from ...devices.device import Device
from ...errors import UserError
from ..measure.record import RunRecord
from ..measure.statistics import Speedup, speedup
from .search import search
from .trial_cache import TrialCache, cpu_name
from .variant_timer import VISIT, StepTimes, VariantTimer, rounds

LEAST_GAIN = 1.03
"""Below this the same code differs by where it lies."""

RUNS = 20 * VISIT
"""Profiled runs of the last comparison: the best of many noisy times is partly luck, so its gain is measured anew."""


@dataclass(frozen=True)
class TunedKernel:
    """A signature of the model, how many steps have it and the first of them; times are medians of all its steps together."""

    signature: Signature
    label: str
    steps: int
    analytic: Choice
    best: Choice
    analytic_ns: float
    best_ns: float
    gain: Speedup

    @property
    def kept(self) -> bool:
        """Whether the gain is above noise."""
        return self.best != self.analytic and self.gain.low > 1 and self.gain.value >= LEAST_GAIN


@dataclass(frozen=True)
class Tuning:
    """What was found; `whole` is the model's analytic time over its time with the choices that are kept."""

    model: str
    device: str
    cpu: str
    """LLVM's name, which says what table the choices belong to."""
    kernels: tuple[TunedKernel, ...]
    analytic_ns: float
    tuned_ns: float
    whole: Speedup
    record: RunRecord

    @property
    def mean_gain(self) -> float:
        """Geometric mean over the kernels, those that keep the analytic choice counted as 1."""
        return math.exp(
            sum(math.log(k.gain.value) for k in self.kernels if k.kept) / max(1, len(self.kernels))
        )

    def decided(self) -> Mapping[Signature, Entry | None]:
        """For each signature the entry of a table, or None where the analytic choice stays."""
        return {
            k.signature: Entry(k.best, k.gain.value, self.device, self.model) if k.kept else None
            for k in self.kernels
        }


def tune(
    device: Device, path: Path, options: Options, cpus: tuple[int, ...], tell: Callable[[str], None]
) -> Tuning:
    """Searches the kernels of the model at `path` on a device; `options.target` is what code is made for there.

    Raises UserError for an emulated device, and with the device's own sentence where a run or a check failed.
    """
    if device.emulated:
        raise UserError(
            f"{device.name} is emulated, and its times mean nothing: name a real device with --device"
        )
    tell(f"compiling {path.stem}")
    timer = VariantTimer(device, path, options, cpus or _first_cpu(device))
    facts, target = device.probe(), find_target(options.target)
    subjects = timer.subjects()
    best = search(subjects, target.machine, TrialCache(facts, target), timer.gains, tell)
    changed = {s.signature: best[s.signature] for s in subjects if best[s.signature] != s.start}
    tell(f"comparing {len(changed)} choices with the analytic ones")
    analytic, tuned, record = timer.against_analytic(changed, RUNS)
    kernels = tuple(
        TunedKernel(
            s.signature,
            record.kernels[min(s.steps)].label,
            len(s.steps),
            s.start,
            best[s.signature],
            _median(analytic, s.steps),
            _median(tuned, s.steps),
            speedup(rounds(analytic, s.steps), rounds(tuned, s.steps)),
        )
        for s in subjects
    )
    kept = {step for k, s in zip(kernels, subjects, strict=True) if k.kept for step in s.steps}
    steps = range(len(record.kernels))
    mixed = [
        [late[step] if step in kept else early[step] for step in steps]
        for early, late in zip(analytic, tuned, strict=True)
    ]
    whole = speedup(rounds(analytic, steps), rounds(mixed, steps))
    times = _median(analytic, steps), _median(mixed, steps)
    return Tuning(timer.model, cpu_name(facts), target.cpu, kernels, *times, whole, record)


def _median(runs: StepTimes, steps: Collection[int]) -> float:
    return float(np.median([sum(run[step] for step in steps) for run in runs]))


def _first_cpu(device: Device) -> tuple[int, ...]:
    """One of those that this process may use; of a board nothing is known here, and its scheduler decides."""
    return (min(os.sched_getaffinity(0)),) if device.transport == "local" else ()
