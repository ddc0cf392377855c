"""One session: engines on one model, each checked, then timed in turn."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ... import __version__
from ...cache import cache_dir
from ...devices.device import Facts
from ...devices.local import LocalDevice
from ...errors import UserError
from ..measure.check import OutputCheck, check_output
from ..measure.record import DeviceId, Failure
from ..reference import Arrays, reference_name, reference_outputs, seeded_inputs
from .contest import Course, Terms, contest
from .engine import Engine, Job
from .record import EngineRecord, Rules

if TYPE_CHECKING:
    from ...compiler.bundle import Bundle


@dataclass(frozen=True)
class Subject:
    """A model with what its engines are given and checked by; the bundle knows its tensors and how exact they are."""

    name: str
    path: Path
    tflite: Path | None
    bundle: Bundle
    feeds: Arrays
    want: Arrays

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names, in the model's order."""
        return tuple(output.name for output in self.bundle.manifest.outputs)


@dataclass(frozen=True)
class Verdict:
    """What the checks of an engine's outputs said; an `error` where one is wrong or there are too few or many."""

    checks: tuple[OutputCheck, ...] = ()
    error: Failure | None = None


def subject_of(name: str, path: Path, tflite: Path | None, bundle: Bundle, seed: int) -> Subject:
    """Asks ONNX Runtime for the right outputs; raises UserError where it cannot give them."""
    feeds = seeded_inputs(bundle.manifest, seed)
    return Subject(name, path, tflite or _original(path), bundle, feeds, reference_outputs(path, feeds))


def _original(model: Path) -> Path | None:
    """The .tflite file beside the model, or in a folder `tflite` there."""
    places = (
        model.with_suffix(".tflite"),
        model.parent / "tflite" / model.with_suffix(".tflite").name,
    )
    return next((place for place in places if place.is_file()), None)


def pinned(cpus: Sequence[int], threads: int, usable: Collection[int] | None = None) -> tuple[int, ...]:
    """The CPUs that were asked for, or as many as there are threads of the usable ones: those that this process may use.

    Raises UserError for a CPU that is not usable.
    """
    allowed = sorted(os.sched_getaffinity(0) if usable is None else usable)
    who = "this process" if usable is None else "a process there"
    for cpu in cpus:
        if cpu not in allowed:
            raise UserError(f"--cpus names CPU {cpu}: {who} may use {', '.join(map(str, allowed))}")
    return tuple(cpus) or tuple(allowed[:threads])


def compare(subject: Subject, engines: Mapping[str, Engine], rules: Rules) -> list[EngineRecord]:
    """A record for each engine; one that takes no part, fails or is wrong has an error and no samples."""
    blank = blank_record(subject, rules, LocalDevice("local", "host", cache_dir()).probe())
    verdicts: dict[str, Verdict] = {}

    def look(name: str, outputs: Sequence[npt.NDArray[np.generic]]) -> bool:
        verdicts[name] = verdict_on(outputs, subject)
        return verdicts[name].error is None

    with tempfile.TemporaryDirectory(prefix="fusekit-compare-") as folder:
        job = Job(subject.path, subject.tflite, subject.feeds, subject.outputs, rules.threads, Path(folder))
        terms = Terms(rules.cpus, rules.rounds, rules.turn_ms)
        courses = contest(engines, job, terms, look)
    return [
        filled(replace(blank, engine=name), courses[name], verdicts.get(name, Verdict())) for name in engines
    ]


def blank_record(
    subject: Subject, rules: Rules, facts: Facts, device: DeviceId | None = None
) -> EngineRecord:
    """What the records of a new session have in common."""
    return EngineRecord(
        session=secrets.token_hex(8),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=subject.name,
        model_sha256=subject.bundle.manifest.model_sha256,
        engine="",
        version="",
        fusekit=__version__,
        rules=rules,
        reference=reference_name(),
        facts=facts,
        device=device,
    )


def filled(blank: EngineRecord, course: Course, verdict: Verdict) -> EngineRecord:
    """The record of an engine; it has samples only where nothing went wrong and there were turns."""
    refusal = course.refusal
    error = verdict.error if refusal is None else Failure(refusal.kind, refusal.reason)
    return replace(
        blank,
        version=course.version,
        first_output_ns=course.first_output_ns,
        checks=verdict.checks,
        error=error,
        samples_ns=course.samples_ns or None if error is None else None,
    )


def verdict_on(outputs: Sequence[npt.NDArray[np.generic]], subject: Subject) -> Verdict:
    """Compares outputs in the model's order with the reference."""
    tensors = subject.bundle.manifest.outputs
    if len(outputs) != len(tensors):
        said = f"it gives {len(outputs)} outputs where the model has {len(tensors)}"
        return Verdict(error=Failure("check", said))
    checks = tuple(
        _check(t.name, got, subject.want[t.name], t.rtol, t.atol)
        for t, got in zip(tensors, outputs, strict=True)
    )
    wrong = [f"output '{check.name}': {check.detail}" for check in checks if not check.ok]
    return Verdict(checks, Failure("check", "; ".join(wrong)) if wrong else None)


def _check(
    name: str, got: npt.NDArray[np.generic], want: npt.NDArray[np.generic], rtol: float, atol: float
) -> OutputCheck:
    """As everywhere, but engines may leave out axes of length one and give integers of another width."""
    if got.size == want.size and _core(got.shape) == _core(want.shape):
        got = got.reshape(want.shape)
    if got.dtype.kind in "iu" and want.dtype.kind in "iu":
        got = got.astype(want.dtype)
    return check_output(name, got, want, rtol=rtol, atol=atol)


def _core(shape: tuple[int, ...]) -> list[int]:
    return [extent for extent in shape if extent != 1]
