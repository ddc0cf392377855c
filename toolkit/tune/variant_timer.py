"""Variants of one model that differ in choices of schedule, timed kernel by kernel on any device, in turn in one process.

A kernel is timed where it works: between the others, with the caches as they leave them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ...compiler.analytic_choice import analytic_choice
from ...compiler.bundle import Bundle, sha256
from ...compiler.candidates import DIRECTIONS, candidates
from ...compiler.choice import Choice, Signature
from ...compiler.compile import Options, Stages, assemble_bundle, lower_graph
from ...compiler.importers.onnx import import_onnx
from ...compiler.kernel_cache import kernel_objects
from ...compiler.passes import canonicalise
from ...compiler.schedule_table import Entry, ScheduleTable
from ...compiler.target import find_target
from ...devices.device import Device
from ...errors import UserError
from ..measure.record import RunRecord, Settings
from ..measure.session import measure
from ..measure.statistics import Rounds, Speedup, speedup
from ..reference import reference_outputs, seeded_inputs
from .search import Choices, Subject

RUNS = 60
"""Profiled runs of a variant."""

VISIT = 10
"""Profiled runs of one variant between those of others, as `devices/runner/timing.c` has them."""

StepTimes = Sequence[Sequence[int]]
"""Nanoseconds by run and step."""

SAME_CODE = Speedup(1.0, 1.0, 1.0)


class VariantTimer:
    """One model on one device. Raises UserError where the model cannot be compiled; `options.target` is the device's."""

    def __init__(self, device: Device, path: Path, options: Options, cpus: tuple[int, ...] = ()) -> None:
        self._device, self._cpus = device, cpus
        self._options = options.checked()
        self._graph = canonicalise(import_onnx(path, self._options.shapes))
        self._digest = sha256(path.read_bytes())
        self.analytic = self._lowered({})
        self._analytic_bundle = self._bundle(self.analytic)
        self._feeds = seeded_inputs(self._analytic_bundle.manifest)
        self._want = reference_outputs(path, self._feeds)

    @property
    def model(self) -> str:
        """The model's name."""
        return self._graph.name

    def subjects(self) -> tuple[Subject, ...]:
        """Every signature of the model that leaves something to choose, in order of first use."""
        starts: dict[Signature, Choice] = {}
        steps: dict[Signature, set[int]] = {}
        machine = self.analytic.target.machine
        for number, (group, item) in enumerate(
            zip(self.analytic.fused.groups, self.analytic.lowered, strict=True)
        ):
            found = [place.signature for place in item.kernel.schedule.places if place.signature is not None]
            starts |= {signature: analytic_choice(signature, machine) for signature in found}
            if group.signature is not None:
                found.append(group.signature)
                starts[group.signature] = Choice(winograd=len(group.stages) > 1)
            for signature in found:
                steps.setdefault(signature, set()).add(number)
        return tuple(
            Subject(signature, starts[signature], frozenset(numbers))
            for signature, numbers in steps.items()
            if any(candidates(direction, starts[signature], signature, machine) for direction in DIRECTIONS)
        )

    def gains(self, variants: Sequence[Choices]) -> list[Mapping[Signature, Speedup]]:
        """For every choice of every variant, the analytic time of its kernels over their own; UserError where a run or a check fails."""
        lowered = [self._lowered(choices) for choices in variants]
        base, *records = self._timed([self.analytic, *lowered], RUNS)
        steps = {subject.signature: subject.steps for subject in self.subjects()}

        def gain(signature: Signature, stages: Stages, record: RunRecord) -> Speedup:
            if all(_symbol(stages, step) == _symbol(self.analytic, step) for step in steps[signature]):
                return SAME_CODE
            return speedup(rounds(_steps(base), steps[signature]), rounds(_steps(record), steps[signature]))

        return [
            {signature: gain(signature, stages, record) for signature in choices}
            for choices, stages, record in zip(variants, lowered, records, strict=True)
        ]

    def against_analytic(self, choices: Choices, runs: int) -> tuple[StepTimes, StepTimes, RunRecord]:
        """Times of the analytic variant and of one with these choices, and the record of the first."""
        base, tuned = self._timed([self.analytic, self._lowered(choices)], runs)
        return _steps(base), _steps(tuned), base

    def _lowered(self, choices: Choices) -> Stages:
        entries = {signature: Entry(choice, 1.0, "", "") for signature, choice in choices.items()}
        table = ScheduleTable(find_target(self._options.target).cpu, entries)
        stages = lower_graph(self._graph, replace(self._options, schedules=table))
        nodes = [group.nodes for group in stages.fused.groups]
        assert not choices or nodes == [group.nodes for group in self.analytic.fused.groups]
        return stages

    def _timed(self, variants: Sequence[Stages], runs: int) -> list[RunRecord]:
        kernel_objects([step.lowered.kernel for stages in variants for step in stages.plan.steps])
        bundles = [self._bundle(stages) for stages in variants]
        settings = Settings(rounds=1, round_ms=1, min_samples=1, profile=runs, cpus=self._cpus)
        # the weights of every variant are its own, and a search has dozens: they would fill a board's card
        records = measure(self._device, bundles, self._feeds, self._want, settings, keep=False)
        for record in records:
            if record.error is not None:
                raise UserError(record.error.message)
        return records

    def _bundle(self, stages: Stages) -> Bundle:
        return assemble_bundle(stages, self._options, self._digest)


def rounds(runs: StepTimes, steps: Collection[int]) -> Rounds:
    """Nanoseconds of these steps together, by visit and run."""
    sums = [sum(run[step] for step in steps) for run in runs]
    return [sums[at : at + VISIT] for at in range(0, len(sums), VISIT)]


def _steps(record: RunRecord) -> StepTimes:
    assert record.steps_ns is not None
    return record.steps_ns


def _symbol(stages: Stages, step: int) -> str:
    return stages.plan.steps[step].lowered.kernel.symbol
