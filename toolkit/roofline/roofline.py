"""A model's kernels timed on a device beside the probe of that device, and how near each comes to its bound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

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

RUNS = 50
"""Profiled inferences; a kernel's time is the median over them."""


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
    """The kernels of a model in order, the machine's ceiling, and the record of the timed run."""

    points: tuple[Point, ...]
    ceiling: Ceiling
    record: RunRecord

    @property
    def total(self) -> Point:
        """The whole model: sums over its kernels."""
        works = [point.work for point in self.points]
        work = Work(
            "total",
            (),
            sum(w.flops for w in works),
            sum(w.slots for w in works),
            sum(w.read_bytes for w in works),
            sum(w.written_bytes for w in works),
            sum(w.weight_bytes for w in works),
        )
        times = sum(point.time_ns for point in self.points)
        return Point(work, times, sum(point.bound_ns for point in self.points), "pipes")


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
    ceiling = Ceiling.of(probes(stages.target, options.threads), probed.steps_ns)
    resident = manifest.weights_bytes + manifest.arena_bytes
    times = np.median(np.asarray(record.steps_ns, np.float64), axis=0)
    points = tuple(
        Point(work, float(time), *ceiling.bound_ns(work, resident))
        for work, time in zip(work_of(stages), times, strict=True)
    )
    return Roofline(points, ceiling, record)
