"""A model's kernels timed on a device beside the probe of that device, and how near each comes to its bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...compiler.bundle import sha256
from ...compiler.compile import Options, assemble_bundle, lower_graph
from ...compiler.importers.onnx import import_onnx
from ...compiler.passes import canonicalise
from ...devices.device import Device
from ...errors import UserError
from ..measure.record import RunRecord, Settings
from ..measure.session import measure
from ..reference import reference_outputs, seeded_inputs
from .ceiling import Ceiling, Limit
from .probe import ANSWER, OUTPUT, probe_bundle, probes
from .work import Work, work_of

Floats = npt.NDArray[np.float64]

RUNS = 100
"""Profiled inferences; a kernel's time is the median over them."""

QUICKEST = 4
"""One in so many of the runs, the quickest, stands for a machine that nothing else uses."""


@dataclass(frozen=True)
class Point:
    """One kernel: its work, its median time and its bound."""

    work: Work
    time_ns: float
    bound_ns: float
    limit: Limit

    @property
    def share(self) -> float:
        """Of its bound: 1 is as fast as the machine allows."""
        return self.bound_ns / self.time_ns


@dataclass(frozen=True)
class Roofline:
    """The kernels of a model in order, the machine's ceiling, and the record of the timed run.

    `undisturbed` are the same kernels by the quickest of the runs, held against what the probe reached in its own quickest.
    """

    points: tuple[Point, ...]
    undisturbed: tuple[Point, ...]
    ceiling: Ceiling
    record: RunRecord

    @property
    def total(self) -> Point:
        """The whole model: sums over its kernels."""
        return sum_of(self.points)

    @property
    def total_undisturbed(self) -> Point:
        """The same by the quickest of the runs."""
        return sum_of(self.undisturbed)


def measure_roofline(device: Device, path: Path, options: Options) -> Roofline:
    """Times the model and the probe in one run on the device; `options.target` is the device's.

    Raises UserError for an emulated device, and with the device's own sentence where the run or a check failed.
    """
    if device.emulated:
        raise UserError(
            f"{device.name} is emulated, and its times mean nothing: name a real device with --device"
        )
    options = options.checked()
    stages = lower_graph(canonicalise(import_onnx(path, options.shapes)), options)
    bundle = assemble_bundle(stages, options, sha256(path.read_bytes()))
    manifest = bundle.manifest
    feeds = seeded_inputs(manifest)
    probe = probe_bundle(stages.target, options.threads, manifest.inputs, manifest.model_sha256)
    want = {**reference_outputs(path, feeds), OUTPUT.name: ANSWER}
    settings = Settings(rounds=1, round_ms=20, profile=RUNS)
    record, probed = measure(device, [bundle, probe], feeds, want, settings)
    for one in (record, probed):
        if one.error is not None:
            raise UserError(one.error.message)
    assert record.steps_ns is not None and probed.steps_ns is not None
    times, probe_times = (np.asarray(taken.steps_ns, np.float64) for taken in (record, probed))
    resident, works = manifest.weights_bytes + manifest.arena_bytes, work_of(stages)

    def points(runs: Floats, ceiling: Ceiling) -> tuple[Point, ...]:
        medians = np.median(runs, axis=0)
        return tuple(
            Point(work, float(time), *ceiling.bound_ns(work, resident))
            for work, time in zip(works, medians, strict=True)
        )

    found = probes(stages.target, options.threads)
    ceiling, highest = Ceiling.of(found, probe_times), Ceiling.of(found, quickest_steps(probe_times))
    return Roofline(points(times, ceiling), points(quickest_runs(times), highest), ceiling, record)


def quickest_runs(times: Floats) -> Floats:
    """Of times by run and step the runs that took least as a whole, one in QUICKEST."""
    return times[np.argsort(times.sum(axis=1), kind="stable")[: ceil(len(times) / QUICKEST)]]


def quickest_steps(times: Floats) -> Floats:
    """Of times by run and step the least of each step by itself, one in QUICKEST: a ceiling is what was ever reached."""
    return np.sort(times, axis=0)[: ceil(len(times) / QUICKEST)]


def sum_of(points: Sequence[Point]) -> Point:
    """Several kernels as one; what sets its bound has no meaning."""
    works = [point.work for point in points]
    work = Work(
        "total",
        (),
        sum(w.flops for w in works),
        sum(w.slots for w in works),
        sum(w.read_bytes for w in works),
        sum(w.written_bytes for w in works),
        sum(w.weight_bytes for w in works),
    )
    times = sum(point.time_ns for point in points)
    return Point(work, times, sum(point.bound_ns for point in points), "pipes")
